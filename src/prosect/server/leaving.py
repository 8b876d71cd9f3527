"""The end of clients of other viewers: their place and their session go together."""

from __future__ import annotations

from prosect.errors import PromptError
from prosect.server.seats import Seat
from prosect.server.service import Service

__all__ = ["end_forgotten", "end_seat", "end_session"]


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
