"""What goes when nobody needs it any more: clients of other viewers with their sessions, and uploads without one."""

from __future__ import annotations

from pathlib import Path

from prosect.errors import PromptError
from prosect.server.datastore import read_datastore
from prosect.server.library import Library, delete_upload
from prosect.server.seats import KEPT_S, Seat
from prosect.server.service import Service

__all__ = ["end_forgotten", "end_seat", "end_session", "forget_old_uploads"]


def end_seat(service: Service, seat: Seat) -> None:
    """Forget a client, and end its session."""
    service.library.seats.leave(seat.identity)
    end_session(service, seat.session)


def end_forgotten(service: Service, dialect: str) -> None:
    """End the clients of a protocol that nobody has heard of for a week."""
    for seat in service.library.seats.forgotten():
        if seat.dialect == dialect:
            end_seat(service, seat)


def end_session(service: Service, session: str) -> None:
    """End a session that a client had; somebody may have ended it on the page before."""
    if not session:
        return
    try:
        service.library.end_session(session)
    except PromptError as error:
        if error.code != "SESSION_UNKNOWN":
            raise


def forget_old_uploads(library: Library) -> None:
    """Delete what was uploaded more than a week ago and nobody works on, also what a killed server left half done.

    Images that MONAI Label's clients sent are there to be asked for, and models to draft with; they stay.
    """
    sent, _ = read_datastore(library.settings.work)
    needed = set(library.kept_models().values())
    for entry in library.uploaded_scans():
        path = Path(entry.path)
        if entry.identity in sent.values() or library.works_on(entry.identity):
            needed.add(path)
        elif library.age_s(path) > KEPT_S:
            library.forget_scan(entry.identity)
    places = {library.place_of(path) for path in needed}
    for place in library.uploads.iterdir():
        if place not in places and library.age_s(place) > KEPT_S:
            delete_upload(place, library.uploads)
