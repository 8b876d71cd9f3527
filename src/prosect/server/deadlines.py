"""Time limits for those who send slowly: a request's headers, and its body. uvicorn itself has neither.

Without them a few hundred connections that send one byte a second would keep everybody else out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import h11
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["MAX_SMALL_BODY", "PunctualProtocol", "pace"]

HEADERS_S = 10.0
SILENCE_S = 30.0  # between two pieces of a body
RATE = 50_000  # bytes per second, over the time since a body began
MAX_SMALL_BODY = 1 << 20  # of requests that carry no file
MAX_SURPLUS = 64 << 20  # read and dropped after a refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose headers are not there in time. State: the timer of each connection."""

    _timer: asyncio.TimerHandle | None = None
    _surplus = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for headers; a connection beyond the limit is closed before it costs anything."""
        super().connection_made(transport)  # type: ignore[arg-type]
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) > 2 * limit:
            transport.close()
            return
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and stop waiting once the headers are whole."""
        super().data_received(data)
        self._wait_for_headers()
        # A client reads the refusal of a body only when it has sent it, so some of the rest is let in and dropped.
        refused = self.conn.their_state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete
        self._surplus = self._surplus + len(data) if refused else 0
        if self._surplus > MAX_SURPLUS:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer with its connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        waiting = self.conn.their_state is h11.IDLE
        if waiting and self._timer is None:
            self._timer = self.loop.call_later(HEADERS_S, self.transport.close)
        elif not waiting:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def pace(receive: Receive, clock: Callable[[], float], most: int | None) -> Receive:
    """Return a `receive` that refuses bodies which come too slowly or are too long.

    Only the time spent waiting for the client counts: a slow disk of ours is not its fault.

    Args:
        receive: Of the request.
        clock: Seconds that only grow.
        most: Largest body in bytes, or None where what reads it counts.
    """
    waited, count, ended = 0.0, 0, False

    async def receiving() -> Message:
        nonlocal waited, count, ended
        if ended:  # from now on only the client's leaving is waited for, and that may take as long as it likes
            return await receive()
        began = clock()
        try:
            message = await asyncio.wait_for(receive(), SILENCE_S)
        except TimeoutError as error:
            raise too_slow() from error
        waited += clock() - began
        count += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if most is not None and count > most:
            raise HTTPException(413, f"The request has more than {most} bytes.")
        if not ended and waited > SILENCE_S and count < waited * RATE:
            raise too_slow()
        return message

    return receiving


def too_slow() -> HTTPException:
    """Return the refusal of a body that comes too slowly."""
    return HTTPException(408, "The request came too slowly; send it again.", {"Connection": "close"})
