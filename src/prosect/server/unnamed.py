"""What clients can ask that know no classes: one object after another on one scan, by points, boxes and drawings.

Each request is one action of the session, so that undo takes it back as a whole. Objects that are done stay in the
session, where the page shows and exports them. Holds no state: that is in the seats and in the sessions.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import FormatError, PromptError
from prosect.geometry import Grid
from prosect.io.writing import write
from prosect.progress import Watch
from prosect.server.converting import Placed, PointPrompt, Prompt, inner_points, placed_of
from prosect.server.leaving import end_seat, end_session
from prosect.server.library import Library
from prosect.server.scans import OpenScan
from prosect.server.seats import Seat, current_name, next_name, scan_of, without_object
from prosect.server.service import Service
from prosect.session import Session
from prosect.volume import Volume

__all__ = ["Reply", "UnnamedObjects", "keep_array"]

Mask: TypeAlias = NDArray[np.bool_]
LOG = logging.getLogger("prosect.server")


@dataclass(frozen=True, eq=False)
class Reply:
    """What came of a request.

    Attributes:
        ran: Whether there was anything to do.
        box: Where the object may have changed, in voxels of the scan as stored; None where it did not.
        mask: The object in that box, as it is now (i j k).
        acted: Whether there is an action more that can be undone.
        revision: That of the session afterwards.
    """

    ran: bool
    box: Box | None = None
    mask: Mask | None = None
    acted: bool = False
    revision: int = 0


class UnnamedObjects:
    """The verbs of clients that know no classes.

    Args:
        service: Does what they ask.
        dialect: Their protocol.
    """

    def __init__(self, service: Service, dialect: str) -> None:
        self._service, self._dialect = service, dialect
        self._library, self._seats = service.library, service.library.seats

    def show(self, identity: str, array: NDArray[Any], affine: NDArray[np.float64], about: Mapping[str, Any]) -> None:
        """Begin a session on a scan that a client sent; what the client did before is over.

        Args:
            identity: The client's seat.
            array: Intensities (i j k).
            affine: Voxel centre (i j k) to RAS mm (4, 4).
            about: What the protocol remembers of the scan.

        Raises:
            ProsectError: The array is no scan, or too large.
        """
        self._service.require_writing()  # asked first, so that no upload stays behind a refusal
        with self._seats.hold(identity, self._dialect) as seat:
            scan = keep_array(self._library, array, affine, f"from {self._dialect}")
            live = self._service.begin(scan.entry.identity, dialect=self._dialect)
            fresh = Seat(identity, self._dialect, session=live.entry.identity, about=about)
            self._seats.keep(fresh)
            end_session(self._service, seat.session)

    def prompt(self, identity: str, prompt: Prompt, run: bool = True) -> Reply:
        """Take a prompt, and answer it unless the client wants to send more before.

        Raises:
            ProsectError: There is no scan yet, or the prompt cannot be honoured. Nothing has changed.
        """
        with self._seats.hold(identity, self._dialect) as seat:
            if run:
                return self._answer(seat, prompt)
            with self._library.session(scan_of(seat)).hold() as session:
                read = partial(session.read, current_name(seat))
                placed = placed_of(prompt, read, session.volume.grid.spacing_mm)
            self._seats.keep(replace(seat, waiting=(*seat.waiting, *placed)))
            return Reply(False)

    def predict(self, identity: str) -> Reply:
        """Answer the prompts that wait."""
        with self._seats.hold(identity, self._dialect) as seat:
            return self._answer(seat, None) if seat.waiting else Reply(False)

    def seed(self, identity: str, mask: Mask, run: bool = False) -> Reply:
        """Begin an object with a mask, or go on with the earlier object that has exactly this mask.

        Args:
            identity: The client's seat.
            mask: Its voxels in the whole scan (i j k).
            run: Whether to ask the model about it at once, by a click in its middle.
        """
        with self._seats.hold(identity, self._dialect) as seat:
            if not mask.any():
                self._seats.keep(without_object(seat))
                return Reply(False)
            name = next_name(seat)
            found = self._service.perform(scan_of(seat), "seed", partial(take_seed, mask=mask, name=name))
            objects = seat.objects + 1 if found.name == name else seat.objects
            begun = replace(seat, structure=found.name, objects=objects, steps=0, waiting=(), revision=found.revision)
            self._seats.keep(begun)
            self._seats.note_shown(identity, found.revision)
            if not run:
                return Reply(False)
            box = Box.of(mask)
            middle = inner_points(mask[box.slices], box, found.spacing_mm)[0]
            return self._answer(begun, PointPrompt(middle, True))

    def next(self, identity: str) -> None:
        """Begin another object at the next prompt; the one before stays in the session."""
        with self._seats.hold(identity, self._dialect) as seat:
            self._seats.keep(without_object(seat))

    def undo(self, identity: str) -> Reply:
        """Take the last action on the object back; not what was done before it was begun, nor what others did."""
        with self._seats.hold(identity, self._dialect) as seat:
            if not seat.steps:
                return Reply(False)
            reply = self._service.perform(
                scan_of(seat), "undo", partial(take_back, name=seat.structure, revision=seat.revision)
            )
            steps = seat.steps - 1 if reply.ran else 0
            self._seats.keep(replace(seat, steps=steps, waiting=(), revision=reply.revision))
            if reply.ran:
                self._seats.note_shown(identity, reply.revision)
            return reply

    def whole(self, identity: str) -> Mask:
        """Return the object in the whole scan (i j k)."""
        seat = self._seats.seat(identity, self._dialect)
        with self._library.session(scan_of(seat)).hold() as session:
            return session.mask(current_name(seat))

    def leave(self, identity: str) -> None:
        """End a client's session; one that is not known is no error."""
        for seat in self._seats.of(self._dialect):
            if seat.identity == identity:
                end_seat(self._service, seat)

    def _answer(self, seat: Seat, prompt: Prompt | None) -> Reply:
        """Do the prompts that wait and a new one, as one action."""
        name = current_name(seat)

        def act(session: Session, watch: Watch) -> Reply:
            # A client whose last answer was lost, or whose object somebody changed on the page, gets all of it.
            behind = bool(seat.structure) and not self._seats.shows(seat.identity, session.revision)
            reply = answer_prompt(session, watch, name=name, waiting=seat.waiting, prompt=prompt)
            return whole_reply(session, name, reply) if behind else reply

        try:
            reply = self._service.perform(scan_of(seat), "click", act)
        except PromptError as error:
            if error.code != "CLICKS_ONLY_NEGATIVE":
                raise
            # Their users do this by accident, and their own servers answer it with an empty mask.
            LOG.info("%s: %s", self._dialect, error)
            reply = Reply(True, revision=seat.revision)
        if reply.acted and not seat.structure:
            seat = replace(seat, structure=name, objects=seat.objects + 1)
        steps = seat.steps + 1 if reply.acted else seat.steps
        self._seats.keep(replace(seat, steps=steps, waiting=(), revision=reply.revision))
        self._seats.note_shown(seat.identity, reply.revision)
        return reply


