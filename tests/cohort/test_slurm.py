"""The script of an array job: what the scheduler is told, and what a task does when its worker ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.slurm import array_script, submit
from prosect.errors import OutputError, ResourceError

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the script is one of bash")


def test_the_scheduler_is_told_of_tasks_requeueing_and_notice() -> None:
    script = array_script(["prosect", "segment", "my scans", "-o", "out"], 8, ["partition=gpu", "exclusive"])
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    directives = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    for needed in ("array=1-8", "requeue", "signal=B:TERM@120", "open-mode=append", "partition=gpu", "exclusive"):
        assert needed in directives
    assert "segment 'my scans' -o out --part \"$SLURM_ARRAY_TASK_ID/8\"" in script


class Task:
    """A task of an array, run by bash with a worker and an `scontrol` that write down how they are called."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder, self.log = folder, folder / "calls"
        self.make("worker", worker)
        self.make("scontrol", "exit 0")
        self.script = folder / "job.sh"
        self.script.write_text(array_script([str(folder / "worker"), "segment", "in"], 4))

    def make(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> "{self.log}"\n{body}\n')
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def start(self) -> subprocess.Popen[bytes]:
        own = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "77"}
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(["bash", str(self.script)], env={**os.environ, **own, "PATH": path})


def test_a_worker_is_given_its_part_and_its_status_is_that_of_the_task(tmp_path: Path) -> None:
    task = Task(tmp_path, "exit 4")
    assert task.start().wait(20) == 4
    assert task.calls == ["worker segment in --part 3/4"]


@pytest.mark.parametrize("end", ["exit 75", "kill -9 $$"])
def test_a_worker_that_a_case_has_ended_is_started_again(tmp_path: Path, end: str) -> None:
    task = Task(tmp_path, f'[ "$(wc -l < "{tmp_path}/calls")" -ge 3 ] || {end}')
    assert task.start().wait(20) == 0
    assert task.calls == ["worker segment in --part 3/4"] * 3


def test_a_task_that_is_told_to_leave_waits_for_its_worker_and_is_queued_again(tmp_path: Path) -> None:
    leave = f"trap 'echo given back >> {tmp_path}/calls; exit 143' TERM"
    task = Task(tmp_path, f"{leave}\nwhile :; do sleep 0.02; done")
    process = task.start()
    deadline = time.monotonic() + 10
    while not task.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert task.calls == ["worker segment in --part 3/4", "given back", "scontrol requeue 77_3"]


def answer(status: int, out: str = "", err: str = "") -> Any:
    """Return what stands for `subprocess.run`."""
    return lambda words, **options: subprocess.CompletedProcess(words, status, out, err)


def test_a_submitted_script_goes_to_sbatch_and_its_number_comes_back() -> None:
    given: list[Any] = []

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        given.append((words, options["input"]))
        return subprocess.CompletedProcess(words, 0, "4711;cluster\n", "")

    assert submit("the script", run) == "4711"
    assert given == [(["sbatch", "--parsable"], "the script")]


def test_without_a_scheduler_or_with_its_refusal_nothing_is_started() -> None:
    with pytest.raises(OutputError, match="invalid partition") as refused:
        submit("script", answer(1, err="sbatch: error: invalid partition"))
    assert refused.value.code == "SLURM_REFUSED"

    def missing(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(words[0])

    with pytest.raises(ResourceError) as gone:
        submit("script", missing)
    assert gone.value.code == "SLURM_MISSING"

    def silent(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(words, options["timeout"])

    with pytest.raises(OutputError, match="squeue"):
        submit("script", silent)
