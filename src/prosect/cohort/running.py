"""Run a cohort: what is left to do, done by a worker, written down in the ledger, and summed up at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import prosect
from prosect.cohort import report
from prosect.cohort.joined import JOINED, joined_tables, require_joined
from prosect.cohort.ledger import History, Ledger, history, open_ledger
from prosect.cohort.local import segment_all
from prosect.cohort.manifest import LEDGER, Manifest, refuse_clashes
from prosect.cohort.pipeline import Outcome
from prosect.cohort.places import FolderPlace
from prosect.cohort.plan import Plan, plan, refuse_changed_settings, refuse_foreign, refuse_inputs
from prosect.cohort.store import read_all_events, refuse_workers
from prosect.cohort.worker import Worker, batching, settings_of, slots_for
from prosect.io.atomic import make_folder
from prosect.io.temporary import sweep
from prosect.jobs.cohort import CohortJob
from prosect.jobs.segment import utc_now
from prosect.progress import Watch

if TYPE_CHECKING:
    from prosect.models import Finds

__all__ = ["REPORT", "STATISTICS", "CohortRun", "CohortWatch", "refuse_names", "run_cohort"]

REPORT, STATISTICS = "cohort_report.json", "statistics.csv"


class CohortWatch(Protocol):
    """Who is told how far a cohort is."""

    @property
    def on_window(self) -> Watch | None:
        """Told of each window of the present scan; None where nobody looks that closely."""

    def outcome(self, outcome: Outcome) -> None:
        """Take how one scan ended."""


class Silence:
    """Nobody is told."""

    on_window = None

    def outcome(self, outcome: Outcome) -> None:
        """Tell nobody."""


@contextmanager
def silence(_total: int) -> Iterator[CohortWatch]:
    """Yield a watch that tells nobody."""
    yield Silence()


def ignore(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class CohortRun:
    """What came of a cohort, over all runs so far.

    Attributes:
        report: Every scan with what became of it, and the counts, as plain data.
        plan: What this run had to do.
        seconds: How long it took.
        report_file: Where the report lies.
    """

    report: Mapping[str, Any]
    plan: Plan
    seconds: float
    report_file: Path

    @property
    def refused(self) -> int:
        """How many scans were refused."""
        return int(self.report["counts"]["refused"])


def refuse_names(job: CohortJob, manifest: Manifest) -> None:
    """Refuse structures that the model does not offer, and results that would overwrite one another or an input.

    Raises:
        VocabularyError: A structure is unknown or not offered.
        FormatError: `OUTPUT_NAME_CLASH`.
    """
    if job.classes is not None:
        job.model.refuse_unknown(job.classes)
    refuse_inputs(manifest.scans, job.output, job.planned_names)
    refuse_clashes(manifest.scans, job.planned_names, reserved=(LEDGER, REPORT, STATISTICS, *JOINED.values()))
    require_joined(job.tables)


def run_cohort(
    job: CohortJob,
    manifest: Manifest,
    model: Finds | None = None,
    *,
    watching: Callable[[int], AbstractContextManager[CohortWatch]] = silence,
    on_stop: Callable[[int, int], None] = ignore,
    slots: int | None = None,
    together: int = 1,
    now: Callable[[], datetime] = utc_now,
    clock: Callable[[], float] = time.monotonic,
) -> CohortRun:
    """Segment every scan of a cohort that is not done yet, and return what came of all.

    Args:
        job: What is asked for.
        manifest: The scans; see `inputs.scans_of`.
        model: Who answers; by default the one that the job names is loaded.
        watching: Yields, for the number of scans that are left to do, who is told of each.
        on_stop: Told, where the run ends before its time, how many scans of how many are done.
        slots: How many scans may be in memory at once; None for what the device gains from, see `pipeline`.
        together: How many of them are computed at once, their windows in the same batches; see `Batches`.
        now: The time of day.
        clock: Seconds.

    Raises:
        ProsectError: What concerns all of them: names that clash, a folder in use, other settings than before, the
            model, a full disk.
    """
    refuse_names(job, manifest)
    make_folder(job.output)
    refuse_workers(job.output)
    with open_ledger(job.output / LEDGER, lambda: now().isoformat(timespec="seconds")) as ledger:
        sweep([job.output])
        worker = Worker(job, batching(model or prosect.require_finds(job.model.load()), together), now)
        settings = settings_of(job, worker.model, together)
        known = known_of(ledger, settings)
        refuse_known(job, known, settings)
        todo = plan(manifest.scans, job.output, known, job.planned_names, job.overwrite)
        begin = clock()
        try:
            with watching(len(todo.todo) + len(todo.alone)) as watch:
                steps = worker.steps(watch.on_window if together == 1 else None)
                segment_all(
                    todo, steps, ledger, job.output, settings, watch.outcome,
                    source=job.scans_folder, slots=slots_for(worker.model, slots), together=together,
                )  # fmt: skip
        except BaseException:
            on_stop(len(known_of(ledger, settings).done), len(manifest.scans))
            raise
        found = write_summary(job, manifest, todo, known_of(ledger, settings), settings, clock() - begin, together)
        return CohortRun(found, todo, clock() - begin, job.output / REPORT)


def known_of(ledger: Ledger, settings: Mapping[str, Any]) -> History:
    """Return what a ledger amounts to, with those of workers that shared the folder before."""
    return history([*read_all_events(ledger.path.parent), *ledger.events], settings)


def refuse_known(job: CohortJob, known: History, settings: Mapping[str, Any]) -> None:
    """Refuse a folder with results of other settings, or with tables that no folder run has written.

    Raises:
        FormatError: The last run here was asked something else (`COHORT_CHANGED`).
        OutputError: There are tables, such as those of a single scan (`OUTPUT_EXISTS`).
    """
    refuse_changed_settings(known, settings, job.overwrite)
    if known.settings is None and not job.overwrite:
        names = (REPORT, STATISTICS, *(JOINED[kind] for kind in job.tables))
        refuse_foreign([name for name in names if os.path.lexists(job.output / name)])


def write_summary(
    job: CohortJob,
    manifest: Manifest,
    todo: Plan,
    known: History,
    settings: Mapping[str, Any],
    seconds: float,
    together: int = 1,
) -> dict[str, Any]:
    """Write the report and the joined table over all runs, and return the report.

    Args:
        job: What was asked for.
        manifest: The scans.
        todo: What this run had to do.
        known: What the ledger tells now.
        settings: What decides the results.
        seconds: How long this run took.
        together: How many scans were computed at once.

    Raises:
        ProsectError: The folder cannot be written, or the disk is full.
    """
    found = report.summary(manifest, todo, known, settings)
    found["last_run"] = report.pace(todo, known, seconds, together)
    report.write_json(found, job.output / REPORT)
    report.write_statistics(job.output, known, [scan.name for scan in manifest.scans], job.output / STATISTICS)
    place = FolderPlace(job.output)
    for name, content in joined_tables(job.tables, place.read, known.done).items():
        place.write(name, content)
    return found
