"""Ledgers in an object store, where nothing can be appended to: a worker puts its last events again with each new one.

A ledger is one object that grows up to some number of events, and then begins anew; before that its events are put
under a number of their own, sealed. So an event is kept when `append` returns, as in a file, and whoever reads asks
for one object of each worker that wrote since, however many events these are, and for a sealed one once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from prosect.cohort.bucket import Bucket
from prosect.cohort.ledger import Event, replay
from prosect.cohort.store import LINES, SHARED, Append
from prosect.io.line_log import encode_line

__all__ = ["Mark", "new_events", "open_ledger"]

LEDGERS = f"{SHARED}/ledgers"
SEALED_PARTS = f"{SHARED}/sealed"
# A whole part is put again with each event: 256 of them are about 90 kB.
EVENTS_OF_A_PART = 256
# The first line of a ledger says how many parts are sealed before it.
SEALED = "sealed"


@dataclass(frozen=True)
class Mark:
    """How far a ledger was read.

    Attributes:
        tag: Of the object that was read last.
        sealed: How many sealed parts there were.
        events: How many events of the part after them were read.
    """

    tag: str = ""
    sealed: int = 0
    events: int = 0


def place_of_part(worker: str, number: int) -> str:
    """Return the name of a sealed part, from 1."""
    return f"{SEALED_PARTS}/{worker}{LINES}/{number:06d}"


@contextmanager
def open_ledger(bucket: Bucket, worker: str, most: int = EVENTS_OF_A_PART) -> Iterator[Append]:
    """Yield what puts an event into the ledger of a worker and waits until it is kept.

    Args:
        bucket: Where the ledgers lie.
        worker: The name of the worker, which no other has.
        most: Events of a part.
    """
    lock, lines, sealed = threading.Lock(), list[bytes](), 0

    def append(event: Mapping[str, Any]) -> None:
        nonlocal sealed
        # With the lock held: an older state put after a newer one would take events away.
        with lock:
            if len(lines) >= most:
                bucket.put(place_of_part(worker, sealed + 1), b"".join(lines))
                lines.clear()
                sealed += 1
            # It stays where the put fails: the store may have it in spite of that, and must not lose it again.
            lines.append(encode_line(event))
            head = encode_line({"event": SEALED, "parts": sealed})
            bucket.put(f"{LEDGERS}/{worker}{LINES}", head + b"".join(lines))

    yield append


def new_events(bucket: Bucket, marks: dict[str, Mark]) -> dict[str, list[Event]]:
    """Return the events of each ledger that were put since.

    Args:
        bucket: Where the ledgers lie.
        marks: How far each ledger was read; what is read now is written into it.

    Raises:
        FormatError: The store does not answer (`STORE_UNREADABLE`).
        OutputError: An object cannot be read (`OUTPUT_UNWRITABLE`).
    """
    found: dict[str, list[Event]] = {}
    for name, facts in bucket.list(f"{LEDGERS}/"):
        ledger = PurePosixPath(name).name
        mark = marks.get(ledger, Mark())
        if facts["ETag"] == mark.tag:
            continue
        sealed, latest = split_head(replay(bucket.get(name) or b""))
        parts = []
        for number in range(mark.sealed + 1, sealed + 1):
            content = bucket.get(place_of_part(ledger.removesuffix(LINES), number))
            parts.append(replay(content or b""))
        # What was read of the open part before is the beginning of the first of these.
        fresh = [event for part in (*parts, latest) for event in part]
        fresh = fresh[mark.events :]
        if fresh:
            found[ledger] = fresh
        marks[ledger] = Mark(facts["ETag"], sealed, len(latest))
    return found


def split_head(events: list[Event]) -> tuple[int, list[Event]]:
    """Return how many parts are sealed before the events of a ledger, and the events."""
    if events and events[0]["event"] == SEALED:
        return int(events[0]["parts"]), events[1:]
    return 0, events
