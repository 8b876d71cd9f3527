"""The ledger of a cohort: one line per event, on the disk before anything builds on it, never rewritten.

The lines are those of `prosect.io.line_log`. One that a crash cut short, or that rot has changed, is as if it had never
been written. So nothing that the ledger says can be half true, and the worst that a lost line costs is one case done
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.errors import OutputError, ProsectError
from prosect.io.atomic import output_error
from prosect.io.line_log import LogFile, decode_lines, open_log, warn_of_damage
from prosect.io.paths import file_name

__all__ = [
    "DONE", "OVERDUE", "READING", "REFUSED", "RETRY", "SAVING", "START", "STOPPED", "Event", "History", "Ledger",
    "digest", "history", "open_ledger", "replay",
]  # fmt: skip

# Of a run: it started, and it stopped in order before its end. Of a case, in this order; the last two are its outcome.
START, STOPPED = "start", "stopped"
# Of a case that took too long, told by the worker that then leaves; of cases that a person wants tried again.
OVERDUE, RETRY = "overdue", "retry"
READING, SAVING, DONE, REFUSED = "reading", "saving", "done", "refused"

Event = dict[str, Any]


@dataclass(frozen=True)
class History:
    """What the events of a ledger amount to.

    Attributes:
        settings: What the last run was asked to do; None where there was none.
        done: The `done` event of each case that was done under the settings of this run.
        refused: The `refused` event of each that was not.
        begun: Cases whose files may have been written by an earlier run.
        suspects: Cases that were at work when a run died without a word; one of them may be why.
    """

    settings: Mapping[str, Any] | None = None
    done: Mapping[str, Event] = field(default_factory=dict)
    refused: Mapping[str, Event] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()
    suspects: frozenset[str] = frozenset()


class Ledger:
    """An open ledger, which this process alone may append to.

    Args:
        log: The file.
        events: What it holds.
        now: Says the time of an event.
    """

    def __init__(self, log: LogFile, events: Sequence[Event], now: Callable[[], str]) -> None:
        self.events = list(events)
        self._log = log
        self._now = now

    @property
    def path(self) -> Path:
        """The file."""
        return self._log.path

    def append(self, kind: str, **what: Any) -> None:
        """Write one event and wait until it is on the disk.

        Raises:
            OutputError: The file cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        event = {"event": kind, "time": self._now(), **what}
        self._log.append(event)
        self.events.append(event)

    def history(self, settings: Mapping[str, Any]) -> History:
        """Return what the events so far amount to for a run with these settings."""
        return history(self.events, settings)


@contextmanager
def open_ledger(path: Path, now: Callable[[], str]) -> Iterator[Ledger]:
    """Yield the ledger at `path`, made if need be, locked against every other process until the block ends.

    A line that a crash cut short goes; a damaged one before it stays, is left out and warned of.

    Args:
        path: The file; its folder exists.
        now: Says the time of an event.

    Raises:
        OutputError: Another process has it (`OUTPUT_LOCKED`), or it cannot be written.
        ResourceError: The disk is full.
    """
    with open_log(path) as log:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise output_error(path, error) from error
        if log is None:
            raise locked_refusal(path, replay(content))
        lines = decode_lines(content)
        log.repair(content, lines)
        warn_of_damage(path, lines.damaged)
        yield Ledger(log, replay(content), now)


def locked_refusal(path: Path, events: Sequence[Event]) -> ProsectError:
    """Return the refusal for a folder that another process works in."""
    number = next((event.get("pid") for event in reversed(events) if event["event"] == START), None)
    who = ""
    if number:
        who = f" (process {number})"
    return OutputError(
        f"{file_name(path.parent)}: another run{who} is writing its results here. Wait for it, or "
        "choose another folder.",
        code="OUTPUT_LOCKED",
    )


def replay(content: bytes) -> list[Event]:
    """Return the events whose lines are whole, in their order."""
    found = []
    for entry in decode_lines(content).entries:
        if isinstance(entry.get("event"), str):
            found.append(entry)
    return found


def digest(settings: Mapping[str, Any]) -> str:
    """Return a short hash of settings, which events carry."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def history(events: Sequence[Event], settings: Mapping[str, Any]) -> History:
    """Return what events amount to for a run with `settings`; what was done under others does not count as done."""
    mine = digest(settings)
    # A case whose files are being written again is not done, whatever an earlier line says.
    latest: dict[str, Event] = {}
    begun: set[str] = set()
    last_settings: Mapping[str, Any] | None = None
    for event in events:
        if event["event"] == START:
            last_settings = event["settings"]
        if event["event"] in (SAVING, DONE, REFUSED):
            latest[event["case"]] = event
        if event["event"] in (SAVING, DONE):
            begun.add(event["case"])
    done: dict[str, Event] = {}
    refused: dict[str, Event] = {}
    for case, event in latest.items():
        if event["settings"] == mine and event["event"] == DONE:
            done[case] = event
        elif event["settings"] == mine and event["event"] == REFUSED:
            refused[case] = event
    return History(last_settings, done, refused, frozenset(begun), frozenset(in_flight(events)))


def in_flight(events: Sequence[Event]) -> set[str]:
    """Return the cases that were begun and have no outcome, though no run stopped in order."""
    cases: set[str] = set()
    for event in events:
        if event["event"] == READING:
            cases.add(event["case"])
        elif event["event"] in (DONE, REFUSED):
            cases.discard(event["case"])
        elif event["event"] == STOPPED:
            cases.clear()
    return cases
