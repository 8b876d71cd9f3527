"""A worker is a job and a model: threads share one, and another process makes the same files of the same job."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.inputs import scans_of
from prosect.cohort.manifest import Manifest, Scan
from prosect.cohort.pipeline import Outcome
from prosect.cohort.running import run_cohort
from prosect.cohort.worker import Worker
from prosect.errors import FormatError
from prosect.jobs import CohortJob, ModelChoice


class Notes:
    """Writes down what a cohort tells."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, int]] = []
        self.names: list[str] = []

    def on_window(self, done: int, total: int) -> None:
        self.windows.append((done, total))

    def outcome(self, outcome: Outcome) -> None:
        self.names.append(outcome.scan.name)


def do_one(job: CohortJob, scan: Scan) -> Mapping[str, Any]:
    """Do what another machine does: make a worker of a job, and give it a scan."""
    return Worker.load(job).do(scan)


@pytest.fixture
def job(tmp_path: Path, weights: Path, make_scan: Callable[..., Path]) -> CohortJob:
    for number in range(2):
        make_scan(tmp_path / "in" / f"s{number}.nii.gz", number)
    (tmp_path / "out").mkdir()
    model = ModelChoice(weights=weights, device="cpu")
    return CohortJob(tmp_path / "in", tmp_path / "out", model=model, statistics=True)


def manifest_of(job: CohortJob) -> Manifest:
    manifest = scans_of(job.input, job.output)
    assert manifest is not None
    return manifest


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if "cohort" not in path.name}


def test_a_spawned_process_makes_the_files_that_the_pipeline_makes(job: CohortJob, tmp_path: Path) -> None:
    manifest = manifest_of(job)
    run_cohort(job, manifest)
    elsewhere = replace(job, output=tmp_path / "elsewhere")
    elsewhere.output.mkdir()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(do_one, [elsewhere] * 2, manifest.scans))
    assert [found["structures"] for found in made] == [2, 2]
    apart = results(elsewhere.output)
    together = results(job.output)
    together.pop("statistics.csv")  # the table that joins those of all scans
    assert apart == together
    assert set(apart) == {path.name for found in made for path in found["files"]}


def test_a_refused_scan_leaves_the_worker_fit_for_the_next(job: CohortJob) -> None:
    worker = Worker.load(job)
    (job.input / "s0.nii.gz").write_bytes(b"no image")
    first, second = manifest_of(job).scans
    with pytest.raises(FormatError):
        worker.do(first)
    assert worker.do(second)["structures"] == 2


def test_a_cohort_survives_json_and_pickle(job: CohortJob) -> None:
    full = replace(job, classes=("liver",), kinds=("nrrd", "mha"), per_class=True, volume=2, report=True)
    assert CohortJob.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert pickle.loads(pickle.dumps(full)) == full


def test_a_cohort_has_the_identity_of_each_of_its_scans(job: CohortJob) -> None:
    worker = Worker.load(job)
    for scan in manifest_of(job).scans:
        assert worker.job_of(scan).identity(worker.model) == job.identity(worker.model)


def test_who_watches_is_told_of_every_window_and_every_scan(job: CohortJob) -> None:
    notes, totals = Notes(), []

    @contextmanager
    def watching(total: int) -> Iterator[Notes]:
        totals.append(total)
        yield notes

    done = run_cohort(job, manifest_of(job), watching=watching)
    assert totals == [2]
    assert notes.names == ["s0", "s1"]
    whole = notes.windows[-1][1]
    assert notes.windows == [(step, whole) for _ in range(2) for step in range(1, whole + 1)]
    assert done.refused == 0
    assert done.report_file.is_file()


@pytest.mark.parametrize("name", ["statistics.csv", "cohort_report.json"])
def test_a_first_run_leaves_tables_that_others_wrote(job: CohortJob, name: str) -> None:
    foreign = job.output / name
    foreign.write_text("of a single scan")
    with pytest.raises(FormatError, match=name) as refused:
        run_cohort(job, manifest_of(job))
    assert refused.value.code == "OUTPUT_EXISTS"
    assert foreign.read_text() == "of a single scan"
    run_cohort(replace(job, overwrite=True), manifest_of(job))
    run_cohort(job, manifest_of(job))  # its own tables are written anew
    assert foreign.read_text() != "of a single scan"


def test_the_volume_of_a_series_is_chosen_in_a_folder_run_too(job: CohortJob, tmp_path: Path) -> None:
    chosen = replace(job, volume=1, regularise=True)
    for path in (tmp_path / "in", tmp_path / "in" / "s0.nii.gz"):
        scan = chosen.scan_job("a", path, "1.2.3").input
        assert (scan.volume, scan.regularise) == (1, True)
