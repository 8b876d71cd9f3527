"""Run one worker of a cohort that many workers share, and write the tables when the last case has an outcome."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import prosect
from prosect.cohort import report
from prosect.cohort.claims import LEASE_S, RENEWALS_PER_LEASE, heartbeat
from prosect.cohort.joined import joined_tables
from prosect.cohort.ledger import START, History, digest
from prosect.cohort.manifest import Manifest, Scan
from prosect.cohort.pipeline import Work
from prosect.cohort.plan import Plan, is_same_input, refuse_changed_settings, refuse_namesakes
from prosect.cohort.running import REPORT, STATISTICS, CohortWatch, refuse_names, silence
from prosect.cohort.sharing import Part, SharedWork, order_of
from prosect.cohort.store import FolderStore, Store, own_worker_name
from prosect.cohort.union import Union
from prosect.cohort.worker import Worker, batching, settings_of, slots_for
from prosect.errors import OutputError, UsageError
from prosect.jobs.cohort import CohortJob
from prosect.jobs.segment import utc_now

if TYPE_CHECKING:
    from prosect.models import Finds

__all__ = ["PartRun", "Sharing", "refuse_shared", "run_part", "store_of", "write_tables"]

WATCHDOG_PERIOD_S = 10.0

V = TypeVar("V")
R = TypeVar("R")


class Source(Protocol):
    """Where scans are that do not lie on this machine."""

    def fetch(self, scan: Scan) -> None:
        """Bring a scan to its path on this machine."""

    def drop(self, scan: Scan) -> None:
        """Remove it from this machine."""


@dataclass(frozen=True)
class Sharing:
    """How a worker shares a cohort; none of it decides a result.

    Attributes:
        part: Which cases it does first.
        lease_s: Seconds after which a claim that is not renewed is stale.
        case_time_s: Seconds that one step of a case may take; None for an hour, or ten times the slowest step so far.
        slots: How many scans may be in memory at once; None for what the device gains from.
        poll_s: Seconds between looks at what others do, where nothing is left to claim.
        together: How many scans are computed at once, their windows in the same batches; see `Batches`.
    """

    part: Part = field(default_factory=Part)
    lease_s: float = LEASE_S
    case_time_s: float | None = None
    slots: int | None = None
    poll_s: float = 2.0
    together: int = 1


@dataclass(frozen=True)
class PartRun:
    """What came of a cohort, as one of its workers sees it at its end.

    Attributes:
        finished: Whether every case has an outcome.
        report: Every scan with what became of it, and the counts, as plain data.
        seconds: How long this worker took.
    """

    finished: bool
    report: Mapping[str, Any]
    seconds: float

    @property
    def refused(self) -> int:
        """How many scans were refused."""
        return int(self.report["counts"]["refused"])


def store_of(job: CohortJob, lease_s: float = LEASE_S, now: Callable[[], datetime] = utc_now) -> Store:
    """Return the place where the workers of a job meet, for a worker of this process."""
    return FolderStore(job.output, own_worker_name(now()), lease_s)


def run_part(
    job: CohortJob,
    manifest: Manifest,
    store: Store | None = None,
    model: Finds | None = None,
    sharing: Sharing | None = None,
    source: Source | None = None,
    *,
    watching: Callable[[int], AbstractContextManager[CohortWatch]] = silence,
    now: Callable[[], datetime] = utc_now,
    clock: Callable[[], float] = time.monotonic,
) -> PartRun:
    """Do cases of a cohort beside other workers until each has an outcome.

    Args:
        job: What is asked for.
        manifest: The scans; see `inputs.scans_of`. Every worker is given all of them.
        store: Where the workers meet; by default the folder of the results.
        model: Who answers; by default the one that the job names is loaded.
        sharing: How the work is shared.
        source: Brings scans to this machine that lie elsewhere.
        watching: Yields, for the number of scans, who is told of each that this worker does.
        now: The time of day.
        clock: Seconds.

    Raises:
        ProsectError: What concerns all of them: names that clash, other settings than those of the other workers,
            everyone was asked to leave (`COHORT_STOPPED`), the model, a full disk.
    """
    how = sharing or Sharing()
    refuse_shared(job, manifest)
    place = store or store_of(job, how.lease_s, now)
    refuse_stopped(place)
    began = clock()
    with place.open_ledger() as append, watching(len(manifest.scans)) as watch:
        loaded = batching(model or prosect.require_finds(job.model.load()), how.together)
        worker = Worker(replace(job, output=place.work), loaded, now)
        settings = settings_of(job, worker.model, how.together)
        steps = worker.steps(watch.on_window if how.together == 1 else None)
        if source is not None:
            steps = with_source(steps, source)
        shared = SharedWork(
            order_of(manifest.scans, how.part), steps, place, append, digest(settings),
            watch=watch.outcome, planned=job.planned_names, case_time_s=how.case_time_s,
            slots=slots_for(worker.model, how.slots), together=how.together, poll_s=how.poll_s,
            now=lambda: now().isoformat(timespec="seconds"), clock=clock,
        )  # fmt: skip
        finished = begin_and_run(shared, place, manifest.scans, settings, how, job.scans_folder)
        found = summary_of(manifest, shared.union, settings, shared.changed)
        if finished:
            write_tables(place, manifest, shared.union, settings, found, job.tables)
    return PartRun(finished, found, clock() - began)


def begin_and_run(
    shared: SharedWork[V, R],
    place: Store,
    scans: Sequence[Scan],
    settings: Mapping[str, Any],
    how: Sharing,
    source: str,
) -> bool:
    """Enter a worker in its ledger, and let it run with its claims renewed and its steps watched.

    Raises:
        ProsectError: Another worker was asked something else, the folder holds results of other scans of these names,
            or see `SharedWork.run`.
    """
    shared.refresh()
    refuse_other_settings(shared.union, settings)
    done = shared.union.done_cases()
    again: list[Scan] = []
    for scan in scans:
        # What is settled is remembered so, and not looked at again when the worker comes to it.
        if scan.name not in done or shared.is_settled(scan):
            continue
        if not is_same_input(done[scan.name]["input"], scan):
            again.append(scan)
    refuse_namesakes(again, done)
    whole = {"settings": dict(settings), "total": shared.total, "scans": source, "together": how.together}
    shared.note(START, pid=os.getpid(), worker=place.worker, **whole)
    with heartbeat(place.claims, how.lease_s / RENEWALS_PER_LEASE), shared.watchdog.watching(watch_period(how)):
        return shared.run()


def with_source(steps: Work[V, R], source: Source) -> Work[V, R]:
    """Return steps that fetch a scan before it is read, and drop it when its result is saved or it is refused."""

    def read(scan: Scan) -> V:
        source.fetch(scan)
        with dropping(source, scan):
            return steps.read(scan)

    def compute(scan: Scan, volume: V) -> R:
        with dropping(source, scan):
            return steps.compute(scan, volume)

    def save(scan: Scan, volume: V, result: R) -> Mapping[str, Any]:
        # Writers of DICOM read the headers again, so the scan is here until its result is written.
        try:
            return steps.save(scan, volume, result)
        finally:
            source.drop(scan)

    return Work(read, compute, save)


@contextmanager
def dropping(source: Source, scan: Scan) -> Iterator[None]:
    """Drop a scan where the block fails, after which nothing more is done with it."""
    try:
        yield
    except BaseException:
        source.drop(scan)
        raise


def refuse_shared(job: CohortJob, manifest: Manifest) -> None:
    """Refuse what can be refused before anything is started.

    Raises:
        UsageError: Results are to be overwritten, which many workers cannot do together.
        ProsectError: See `running.refuse_names`.
    """
    if job.overwrite:
        raise UsageError("--overwrite: many workers would overwrite each other's results. Choose a new folder.")
    refuse_names(job, manifest)


def watch_period(how: Sharing) -> float:
    """Return how often the watchdog looks: often enough that a short limit is kept too."""
    if how.case_time_s is None:
        return WATCHDOG_PERIOD_S
    return min(WATCHDOG_PERIOD_S, how.case_time_s / 4)


def refuse_stopped(store: Store) -> None:
    """Refuse to begin where everyone was asked to leave.

    Raises:
        OutputError: `COHORT_STOPPED`.
    """
    reason = store.stop_reason()
    if reason is not None:
        raise OutputError(
            f"All workers of this folder were asked to leave ({reason}). When the cause is gone, let them begin again "
            "with: prosect cohort retry OUT",
            code="COHORT_STOPPED",
        )


def refuse_other_settings(union: Union, settings: Mapping[str, Any]) -> None:
    """Refuse to mix results of different models or parameters in one folder.

    Raises:
        FormatError: Another worker was asked something else (`COHORT_CHANGED`); the message says what differs.
    """
    for theirs in union.settings.values():
        refuse_changed_settings(History(theirs, begun=frozenset(union.begun)), settings)


def history_of(union: Union, settings: Mapping[str, Any]) -> History:
    """Return what the ledgers of all workers amount to."""
    return History(settings, union.done_cases(), union.refused_cases(), frozenset(union.begun))


def summary_of(
    manifest: Manifest, union: Union, settings: Mapping[str, Any], changed: Sequence[str] | set[str]
) -> dict[str, Any]:
    """Return every case with what became of it, and the counts."""
    touched: list[Scan] = []
    for scan in manifest.scans:
        if scan.name in changed:
            touched.append(scan)
    plan = Plan((), (), (), tuple(touched), ())
    return report.summary(manifest, plan, history_of(union, settings), settings)


def write_tables(
    store: Store,
    manifest: Manifest,
    union: Union,
    settings: Mapping[str, Any],
    found: Mapping[str, Any],
    kinds: Sequence[str] = (),
) -> None:
    """Write the report and the joined tables; each worker that sees the end writes the same.

    Args:
        store: Where all meet.
        manifest: The scans.
        union: What all ledgers say.
        settings: What was asked.
        found: The report.
        kinds: Which further tables; see `joined.JOINED`.

    Raises:
        ProsectError: The place cannot be written, or the disk is full.
    """
    store.write(REPORT, json.dumps(found, indent=2).encode("ascii") + b"\n")
    known = history_of(union, settings)
    tables = []
    for name in report.tables_of(known, [scan.name for scan in manifest.scans]):
        content = store.read(name)
        if content is not None:
            tables.append(content)
    if tables:
        store.write(STATISTICS, b"".join(report.join_tables(tables)))
    for name, content in joined_tables(kinds, store.read, known.done).items():
        store.write(name, content)
