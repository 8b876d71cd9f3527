"""The ledger of a cohort: one line per event, on the disk before anything builds on it, never rewritten.

Each line is a JSON object that ends in the CRC-32 of itself. A line that a crash cut short, or that rot has changed,
is as if it had never been written; the next run begins a new line behind it. So nothing that the ledger says can be
half true, and the worst that a lost line costs is one case done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.cohort.lock import try_lock
from prosect.errors import FormatError, ProsectError
from prosect.io.atomic import output_error, sync_folder
from prosect.io.paths import file_name

__all__ = [
    "DONE", "READING", "REFUSED", "SAVING", "START", "STOPPED", "History", "Ledger", "digest", "history", "open_ledger",
    "replay",
]  # fmt: skip

# Of a run: it started, and it stopped in order before its end. Of a case, in this order; the last two are its outcome.
START, STOPPED = "start", "stopped"
READING, SAVING, DONE, REFUSED = "reading", "saving", "done", "refused"
CRC_KEY = b',"crc32":"'
CRC_TAIL = len(CRC_KEY) + 8 + len(b'"}')

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
    """An open ledger, which this process alone may append to."""

    def __init__(self, path: Path, descriptor: int, events: Sequence[Event], now: Callable[[], str]) -> None:
        self.path = path
        self.events = list(events)
        self._descriptor: int | None = descriptor
        self._now = now
        self._lock = threading.Lock()

    def append(self, kind: str, **what: Any) -> None:
        """Write one event and wait until it is on the disk.

        Raises:
            FormatError: The file cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        event = {"event": kind, "time": self._now(), **what}
        with self._lock:
            if self._descriptor is None:
                raise FormatError(f"{file_name(self.path)}: the run is over.", code="OUTPUT_UNWRITABLE")
            try:
                write_all(self._descriptor, line(event))
                os.fsync(self._descriptor)
            except OSError as error:
                raise output_error(self.path, error) from error
            self.events.append(event)

    def close(self) -> None:
        """Give the folder free; a thread that is late can append no more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def history(self, settings: Mapping[str, Any]) -> History:
        """Return what the events so far amount to for a run with these settings."""
        return history(self.events, settings)


@contextmanager
def open_ledger(path: Path, now: Callable[[], str]) -> Iterator[Ledger]:
    """Yield the ledger at `path`, made if need be, locked against every other process until the block ends.

    Args:
        path: The file; its folder exists.
        now: Says the time of an event.

    Raises:
        FormatError: Another process has it (`OUTPUT_LOCKED`), or it cannot be written.
        ResourceError: The disk is full.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise output_error(path, error) from error
    ledger = Ledger(path, descriptor, (), now)
    try:
        ledger.events += begin(path, descriptor)
        yield ledger
    finally:
        ledger.close()


def begin(path: Path, descriptor: int) -> list[Event]:
    """Lock the file, close a line that was cut short, and return the events.

    Raises:
        ProsectError: See `open_ledger`.
    """
    try:
        free = try_lock(descriptor)
        content = path.read_bytes()
        if free and content and not content.endswith(b"\n"):
            write_all(descriptor, b"\n")
        sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    if not free:
        raise locked(path, replay(content))
    return replay(content)


def locked(path: Path, events: Sequence[Event]) -> ProsectError:
    """Return the refusal for a folder that another process works in."""
    number = next((event.get("pid") for event in reversed(events) if event["event"] == START), None)
    who = f" (process {number})" if number else ""
    return FormatError(
        f"{file_name(path.parent)}: another run{who} is writing its results here. Wait for it, or "
        "choose another folder.",
        code="OUTPUT_LOCKED",
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; the system may take fewer at a time."""
    while data:
        data = data[os.write(descriptor, data) :]


def line(event: Mapping[str, Any]) -> bytes:
    """Return an event as a line with its checksum."""
    body = json.dumps(event, separators=(",", ":")).encode("ascii")
    return body[:-1] + CRC_KEY + b'%08x"}\n' % zlib.crc32(body)


def replay(content: bytes) -> list[Event]:
    """Return the events whose lines are whole, in their order."""
    return [event for text in content.split(b"\n") if (event := parsed(text)) is not None]


def parsed(text: bytes) -> Event | None:
    """Return the event of a line, or None where its checksum is missing or wrong."""
    body, tail = text[:-CRC_TAIL] + b"}", text[-CRC_TAIL:]
    if tail != CRC_KEY + b'%08x"}' % zlib.crc32(body):
        return None
    event = json.loads(body)
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def digest(settings: Mapping[str, Any]) -> str:
    """Return a short hash of settings, which events carry."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def history(events: Sequence[Event], settings: Mapping[str, Any]) -> History:
    """Return what events amount to for a run with `settings`; what was done under others does not count as done."""
    mine = digest(settings)
    # A case whose files are being written again is not done, whatever an earlier line says.
    latest = {event["case"]: event for event in events if event["event"] in (SAVING, DONE, REFUSED)}
    current = {case: event for case, event in latest.items() if event["settings"] == mine}
    return History(
        next((event["settings"] for event in reversed(events) if event["event"] == START), None),
        {case: event for case, event in current.items() if event["event"] == DONE},
        {case: event for case, event in current.items() if event["event"] == REFUSED},
        frozenset(event["case"] for event in events if event["event"] in (SAVING, DONE)),
        frozenset(in_flight(events)),
    )


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
