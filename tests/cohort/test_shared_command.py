"""`prosect segment FOLDER --part I/N` and `--executor`: many workers, the files of one."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from prosect.cli.commands.segment_shared import worker_words
from prosect.cli.main import main
from prosect.cohort.claims import FolderClaims
from prosect.cohort.manifest import Scan, stamp
from prosect.cohort.store import SHARED, FolderStore

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scans(tmp_path: Path, make_scan: Callable[..., Path]) -> Path:
    for number, place in enumerate(("a.nii.gz", "b.nrrd", "p1/ct.mha")):
        make_scan(tmp_path / "in" / place, number)
    return tmp_path / "in"


def results(out: Path) -> dict[str, bytes]:
    """Return every result but the ledgers and the report of all, which tell of times."""
    files = (path for path in out.rglob("*") if path.is_file() and "cohort" not in str(path.relative_to(out)))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_workers_that_share_leave_the_files_that_one_run_leaves(run: Run, scans: Path, tmp_path: Path) -> None:
    assert run(scans, "-o", tmp_path / "alone", "-s", "-q")[0] == 0
    status, said, told = run(scans, "-o", tmp_path / "out", "-s", "--part", "1/2")
    assert status == 0
    assert "3 scans done, 0 refused" in said
    assert len(told.splitlines()) == 3
    status, said, told = run(scans, "-o", tmp_path / "out", "-s", "--part", "2/2")
    assert (status, told) == (0, ""), "nothing is left for the second"
    assert results(tmp_path / "out") == results(tmp_path / "alone")
    report = json.loads((tmp_path / "out" / "cohort_report.json").read_text())
    assert report["counts"] == {"done": 3, "refused": 0, "left": 0}
    assert list((tmp_path / "out" / SHARED / "work").iterdir()) == []


def test_runs_alone_and_shared_go_on_from_one_another(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (scans / "page.nii.gz").write_text("<html>")
    assert run(scans, "-o", out, "--part", "1/1")[0] == 4
    (scans / "page.nii.gz").unlink()
    _, said, told = run(scans, "-o", out)
    assert "3 scans done (3 of them before)" in said
    (out / "a.nii.gz").unlink()
    assert run(scans, "-o", out)[0] == 0
    _, _, told = run(scans, "-o", out, "--part", "1/1")
    assert told == ""


def test_other_settings_than_those_of_the_other_workers_are_refused(run: Run, scans: Path, tmp_path: Path) -> None:
    assert run(scans, "-o", tmp_path / "out", "-q", "--part", "1/2")[0] == 0
    status, _, told = run(scans, "-o", tmp_path / "out", "-q", "--part", "2/2", "--overlap")
    assert status == 3
    assert "COHORT_CHANGED" in told
    assert "overlap was False and is True" in told


def test_a_run_alone_keeps_out_of_a_folder_where_workers_are_at_work(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    FolderClaims(out / SHARED / "claims", "worker-7").take("a")
    status, _, told = run(scans, "-o", out, "-q")
    assert status == 3
    assert "OUTPUT_LOCKED" in told
    assert "worker-7" in told


def test_workers_that_were_asked_to_leave_do_not_begin_again(run: Run, scans: Path, tmp_path: Path) -> None:
    FolderStore(tmp_path / "out", "w").stop("DISK_FULL: the disk is full")
    status, _, told = run(scans, "-o", tmp_path / "out", "-q", "--part", "1/1")
    assert status == 3
    assert "COHORT_STOPPED" in told
    assert "DISK_FULL" in told
    assert "cohort retry" in told


def test_an_array_is_printed_with_the_command_of_one_worker(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ("--executor", "slurm-array", "--tasks", "6", "--sbatch", "partition=gpu", "time=04:00:00")
    status, said, _ = run(scans, "-o", out, "-s", *flags)
    assert status == 0
    assert "#SBATCH --array=1-6" in said
    assert "#SBATCH --time=04:00:00" in said
    command = next(line.strip() for line in said.splitlines() if "-m prosect segment" in line)
    assert command.startswith(sys.executable)
    assert command.endswith('--part "$SLURM_ARRAY_TASK_ID/6" &')
    assert "--executor" not in command
    assert "partition" not in command
    assert not out.exists(), "printing begins nothing"


def test_the_words_of_a_worker_are_those_of_the_command_without_its_executor() -> None:
    own = ["--executor=slurm-array", "--sbatch", "a=1", "b=2", "-o", "out", "--tasks", "4", "--submit"]
    assert worker_words(["segment", "in", *own, "-rs", "liver"]) == ["segment", "in", "-o", "out", "-rs", "liver"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--part", "0/3"], "from 1/N to N/N"),
        (["--part", "4/3"], "from 1/N to N/N"),
        (["--executor", "slurm-array"], "--tasks"),
        (["--executor", "slurm-array", "--tasks", "2", "--part", "1/2"], "one of the two"),
        (["--tasks", "2"], "--executor"),
        (["--submit"], "--executor"),
        (["--sbatch", "--partition=gpu"], "--sbatch"),
        (["--ray-address", "here:1"], "--executor ray"),
        (["--executor", "dask"], "invalid choice"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "in", "-o", "out", *words]) == 2
    assert said in capsys.readouterr().err


def test_overwriting_together_is_refused(run: Run, scans: Path, tmp_path: Path) -> None:
    status, _, told = run(scans, "-o", tmp_path / "out", "--part", "1/2", "--overwrite")
    assert status == 2
    assert "--overwrite" in told


def test_one_scan_is_not_shared(run: Run, scans: Path, tmp_path: Path) -> None:
    status, _, told = run(scans / "a.nii.gz", "-o", tmp_path / "out.nii.gz", "--part", "1/2")
    assert status == 2
    assert "one scan" in told


def test_workers_never_replace_results_of_scans_that_have_the_same_names(
    run: Run, scans: Path, tmp_path: Path, make_scan: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    assert run(scans, "-o", out, "--part", "1/1", "-q")[0] == 0
    before = results(out)
    make_scan(tmp_path / "second" / "a.nii.gz", 8)
    status, _, told = run(tmp_path / "second", "-o", out, "--part", "1/1")
    assert (status, "called a, too" in told) == (3, True)
    assert results(out) == before


def test_a_worker_that_joins_looks_once_at_each_scan_that_is_done(
    run: Run, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file server each look counts, a million times."""
    out = tmp_path / "out"
    assert run(scans, "-o", out, "--part", "1/1", "-q")[0] == 0
    (out / "a.nii.gz").unlink()
    looks: Counter[str] = Counter()

    def count(scan: Scan) -> str:
        looks[scan.name] += 1
        return stamp(scan)

    monkeypatch.setattr("prosect.cohort.plan.stamp", count)
    assert run(scans, "-o", out, "--part", "1/1", "-q")[0] == 0
    assert looks["b"] == looks["p1_ct"] == 1
    assert looks["a"] > 1, "one that is to be done again is looked at when it is"
