"""Tables of all scans at the end of a run: those of `prosect cohort tables`, whoever ran it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prosect.cli.main import main
from prosect.cohort.inputs import scans_of
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.jobs import CohortJob, ModelChoice
from worlds.cohort_models import FatefulModel, write_fateful

WIDE, PARQUET = "statistics_wide.csv", "statistics.parquet"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def job(tmp_path: Path) -> CohortJob:
    for number in range(2):
        write_fateful(tmp_path / "in" / f"c{number}.nii", number)
    model = ModelChoice(weights=tmp_path / "none", device="cpu")
    return CohortJob(tmp_path / "in", tmp_path / "out", model=model, statistics=True, tables=("wide", "parquet"))


def test_a_run_alone_one_that_shares_and_the_command_write_the_same(job: CohortJob, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra `cohort`")
    manifest = scans_of(job.input, job.output)
    assert manifest is not None
    run_cohort(job, manifest, FatefulModel())
    shared = CohortJob(job.input, tmp_path / "shared", model=job.model, statistics=True, tables=job.tables)
    run_part(shared, manifest, None, FatefulModel(), Sharing())
    first = {name: (job.output / name).read_bytes() for name in (WIDE, PARQUET)}
    assert first == {name: (shared.output / name).read_bytes() for name in (WIDE, PARQUET)}
    rows = list(csv.DictReader(first[WIDE].decode().splitlines()))
    assert [row["case"] for row in rows] == ["c0", "c1"]
    assert all(float(row["liver"]) > 0 for row in rows)
    for name in first:
        (job.output / name).unlink()
    assert main(["cohort", "tables", str(job.output), "--parquet"]) == 0
    assert first == {name: (job.output / name).read_bytes() for name in (WIDE, PARQUET)}


def test_a_refused_scan_has_no_row_and_stays_in_the_report(run: Run, make_scan: Callable[..., Path]) -> None:
    folder = make_scan(Path("in") / "a.nii.gz").parent
    (folder / "b.nii.gz").write_bytes(b"no scan")
    assert run(folder, "-o", "out", "-s", "--tables", "wide", "-q")[0] == 4
    rows = (Path("out") / WIDE).read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["case", "a"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tables_need_statistics_and_many_scans(run: Run, make_scan: Callable[..., Path]) -> None:
    scan = make_scan(Path("in") / "a.nii.gz")
    status, _, told = run(scan.parent, "-o", "out", "--tables", "wide")
    assert status == 2
    assert "add -s" in told
    status, _, told = run(scan, "-o", "a_labels.nii.gz", "-s", "--tables", "wide")
    assert status == 2
    assert "one scan" in told


def test_a_table_of_somebody_else_is_not_replaced(run: Run, make_scan: Callable[..., Path]) -> None:
    folder = make_scan(Path("in") / "a.nii.gz").parent
    Path("out").mkdir()
    (Path("out") / WIDE).write_text("mine")
    status, _, told = run(folder, "-o", "out", "-s", "--tables", "wide")
    assert status == 3
    assert "OUTPUT_EXISTS" in told
    assert (Path("out") / WIDE).read_text() == "mine"


def test_what_cannot_be_written_is_said_before_the_work(
    run: Run, make_scan: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prosect.cohort.columns", None)
    folder = make_scan(Path("in") / "a.nii.gz").parent
    status, _, told = run(folder, "-o", "out", "-s", "--tables", "parquet")
    assert status != 0
    assert "cohort" in told
    assert not (Path("out") / "a.nii.gz").exists()