@dataclass(frozen=True)
class Begun:
    """The object that a mask began.

    Attributes:
        name: Its name, that of an earlier object where the mask is the same.
        box: Where something changed.
        spacing_mm: Of the scan.
        revision: That of the session afterwards.
    """

    name: str
    box: Box | None
    spacing_mm: Sequence[float]
    revision: int


def keep_array(library: Library, array: NDArray[Any], affine: NDArray[np.float64], name: str) -> OpenScan:
    """Return the open scan of voxels (i j k) that a client sent; they are kept in a file, so that they survive.

    Raises:
        ProsectError: They are no scan, or too large.
    """
    if array.size > library.settings.max_voxels:
        raise FormatError(
            f"{array.size} voxels; this server takes at most {library.settings.max_voxels}.", code="INPUT_TOO_LARGE"
        )
    if array.dtype.kind == "b" or array.dtype == np.float16:
        array = array.astype(np.float32)
    volume = Volume(array, Grid((array.shape[0], array.shape[1], array.shape[2]), affine))
    place = library.uploads / secrets.token_hex(8)
    place.mkdir(mode=0o700)
    path = write(volume, place / "upload.nii")
    return library.keep_upload(path, name)


def answer_prompt(
    session: Session,
    watch: Watch,
    *,
    name: str,
    waiting: Sequence[Placed],
    prompt: Prompt | None,
) -> Reply:
    """Make prompts the clicks of an object, in one action, and return what came of it."""
    grid = session.volume.grid
    new = list(waiting)
    if prompt is not None:
        new += placed_of(prompt, partial(session.read, name), grid.spacing_mm)
    if not new:
        return Reply(True, revision=session.revision)
    before = session.revision
    clicks = [*session.clicks(name), *(each.click(grid) for each in new)]
    box = session.set_clicks(name, clicks, watch=watch).box
    acted = session.revision != before
    if box is None:
        return Reply(True, acted=acted, revision=session.revision)
    return Reply(True, box, session.read(name, box), acted, session.revision)


def whole_reply(session: Session, name: str, reply: Reply) -> Reply:
    """Return a reply with the object in the whole scan instead of where it has changed just now."""
    box = Box((0, 0, 0), session.volume.grid.shape)
    return replace(reply, ran=True, box=box, mask=session.read(name, box))


def take_back(session: Session, _watch: Watch, *, name: str, revision: int) -> Reply:
    """Undo an object's last action, unless somebody has done something else since."""
    if session.revision != revision or not session.can_undo:
        return Reply(False, revision=session.revision)
    change = session.undo()
    if change.box is None:
        return Reply(True, revision=session.revision)
    return Reply(True, change.box, session.read(name, change.box), revision=session.revision)


def take_seed(session: Session, watch: Watch, *, mask: Mask, name: str) -> Begun:
    """Return the earlier object that has exactly this mask (i j k), or a new one that begins with it.

    Raises:
        PromptError: The mask has another shape than the scan.
    """
    grid = session.volume.grid
    if mask.shape != grid.shape:
        raise PromptError(
            f"The mask has shape {mask.shape}, the image {grid.shape}; they must be the same.", code="REQUEST_INVALID"
        )
    count = int(np.count_nonzero(mask))
    for state in session.states:
        if state.voxels == count and np.array_equal(session.mask(state.name), mask):
            return Begun(state.name, None, grid.spacing_mm, session.revision)
    change = session.start_from(mask, name=name, watch=watch)
    return Begun(name, change.box, grid.spacing_mm, session.revision)
