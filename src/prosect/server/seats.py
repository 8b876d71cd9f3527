"""Clients of other viewers' protocols: what each works on, remembered over restarts.

Such a client holds a word of ours (a lease, a session id) and expects the server to know the rest: which scan, which
object, how far it may undo. State: these seats, in one small file that is replaced in one step.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prosect.boxes import Box
from prosect.errors import PromptError, ResourceError
from prosect.server.converting import Placed
from prosect.server.kept import Kind

__all__ = ["Seat", "Seats", "current_name", "next_name", "scan_of", "without_object"]

SEATS = Kind("prosect-seats", 1, "the list of clients")
WAIT_S = 30.0
KEPT_S = 7 * 24 * 3600.0
# An earlier time was written by a clock that was wrong, as that of a machine that has just been switched on.
FIRST_S = 1_735_689_600.0  # 2025


@dataclass(frozen=True)
class Seat:
    """What one client works on.

    Attributes:
        identity: Random; the client's word for it.
        dialect: Its protocol.
        session: The session on its scan; empty before a scan came.
        structure: The object that it works on; empty until its first prompt.
        objects: How many objects were begun on this scan.
        steps: Actions on the object that may be undone.
        revision: That of the session after the client's last action; another one means that somebody else acted.
        waiting: Clicks that were sent but are not to be answered yet.
        about: What else its protocol has to remember.
        touched: When it last changed anything, in seconds since 1970.
    """

    identity: str
    dialect: str
    session: str = ""
    structure: str = ""
    objects: int = 0
    steps: int = 0
    revision: int = 0
    waiting: tuple[Placed, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    touched: float = 0.0


class Seats:
    """All seats.

    Args:
        path: File in which they are kept.
        now: Seconds since 1970.
        clock: Seconds that only grow, for who was active last.
    """

    def __init__(self, path: Path, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self._path, self._now, self._clock = path, now, clock
        self._seats = read_seats(path)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._active: dict[str, float] = {}
        # Not kept over restarts: whether the last answer of a server that died arrived, nobody knows.
        self._shown: dict[str, int] = {}

    def take(self, dialect: str, **known: Any) -> Seat:
        """Return a new seat."""
        seat = Seat(secrets.token_urlsafe(24), dialect, **known)
        self.keep(seat)
        self.note_activity(seat.identity)
        return seat

    def seat(self, identity: str, dialect: str) -> Seat:
        """Return a seat.

        Raises:
            PromptError: There is none (`SEAT_UNKNOWN`).
        """
        # Read without the lock, which is held while the file is written: the event loop asks here, and must not wait
        # for a disk. The dictionary is replaced and never changed.
        found = self._seats.get(identity)
        if found is None or found.dialect != dialect:
            raise PromptError("This server does not know that session; begin a new one.", code="SEAT_UNKNOWN")
        return found

    def keep(self, seat: Seat) -> Seat:
        """Remember what a seat has become, and return it."""
        kept = replace(seat, touched=self._now())
        with self._lock:
            self._save({**self._seats, seat.identity: kept})
        return kept

    def leave(self, identity: str) -> None:
        """Forget a seat; one that is not there is no error."""
        with self._lock:
            if identity in self._seats:
                self._save({key: seat for key, seat in self._seats.items() if key != identity})
            self._active.pop(identity, None)
            self._shown.pop(identity, None)
            self._locks.pop(identity, None)

    def of(self, dialect: str) -> list[Seat]:
        """Return the seats of a protocol."""
        return [seat for seat in self._seats.values() if seat.dialect == dialect]

    def forgotten(self) -> list[Seat]:
        """Return the seats that nobody has used for a week.

        Sessions are deleted with them, so a clock that is set while the server runs must not make them old.
        """
        oldest, recent = self._now() - KEPT_S, self._clock() - KEPT_S
        old = [seat for seat in self._seats.values() if FIRST_S < seat.touched < oldest]
        return [seat for seat in old if self._active.get(seat.identity, -math.inf) < recent]

    def age_s(self, seat: Seat) -> float:
        """Return how many seconds ago a seat last changed; over a restart too."""
        return self._now() - seat.touched

    def note_activity(self, identity: str) -> None:
        """Note that a client did something; what only shows that it lives does not count."""
        self._active[identity] = self._clock()

    def idle_s(self, identity: str) -> float:
        """Return for how many seconds a client has done nothing; since the start where it did nothing yet."""
        since = self._active.setdefault(identity, self._clock())
        return self._clock() - since

    def note_shown(self, identity: str, revision: int) -> None:
        """Note as of which revision a client shows its object."""
        self._shown[identity] = revision

    def forget_shown(self, identity: str) -> None:
        """Note that nobody knows what a client shows."""
        self._shown.pop(identity, None)

    def shows(self, identity: str, revision: int) -> bool:
        """Return whether a client shows its object as of a revision."""
        return self._shown.get(identity) == revision

    def active(self, dialect: str, within_s: float) -> int:
        """Return how many clients of a protocol did something lately."""
        recent = self._clock() - within_s
        known = {seat.identity for seat in self.of(dialect)}
        return sum(when >= recent for identity, when in tuple(self._active.items()) if identity in known)

    @contextmanager
    def hold(self, identity: str, dialect: str) -> Iterator[Seat]:
        """Yield a seat as it is now, and keep other requests of the same client out meanwhile.

        Raises:
            PromptError: There is none (`SEAT_UNKNOWN`).
            ResourceError: Another request of this client has not ended (`SESSION_BUSY`).
        """
        self.seat(identity, dialect)
        with self._lock:
            lock = self._locks.setdefault(identity, threading.Lock())
        if not lock.acquire(timeout=WAIT_S):
            raise ResourceError("Another request of yours has not ended yet; try again.", code="SESSION_BUSY")
        try:
            yield self.seat(identity, dialect)
        finally:
            lock.release()

    def _save(self, seats: dict[str, Seat]) -> None:
        """Keep the seats and bring them to the disk; called with the lock held."""
        SEATS.write(self._path, {"seats": [asdict(seat) for seat in seats.values()]})
        self._seats = seats


def scan_of(seat: Seat) -> str:
    """Return the session that a client works on.

    Raises:
        PromptError: It has sent no scan yet (`SCAN_MISSING`).
    """
    if not seat.session:
        raise PromptError("There is no image yet; send one first.", code="SCAN_MISSING")
    return seat.session


def current_name(seat: Seat) -> str:
    """Return the name of the object that a client works on, or of the one that its next prompt begins."""
    return seat.structure or next_name(seat)


def next_name(seat: Seat) -> str:
    """Return the name of the next new object."""
    return f"object {seat.objects + 1}"


def without_object(seat: Seat) -> Seat:
    """Return a seat whose next prompt begins an object."""
    return replace(seat, structure="", steps=0, waiting=())


def read_seats(path: Path) -> dict[str, Seat]:
    """Return the seats in a file, by identity; none where there is no file yet.

    Raises:
        FormatError: The file is damaged (`INDEX_DAMAGED`).
    """
    seats = SEATS.read(path, lambda document: [seat_of(row) for row in document["seats"]]) or []
    return {seat.identity: seat for seat in seats}


def seat_of(row: Mapping[str, Any]) -> Seat:
    """Return the seat in a row of the file."""
    waiting = tuple(placed_from(each) for each in row["waiting"])
    return Seat(**{**row, "waiting": waiting})


def placed_from(row: Mapping[str, Any] | Sequence[Any]) -> Placed:
    """Return the click in a part of a row; earlier files have voxel and sign alone."""
    if not isinstance(row, Mapping):
        i, j, k, positive = row
        return Placed((float(i), float(j), float(k)), bool(positive))
    i, j, k = (float(part) for part in row["point"])
    box = None
    if row["box"] is not None:
        start, stop = (tuple(int(part) for part in row["box"][end]) for end in ("start", "stop"))
        box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    return Placed((i, j, k), bool(row["positive"]), box)
