"""A cohort on this machine: the pipeline, with every step in the ledger before the next builds on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from prosect.cohort.ledger import DONE, READING, REFUSED, SAVING, START, STOPPED, Ledger, digest
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import SLOTS, Outcome, Work, run
from prosect.cohort.plan import Plan, fingerprint, identity
from prosect.errors import ProsectError

__all__ = ["outcome_event", "segment_all"]

V = TypeVar("V")
R = TypeVar("R")


def segment_all(
    todo: Plan,
    work: Work[V, R],
    ledger: Ledger,
    out: Path,
    settings: Mapping[str, Any],
    watch: Callable[[Outcome], None],
    *,
    source: str = "",
    slots: int = SLOTS,
    together: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Segment every scan, writing down what became of each.

    A case is done when its files are on the disk and then the ledger says so. The ledger says beforehand whose files
    are about to be written, so that the next run knows them for its own.

    Args:
        todo: What is left to do.
        work: How; `save` returns under `files` the paths it has written.
        ledger: Where it is written down.
        out: Folder of the results.
        settings: What was asked, by name; results of different settings are never mixed.
        watch: Told of each outcome once it is on the disk.
        source: The folder from which the paths of the scans count.
        slots: How many scans may be in memory at once.
        together: How many of them are computed at once.
        clock: Seconds.

    Raises:
        ProsectError: The disk is full, or the ledger cannot be written.
    """
    mine = digest(settings)
    inputs = {scan.name: identity(scan) for scan in (*todo.todo, *todo.alone)}
    total = len(inputs) + len(todo.finished) + len(todo.changed)
    ledger.append(
        START, pid=os.getpid(), settings=dict(settings), cases=len(inputs), total=total, scans=source, together=together
    )
    record, steps = recorder(ledger, mine, inputs, watch), with_lines(work, ledger, out, mine)
    try:
        run(todo.todo, steps, record, alone=todo.alone, slots=slots, together=together, clock=clock)
    except BaseException:
        with suppress(ProsectError):  # the disk may be full
            ledger.append(STOPPED)
        raise


def recorder(
    ledger: Ledger, mine: str, inputs: Mapping[str, Mapping[str, Any]], watch: Callable[[Outcome], None]
) -> Callable[[Outcome], None]:
    """Return what writes down how a case ended and tells who watches; `inputs` are what the cases were before."""

    def record(outcome: Outcome) -> None:
        kind, what = outcome_event(outcome, mine, inputs[outcome.scan.name])
        ledger.append(kind, **what)
        watch(outcome)

    return record


def with_lines(work: Work[V, R], ledger: Ledger, out: Path, mine: str) -> Work[V, R]:
    """Return steps that write into a ledger what they are about to do, and the files that they have written."""

    def read(scan: Scan) -> V:
        ledger.append(READING, case=scan.name)
        return work.read(scan)

    def save(scan: Scan, volume: V, result: R) -> Mapping[str, Any]:
        ledger.append(SAVING, case=scan.name, settings=mine)
        kept = work.save(scan, volume, result)
        files = {}
        for path in kept["files"]:
            files[Path(path).relative_to(out).as_posix()] = fingerprint(path)
        return {**kept, "files": files}

    return replace(work, read=read, save=save)


def outcome_event(outcome: Outcome, settings: str, identity: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind of event that tells how a case ended, and what it holds.

    Args:
        outcome: How it ended.
        settings: Digest of what was asked.
        identity: What tells whether the case is still the same input.
    """
    scan = outcome.scan
    what: dict[str, Any] = {"case": scan.name, "scan": scan.origin, "settings": settings, "input": identity}
    seconds = {}
    for stage, value in outcome.seconds.items():
        seconds[stage] = round(value, 3)
    if outcome.code:
        return REFUSED, {**what, "code": outcome.code, "message": outcome.message, "seconds": seconds}
    return DONE, {**what, "seconds": seconds, **outcome.kept}
