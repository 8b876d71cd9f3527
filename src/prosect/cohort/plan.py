"""What is left to do in a folder of results: what the ledger calls finished is believed only if the files agree."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.cohort.ledger import Event, History
from prosect.cohort.manifest import Scan, stamp
from prosect.errors import FormatError, OutputError, ProsectError
from prosect.io.paths import file_name

__all__ = [
    "Plan", "fingerprint", "identity", "is_same_input", "plan", "refuse_changed_settings", "refuse_foreign",
    "refuse_inputs", "refuse_namesakes",
]  # fmt: skip

STANDINGS = ("finished", "changed", "again", "new")
SHOWN = 5
CHUNK = 1 << 20


@dataclass(frozen=True)
class Plan:
    """What a run does with each scan.

    Attributes:
        todo: To be segmented, beside one another.
        alone: To be segmented after those, each with nothing beside it: a run died while they were at work, of too
            much memory perhaps, and must not die of them again before the rest is done.
        finished: Done by an earlier run; their files are as they were left.
        changed: Done by an earlier run and changed by someone since; they are left alone.
        again: Of those to be segmented, the ones whose input was replaced since they were done.
    """

    todo: tuple[Scan, ...]
    alone: tuple[Scan, ...]
    finished: tuple[Scan, ...]
    changed: tuple[Scan, ...]
    again: tuple[Scan, ...]


def plan(
    scans: Sequence[Scan], out: Path, known: History, planned: Callable[[str], Sequence[str]], overwrite: bool = False
) -> Plan:
    """Return what is left to do.

    Args:
        scans: All scans.
        out: Folder of the results.
        known: What the ledger tells.
        planned: The files of a case by its name, relative to `out`.
        overwrite: Whether files that the ledger does not account for may be replaced.

    Raises:
        OutputError: Files are in the way that no run of this ledger has written, or that belong to scans of the same
            names in another place (`OUTPUT_EXISTS`).
    """
    here: dict[str, list[Scan]] = {word: [] for word in STANDINGS}
    todo, alone = [], []
    for scan in scans:
        word = standing(scan, out, known)
        here[word].append(scan)
        # What somebody has edited since is theirs, and kept unless it may be replaced.
        is_kept = word == "changed" and not overwrite
        if word == "finished" or is_kept:
            continue
        # A run may have died of this scan: such scans come last, one at a time.
        if scan.name in known.suspects:
            alone.append(scan)
        else:
            todo.append(scan)
    if not overwrite:
        foreign: list[str] = []
        for scan in here["new"]:
            if scan.name not in known.begun:
                foreign += [name for name in planned(scan.name) if os.path.lexists(out / name)]
        refuse_foreign(foreign)
        refuse_namesakes(here["again"], known.done)
    kept = () if overwrite else tuple(here["changed"])
    return Plan(tuple(todo), tuple(alone), tuple(here["finished"]), kept, tuple(here["again"]))


def standing(scan: Scan, out: Path, known: History) -> str:
    """Return how far a scan is: `finished`, `changed` (its files), `again` (its input was replaced) or `new`."""
    event = known.done.get(scan.name)
    if event is None:
        return "new"
    states = states_of(out, event)
    if "changed" in states:
        return "changed"
    if not is_same_input(event["input"], scan):
        return "again"
    if "missing" not in states:
        return "finished"
    return "new"


def states_of(out: Path, event: Event) -> set[str]:
    """Return what the files of a finished case are: `same`, `changed`, `missing`."""
    states = set()
    for name, recorded in event["files"].items():
        try:
            states.add("same" if fingerprint(out / name) == recorded else "changed")
        except FileNotFoundError:
            states.add("missing")
        except OSError:
            states.add("changed")
    return states


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    total = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            total.update(chunk)
        return {"bytes": handle.tell(), "sha256": total.hexdigest()}


def identity(scan: Scan) -> dict[str, Any]:
    """Return what tells whether a case is still the same input, and where that lies."""
    return {**content_of(scan), "place": place_of(scan)}


def content_of(scan: Scan) -> dict[str, Any]:
    """Return what differs when the input of a case was replaced."""
    try:
        return {"series": scan.series, "stamp": stamp(scan)}
    except ProsectError:
        return {"series": scan.series, "stamp": ""}


def place_of(scan: Scan) -> str:
    """Return a short hash of the path of a scan, which itself may name a patient; empty in an object store."""
    if scan.version:
        return ""
    return hashlib.sha256(os.fsencode(os.path.realpath(scan.path))).hexdigest()[:16]


def is_same_input(recorded: Mapping[str, Any], scan: Scan) -> bool:
    """Return whether a scan is the input that was recorded; where it lies is left open, since folders are moved."""
    now = content_of(scan)
    return all(recorded.get(word) == value for word, value in now.items())


def refuse_namesakes(scans: Iterable[Scan], done: Mapping[str, Event]) -> None:
    """Refuse to replace results of other scans that have the names of these, as two folders of patients can.

    A scan that was replaced where it lies has the old place, and is done again.

    Args:
        scans: Scans that are not the inputs of their results.
        done: The `done` event of each case by its name. Ledgers of before do not say the place.

    Raises:
        OutputError: There are any (`OUTPUT_EXISTS`).
    """
    names: list[str] = []
    for scan in scans:
        before = done[scan.name]["input"].get("place")
        if before and before != place_of(scan):
            names.append(file_name(scan.name))
    if names:
        more = ""
        if len(names) > SHOWN:
            more = f" and {len(names) - SHOWN} more"
        raise OutputError(
            f"The folder holds results of other scans that are called {', '.join(names[:SHOWN])}{more}, too. "
            "Choose another folder, or replace them with --overwrite.",
            code="OUTPUT_EXISTS",
        )


def refuse_foreign(names: Sequence[str]) -> None:
    """Refuse to replace files that no run of this ledger has written.

    Raises:
        OutputError: There are any (`OUTPUT_EXISTS`).
    """
    if names:
        more = ""
        if len(names) > SHOWN:
            more = f" and {len(names) - SHOWN} more"
        raise OutputError(
            f"{', '.join(file_name(name) for name in names[:SHOWN])}{more}: in the way, and not written by an "
            "earlier run of this command. Choose another folder, or replace them with --overwrite.",
            code="OUTPUT_EXISTS",
        )


def refuse_changed_settings(known: History, settings: Mapping[str, Any], overwrite: bool = False) -> None:
    """Refuse to mix results of different models or parameters in one folder.

    Raises:
        FormatError: The last run here was asked something else (`COHORT_CHANGED`); the message says what differs.
    """
    before = known.settings
    if before is None or overwrite or not known.begun:
        return
    changes = []
    for key in sorted({*before, *settings}):
        if before.get(key) != settings.get(key):
            changes.append(f"{key} was {before.get(key)!s:.60} and is {settings.get(key)!s:.60}")
    if changes:
        raise FormatError(
            f"This folder holds results of another run: {'; '.join(changes)}. "
            "Choose another folder, or do all cases anew with --overwrite.",
            code="COHORT_CHANGED",
        )


def refuse_inputs(scans: Iterable[Scan], out: Path, planned: Callable[[str], Sequence[str]]) -> None:
    """Refuse results that would replace a scan; links count.

    Raises:
        FormatError: `OUTPUT_IS_INPUT`.
    """
    inputs: set[tuple[int, int] | None] = set()
    for scan in scans:
        inputs |= {file_key(path) for path in scan.files}
    inputs.discard(None)
    for scan in scans:
        for name in planned(scan.name):
            if file_key(out / name) in inputs:
                raise OutputError(
                    f"{file_name(name)}: the output is one of the scans, which would destroy it. "
                    "Choose another folder.",
                    code="OUTPUT_IS_INPUT",
                )


def file_key(path: Path) -> tuple[int, int] | None:
    """Return what is the same for all names of one file, None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
