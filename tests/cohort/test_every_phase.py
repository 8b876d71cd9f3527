"""A worker that is killed after any step of a case leaves what its successor finishes to the same bytes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort import running_part
from prosect.cohort.claims import FolderClaims
from prosect.cohort.ledger import DONE, READING, REFUSED, START
from prosect.cohort.places import FolderPlace
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.cohort.sharing import SharedWork
from prosect.cohort.status import look
from prosect.cohort.store import SHARED, FolderStore, read_all_events
from prosect.cohort.worker import Worker
from worlds import cohort_models
from worlds.cohort_jobs import job_of, results
from worlds.cohort_models import FatefulModel, write_fateful

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/ns/pid").exists(), reason="elsewhere the successor would wait for a lease"
)
CASES = 2
# Each step of a case, in their order, and which call of it is the last.
STEPS: list[tuple[Any, str, int]] = [
    (FolderStore, "open_ledger", 1),
    (SharedWork, "note", 1),  # start
    (FolderClaims, "_make", 2),
    (SharedWork, "_note_reading", 2),
    (Worker, "read", 2),
    (Worker, "segment", 2),
    (SharedWork, "note", 6),
    (Worker, "save", 2),
    (FolderStore, "publish", 2),  # one of the files of a case
    (SharedWork, "_publish", 2),
    (SharedWork, "_record", 2),
    (FolderClaims, "_remove", 2),
    (running_part, "summary_of", 1),
    (FolderStore, "write", 1),  # one of the tables
    (FolderStore, "write", 2),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Return a folder of scans, and the files of a run that nothing ends."""
    folder = tmp_path_factory.mktemp("phases")
    for number in range(CASES):
        write_fateful(folder / "in" / f"c{number}.nii", number)
    job, manifest = job_of(folder / "in", folder / "whole")
    run_cohort(job, manifest, FatefulModel())
    return folder / "in", results(job.output)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_models, "STEP_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def killing(step: Callable[..., Any], call: int) -> Callable[..., Any]:
    """Return a step that ends its process with kill -9 after its so many-th call."""
    calls = [0]

    def killed(*words: Any, **more: Any) -> Any:
        calls[0] += 1
        found = step(*words, **more)
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return killed


@pytest.mark.parametrize(("owner", "name", "call"), STEPS, ids=[f"{name}-{call}" for _, name, call in STEPS])
def test_the_successor_finishes_it(
    whole: tuple[Path, dict[str, bytes]], tmp_path: Path, owner: Any, name: str, call: int
) -> None:
    job, manifest = job_of(whole[0], tmp_path / "out")
    child = os.fork()
    if child == 0:  # nothing of pytest runs here, and nothing comes back
        setattr(owner, name, killing(getattr(owner, name), call))
        run_part(job, manifest, None, FatefulModel(), Sharing(poll_s=0.01))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the step came, and the worker died in it"
    done = run_part(job, manifest, None, FatefulModel(), Sharing(poll_s=0.01))
    assert done.finished
    assert done.refused == 0
    assert results(job.output) == whole[1]
    events = read_all_events(job.output)
    assert not [event for event in events if event["event"] == REFUSED]
    outcomes = Counter(event["case"] for event in events if event["event"] == DONE)
    assert set(outcomes.values()) == {1}, "what is in the ledger is not done again"
    begun = Counter(event["case"] for event in events if event["event"] == READING)
    assert sum(begun.values()) <= CASES + 2, "at most what was at work is begun again"
    FolderPlace(job.output).sweep(0.0)
    assert list((job.output / SHARED / "work").iterdir()) == []
    assert [path for path in (job.output / SHARED / "claims").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_wrong_changes_nothing_but_times(
    whole: tuple[Path, dict[str, bytes]], tmp_path: Path, hours: int
) -> None:
    job, manifest = job_of(whole[0], tmp_path / "out")
    skew = timedelta(hours=hours)

    def wrong_now() -> datetime:
        return datetime.now(UTC) + skew

    store = FolderStore(job.output, "skewed")
    store.claims = FolderClaims(job.output / SHARED / "claims", "skewed", clock=lambda: 3600.0 * hours)
    with store.open_ledger() as append:
        append({"event": START, "time": wrong_now().isoformat(), "settings": job.identity(FatefulModel())})
        assert store.claims.take("c1")
        # Fresh for everyone, whatever the clocks of the two say.
        mine = FolderClaims(job.output / SHARED / "claims", "mine")
        assert not mine.take("c1")
        assert [held.age_s < 60 for held in mine.held()] == [True]
        mine.close()
    store.claims.close()
    assert run_part(job, manifest, None, FatefulModel(), Sharing(), now=wrong_now).finished
    assert run_part(job, manifest, None, FatefulModel(), Sharing()).finished
    assert results(job.output) == whole[1]
    assert look(FolderPlace(job.output)).left == 0
