"""An array under the true scheduler, started for this test: all tasks run, and one told to leave is queued again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from prosect.cohort.slurm import array_script, submit

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: slurm-wlm, munge)"),
    pytest.mark.skipif("PROSECT_TEST_SLURM" not in os.environ, reason="starts daemons; set PROSECT_TEST_SLURM=1"),
]
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={port}
SlurmdPort={second}
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of a scheduler of one node that listens on loopback."""
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    host = socket.gethostname()
    config.write_text(CONFIG.format(host=host, folder=folder, port=free_port(), second=free_port()))
    monkeypatch.setenv("SLURM_CONF", str(config))
    files = {"key-file": key}
    for word in ("socket", "pid-file", "log-file", "seed-file"):
        files[word] = folder / f"munge.{word.removesuffix('-file').replace('socket', 'sock')}"
    flags = [f"--{name}={place}" for name, place in files.items()]
    subprocess.run(["munged", "--force", *flags], check=True, timeout=20)
    try:
        for name in ("slurmctld", "slurmd"):
            subprocess.run([name, "-f", str(config)], check=True, timeout=20)
        yield folder
    finally:
        for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((folder / name).read_text()), signal.SIGTERM)


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "the scheduler took too long"
        time.sleep(0.2)


def state_of(job: str) -> str:
    """Return the state and reason of each task that the queue still has."""
    words = ["squeue", "--noheader", "--array", "--jobs", job, "--format", "%K %T"]
    return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout


def test_every_task_runs_with_its_part_and_one_that_is_told_to_leave_is_queued_again(
    scheduler: Path, tmp_path: Path
) -> None:
    log, worker = tmp_path / "calls", tmp_path / "worker"
    # The third task works until it is told to leave, as one does whose time ends.
    worker.write_text(
        f'#!/bin/bash\necho "$*" >> {log}\n'
        f'[ "$2" = 3/3 ] || exit 0\ntrap "echo left >> {log}; exit 143" TERM\nwhile :; do sleep 0.1; done\n'
    )
    worker.chmod(0o755)
    job = submit(array_script([str(worker)], 3, [f"chdir={tmp_path}"]))

    def calls() -> list[str]:
        return sorted(log.read_text().splitlines()) if log.exists() else []

    wait_until(lambda: calls() == ["--part 1/3", "--part 2/3", "--part 3/3"])
    subprocess.run(["scancel", "--batch", "--signal=TERM", f"{job}_3"], check=True, timeout=20)
    wait_until(lambda: "left" in calls())
    wait_until(lambda: "3 PENDING" in state_of(job))
    subprocess.run(["scancel", job], check=True, timeout=20)
