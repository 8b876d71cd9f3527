"""Answers are packed where they travel over a network; on this machine that would take longer than to send them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator

from anyio import to_thread
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prosect.server.wire import DELTA_TYPE

__all__ = ["DeltaResponse", "packed", "travels"]

NEAR = ("127.0.0.1", "::1")
LEVEL = 1  # masks are long runs: they shrink as much at once as with patience
GZIP = 31  # zlib's word for a gzip stream with the largest window
SMALL = 1400  # bytes, which travel in one piece anyway


def travels(scope: Scope) -> bool:
    """Return whether an answer goes to another machine, whose client unpacks gzip."""
    connection = HTTPConnection(scope)
    host = "" if connection.client is None else connection.client.host
    return host not in NEAR and "gzip" in connection.headers.get("accept-encoding", "")


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks as one gzip stream."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    for chunk in chunks:
        yield stream.compress(chunk)
    yield stream.flush()


class DeltaResponse(Response):
    """A delta, packed on a thread of its own where it travels."""

    media_type = DELTA_TYPE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if len(self.body) > SMALL and travels(scope):
            self.body = await to_thread.run_sync(gzip.compress, self.body, LEVEL)
            self.headers["Content-Encoding"] = "gzip"
            self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)
