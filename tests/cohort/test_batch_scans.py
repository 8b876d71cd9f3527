"""`--batch-scans`: scans computed at once, whose windows share batches, leave the files of scans one after another."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect.cli.main import main
from prosect.cohort.ledger import READING, START
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import Outcome, Work, run
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.cohort.status import busy_of
from prosect.cohort.store import read_all_events
from prosect.cohort.worker import slots_for
from prosect.errors import FormatError, ResourceError
from prosect.models.vista3d import Vista3DModel
from worlds.batching import as_on_a_gpu, sweep_in_groups
from worlds.cohort_jobs import job_of, results
from worlds.cohort_models import FatefulModel
from worlds.scans import noise

pytestmark = pytest.mark.usefixtures("no_thread_is_left")
Patch = pytest.MonkeyPatch
SCANS = [Scan(f"c{n}", Path(f"c{n}.nii")) for n in range(12)]


@pytest.fixture(scope="module")
def model(weights: Path) -> Vista3DModel:
    found = prosect.load(weights=weights, device="cpu")
    assert isinstance(found, Vista3DModel)
    return found


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six small scans of one to two windows."""
    folder = tmp_path_factory.mktemp("batches") / "in"
    folder.mkdir()
    for number in range(6):
        shape = (16 + 4 * number, 17, 13)
        volume = noise(shape, np.diag([3.0, 3.0, 4.0, 1.0]), seed=number, modality="CT")
        prosect.write(volume, folder / f"c{number}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def alone(scans: Path, model: Vista3DModel) -> tuple[dict[str, bytes], int]:
    """Return the files of scans one after another, and how many calls of the network they took."""
    counted, calls = as_on_a_gpu(model, 4)
    out = scans.parent / "alone"
    run_cohort(*job_of(scans, out), counted)
    return results(out), len(calls)


def test_a_run_by_itself_leaves_the_same_files_in_fewer_calls(
    scans: Path, model: Vista3DModel, alone: tuple[dict[str, bytes], int], tmp_path: Path, monkeypatch: Patch
) -> None:
    sweep_in_groups(monkeypatch, 3)
    counted, calls = as_on_a_gpu(model, 4)
    done = run_cohort(*job_of(scans, tmp_path / "out"), counted, together=3)
    assert results(tmp_path / "out") == alone[0]
    assert len(alone[0]) == 6 * 3 + 1
    assert len(calls) < alone[1]
    assert done.report["last_run"]["model_busy_percent"] <= 100


def test_so_does_a_worker_of_many(
    scans: Path, model: Vista3DModel, alone: tuple[dict[str, bytes], int], tmp_path: Path, monkeypatch: Patch
) -> None:
    sweep_in_groups(monkeypatch, 3)
    counted, calls = as_on_a_gpu(model, 4)
    job, manifest = job_of(scans, tmp_path / "out")
    assert run_part(job, manifest, None, counted, Sharing(together=3)).finished
    assert results(job.output) == alone[0]
    assert len(calls) < alone[1]
    events = read_all_events(job.output)
    assert [event["together"] for event in events if event["event"] == START] == [3]
    assert not any(event["alone"] for event in events if event["event"] == READING)


def test_it_is_not_mixed_with_scans_one_by_one_and_how_many_at_once_is_free(
    scans: Path, model: Vista3DModel, tmp_path: Path
) -> None:
    counted, _ = as_on_a_gpu(model, 4)
    job, manifest = job_of(scans, tmp_path / "out")
    run_cohort(job, manifest, counted, together=2)
    assert run_cohort(job, manifest, counted, together=3).plan.todo == ()
    with pytest.raises(FormatError) as refused:
        run_cohort(job, manifest, counted)
    assert refused.value.code == "COHORT_CHANGED"
    with pytest.raises(FormatError):
        run_part(job, manifest, None, counted)


def test_where_a_batch_holds_one_window_it_is_refused_before_anything_is_done(
    scans: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scans), "-o", str(tmp_path / "out"), "-w", str(weights), "-d", "cpu", "--batch-scans", "3"]
    assert main(words) == 5
    assert "BATCH_OF_ONE" in capsys.readouterr().err
    assert main([*words, "--part", "1/1"]) == 5
    assert results(tmp_path / "out") == {}


def nothing(scan: Scan, *_rest: object) -> Mapping[str, Any]:
    return {"files": [scan.name]}


@pytest.mark.parametrize("together", [2, 3])
def test_so_many_are_computed_at_once_and_never_more(together: int) -> None:
    """Each waits for the others, which would never come to a lone thread."""
    meeting, inside, most = threading.Barrier(together, timeout=20), [], [0]

    def compute(scan: Scan, *_rest: object) -> Mapping[str, Any]:
        inside.append(scan.name)
        most[0] = max(most[0], len(inside))
        meeting.wait()
        inside.remove(scan.name)
        return nothing(scan)

    seen: list[Outcome] = []
    run(SCANS, Work(nothing, compute, nothing), seen.append, together=together)
    assert sorted(outcome.scan.name for outcome in seen) == sorted(scan.name for scan in SCANS)
    assert not [outcome.message for outcome in seen if outcome.code]
    assert most[0] <= together


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_scans_than_are_computed_at_once_end_too(count: int) -> None:
    seen: list[Outcome] = []
    run(SCANS[:count], Work(nothing, nothing, nothing), seen.append, together=4)
    assert len(seen) == count


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_one_of_them_ends_the_run(error: type[BaseException]) -> None:
    def compute(scan: Scan, *_rest: object) -> Mapping[str, Any]:
        if scan.name == "c5":
            raise error
        return nothing(scan)

    with pytest.raises(error):
        run(SCANS, Work(nothing, compute, nothing), lambda outcome: None, together=3)


def test_one_that_needs_all_memory_is_computed_again_with_nothing_beside_it() -> None:
    inside: set[str] = set()
    beside: list[set[str]] = []

    def compute(scan: Scan, *_rest: object) -> Mapping[str, Any]:
        inside.add(scan.name)
        try:
            if scan.name == "c3":
                beside.append(inside - {"c3"})
                if len(beside) == 1:
                    raise ResourceError("too large", code="GPU_MEMORY")
            return nothing(scan)
        finally:
            inside.remove(scan.name)

    seen: list[Outcome] = []
    run(SCANS, Work(nothing, compute, nothing), seen.append, together=3)
    assert seen[-1].scan.name == "c3"
    assert not seen[-1].code
    assert beside[1] == set()


def test_the_busy_share_of_a_worker_counts_scans_at_once_once() -> None:
    times = [f"2026-01-01T00:00:{second:02d}" for second in (0, 20)]
    ledger = [
        {"event": "start", "time": times[0], "together": 2},
        {"event": "reading", "time": times[0], "case": "a"},
        {"event": "done", "time": times[1], "case": "a", "seconds": {"segmenting": 20.0}},
        {"event": "done", "time": times[1], "case": "b", "seconds": {"segmenting": 10.0}},
    ]
    assert busy_of([ledger]) == pytest.approx(75.0)


@pytest.mark.parametrize(("device", "expected"), [("cpu", 3), ("cuda", 5), ("mps", 5)])
def test_a_gpu_gets_room_for_two_that_are_read_and_two_that_are_saved(device: str, expected: int) -> None:
    model = FatefulModel(device=torch.device(device))
    assert slots_for(model, None) == expected  # type: ignore[arg-type]
    assert slots_for(model, 7) == 7  # type: ignore[arg-type]
