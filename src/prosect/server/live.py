"""A session that clients work on: suspended, revived, numbered by revisions, watched by pages."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box
from prosect.errors import PromptError, ResourceError
from prosect.prompts import target_of
from prosect.server.colours import colours_of
from prosect.server.index import SessionEntry
from prosect.server.scans import OpenScan
from prosect.server.wire import pack_delta
from prosect.session import Change, Session

__all__ = ["Event", "LiveSession", "session_bytes"]

MAX_SLOTS = 254  # a page paints one byte per voxel: 0 is nothing, 255 is kept free
WAIT_S = 30.0
PAST = 256  # changes that a page which was away can catch up with by their boxes
BYTES_PER_VOXEL = 3  # one label, and one slot as pages paint it; masks are small beside that
Event = Mapping[str, Any]
Listener = Callable[[Event], None]


class LiveSession:
    """One session of the server. State: the `Session` while it is in memory, its revision, and who listens.

    Args:
        entry: What the index says of it.
        open_scan: Returns its scan.
        revive: Makes its `Session`, from its journal where there is one.
        notes: Returns what people should know of it.
    """

    def __init__(
        self,
        entry: SessionEntry,
        open_scan: Callable[[], OpenScan],
        revive: Callable[[OpenScan], Session],
        notes: Callable[[], list[str]] = list,
    ) -> None:
        self.entry, self._notes = entry, notes
        self._open_scan, self._revive = open_scan, revive
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._scan: OpenScan | None = None
        self._listeners: list[Listener] = []
        self._past: OrderedDict[int, Box | None] = OrderedDict()
        self.touched = 0.0

    @property
    def is_live(self) -> bool:
        """Whether its voxels are in memory."""
        return self._session is not None

    @contextmanager
    def hold(self, timeout_s: float = WAIT_S) -> Iterator[Session]:
        """Yield the session, revived where needed, and keep others out meanwhile.

        Raises:
            ResourceError: Somebody else holds it for too long (`SESSION_BUSY`).
            ProsectError: It cannot be revived.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise ResourceError(
                "Another action on this session has not ended yet; try again in a moment.", code="SESSION_BUSY"
            )
        try:
            yield self._alive()
        finally:
            self._lock.release()

    def _alive(self) -> Session:
        if self._session is None:
            self._scan = self._open_scan()
            self._session = self._revive(self._scan)
        return self._session

    @property
    def scan(self) -> OpenScan:
        """Its scan; read where needed."""
        with self.hold():
            assert self._scan is not None  # `hold` has opened it
            return self._scan

    def suspend(self) -> bool:
        """Let go of voxels and features; the journal brings them back. Return whether that was possible now."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._session = self._scan = None
        finally:
            self._lock.release()
        return True

    def state(self) -> dict[str, Any]:
        """Return what a page shows of it."""
        with self.hold() as session:
            return {
                "session_id": self.entry.identity,
                "scan_id": self.entry.scan,
                "dialect": self.entry.dialect,
                "overlap": self.entry.overlap,
                "revision": session.revision,
                "structures": self.structures(session),
                "can_undo": session.can_undo,
                "can_redo": session.can_redo,
                "notes": self.notes(session),
            }

    def structures(self, session: Session) -> list[dict[str, Any]]:
        """Return what a page shows of each structure, in the order in which they came."""
        ml = session.volume.grid.voxel_volume_ml
        slots = self.slots(session)
        states = session.states
        colours = colours_of(states, session.vocabulary)
        tiers = session.vocabulary.tiers([each.index for each in states])
        rows = []
        for each, tier in zip(states, tiers, strict=True):
            slot = slots.get(each.name, 0)
            colour = self.entry.colours.get(each.name, colours[each.name])
            rows.append(
                {
                    "name": each.name,
                    "index": each.index,
                    "slot": slot,
                    "colour": colour,
                    "visible": each.name not in self.entry.hidden,
                    "voxels": each.voxels,
                    "volume_ml": round(each.voxels * ml, 3),
                    "clicks": each.clicks,
                    "locked": each.locked,
                    "zero_shot": each.zero_shot,
                    "encloses": tier < 0,
                }
            )
        return rows

    def clicks(self) -> list[dict[str, Any]]:
        """Return the clicks that count, structure by structure."""
        rows = []
        with self.hold() as session:
            for state in session.states:
                for click in session.clicks(state.name):
                    where = list(click.position_ras)
                    rows.append({"structure": state.name, "position_ras": where, "positive": click.positive})
        return rows

    def extent(self, session: Session) -> Box:
        """Return the box of the scan that holds every structure's voxels."""
        found = EMPTY
        for each in session.states:
            found = found | each.box
        return found

    def slots(self, session: Session) -> dict[str, int]:
        """Return the number under which a page paints each structure: 1, 2, ... in the order in which they came.

        Those that came last have none where there are more than a page can tell apart.
        """
        names = [each.name for each in session.states][:MAX_SLOTS]
        return {name: number for number, name in enumerate(names, start=1)}

    def require_slot(self, session: Session, structure: str) -> None:
        """Refuse to begin a structure that the page could not show; asked before anything is done.

        Raises:
            PromptError: There are as many as a page can tell apart (`STRUCTURES_TOO_MANY`), or it cannot be a name.
        """
        count = len(session.states)
        if count >= MAX_SLOTS and target_of(structure, session.vocabulary).name not in session.structures:
            raise PromptError(
                f"The session has {count} structures; the page shows at most {MAX_SLOTS}. Export it, and go on in "
                "a new session.",
                code="STRUCTURES_TOO_MANY",
            )

    def delta(self, session: Session, box: Box | None, change: Change | None = None) -> bytes:
        """Return the labels of a box of the scan as they are now, for a page; see `wire`."""
        scan = self._scan
        assert scan is not None  # the caller holds the session, so its scan is open
        shown = None if box is None else scan.view.box(box)
        labels = None
        if box is not None and shown is not None and shown.size:
            labels = scan.view.labels(self.slot_labels(session, box), box)
        return pack_delta(self.delta_header(session, change), labels, shown)

    def delta_header(self, session: Session, change: Change | None) -> dict[str, Any]:
        """Return what a delta says besides its voxels."""
        said: dict[str, Any] = {
            "revision": session.revision,
            "structures": self.structures(session),
            "can_undo": session.can_undo,
            "can_redo": session.can_redo,
            "notes": self.notes(session) if change is None else list(change.notes),
        }
        if change is not None:
            said["change"] = {
                "structure": change.structure,
                "added": change.added,
                "removed": change.removed,
                "seconds": round(change.seconds, 4),
            }
        return said

    def notes(self, session: Session) -> list[str]:
        """Return what a page should say when it loads the session: of its journal, of structures it cannot paint."""
        beyond = [each.name for each in session.states][MAX_SLOTS:]
        if not beyond:
            return self._notes()
        return [
            *self._notes(),
            f"{len(beyond)} structures are not painted, as the page tells {MAX_SLOTS} apart; exports have them all.",
        ]

    def slot_labels(self, session: Session, box: Box) -> NDArray[np.uint8]:
        """Return the slot of each voxel of a box (i j k as stored)."""
        return session.read_labels(box, values=self.slots(session)).astype(np.uint8)

    def note_change(self, session: Session, box: Box | None) -> None:
        """Tell pages where something changed (in voxels of the scan), and remember it for those that are away."""
        if box is not None or session.revision not in self._past:  # a colour keeps the number
            self._past[session.revision] = box
        while len(self._past) > PAST:
            self._past.popitem(last=False)
        self.tell(self._changed(session.revision, box))

    def missed(self, session: Session, revision: int) -> Event | None:
        """Return the event for a page that was away since a revision: the box of all that changed, or None."""
        if revision == session.revision:
            return None
        between = range(revision + 1, session.revision + 1)
        if not between or any(number not in self._past for number in between):
            # It was away for long, the server was started anew, or its number is none of ours.
            return self._changed(session.revision, Box((0, 0, 0), session.volume.grid.shape))
        union: Box | None = None
        for number in between:
            box = self._past[number]
            if box is not None:
                union = box if union is None else union | box
        return self._changed(session.revision, union)

    def _changed(self, revision: int, box: Box | None) -> Event:
        where = None if box is None else {"start": list(box.start), "stop": list(box.stop)}
        return {"event": "changed", "revision": revision, "box": where}

    @property
    def planned_bytes(self) -> int:
        """What it takes in memory beside its scan; 0 while it is suspended."""
        scan = self._scan
        return 0 if scan is None else session_bytes(scan)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a function at each event, and return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, event: Event) -> None:
        """Tell all who listen."""
        for listener in tuple(self._listeners):
            listener(event)

    def appearance(self, name: str, colour: str | None, visible: bool | None) -> SessionEntry:
        """Return what the index should say after a person chose a colour or visibility.

        Raises:
            PromptError: There is no such structure (`STRUCTURE_ABSENT`).
        """
        with self.hold() as session:
            if name not in session.structures:
                raise PromptError(f"'{name:.60}' is not in this session.", code="STRUCTURE_ABSENT")
        colours = dict(self.entry.colours)
        if colour is not None:
            colours[name] = colour
        hidden = set(self.entry.hidden)
        if visible is not None:
            hidden = hidden - {name} if visible else hidden | {name}
        return replace(self.entry, colours=colours, hidden=tuple(sorted(hidden)))


def session_bytes(scan: OpenScan) -> int:
    """Return what a session on a scan takes in memory beside the scan."""
    return scan.volume.grid.voxel_count * BYTES_PER_VOXEL
