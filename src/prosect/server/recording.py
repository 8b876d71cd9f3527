"""What is noted of every request: a line in the log, a count, and how long it took.

A line names the route as it is written in the source, such as `/api/v1/scans/{scan_id}`, and never the path that was
asked for: that may hold a token or the name of a file.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from prosect.server.guard import App, Message, Receive, Scope, Send
from prosect.server.metrics import Metrics

__all__ = ["Recorder"]

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
NO_ROUTE = "none"  # refused before any route was looked for, or there is no such route
CLIENT_GONE = 499
STREAM = b"text/event-stream"
Line = Mapping[str, Any]


class Recorder:
    """Passes requests on and notes what became of them. It keeps nothing itself.

    Args:
        app: What answers.
        dialects: Which protocol a route belongs to.
        metrics: Counts and times.
        write: Takes a line for the log.
        now: Seconds since 1970.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        app: App,
        dialects: Mapping[str, str],
        metrics: Metrics,
        write: Callable[[Line], None],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._app, self._dialects, self._metrics, self._write = app, dialects, metrics, write
        self._now, self._clock = now, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size = self._clock(), CLIENT_GONE, 0
        opened: float | None = None
        identity = secrets.token_hex(8)

        async def sending(message: Message) -> None:
            nonlocal status, size, opened
            if message["type"] == "http.response.start":
                status = message["status"]
                # A stream of events goes on for as long as somebody listens; what counts is when it began.
                if any(name == b"content-type" and value.startswith(STREAM) for name, value in message["headers"]):
                    opened = self._clock() - began
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            seconds = self._clock() - began if opened is None else opened
            self._note(scope, identity, status, seconds, size)

    def _note(self, scope: Scope, identity: str, status: int, seconds: float, size: int) -> None:
        route = str(getattr(scope.get("route"), "path", NO_ROUTE))
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        dialect = self._dialects.get(route, "server")
        self._metrics.count("requests_total", dialect=dialect, route=route, method=method, status=str(status))
        self._metrics.time("request_seconds", seconds, dialect=dialect, route=route, method=method)
        when = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        said = {"time": when, "request": identity, "dialect": dialect, "method": method, "route": route}
        self._write({**said, "status": status, "ms": round(1000 * seconds, 1), "bytes": size})
