"""What every request must pass before anything reads it: host, origin, size of headers, token.

Written as plain ASGI, because a middleware that wraps the body would wait for bodies that some clients announce and
never send. Nothing here looks at a body.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from prosect.server.deadlines import MAX_SMALL_BODY, pace
from prosect.server.settings import Settings

__all__ = ["SECURITY_HEADERS", "App", "Guard", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# What a page that was allowed may do; without the name of its origin, which others do not get, this allows nothing.
PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
)
MAX_HEADERS = 16 * 1024
MAX_META = 8 * 1024
FAILURES_PER_MINUTE = 20
DELAY_S = 0.05  # after a wrong token, whichever part of it was wrong
RETRY = (b"retry-after", b"60")
LOGIN = "/auth/token"  # its passwords come in a body, so the route itself looks at them
WITH_BODY = ("POST", "PUT", "PATCH")
OPEN_PATHS = (
    "/", "/healthz", "/readyz", "/auth/", "/auth", "/auth/token", "/status", "/v1/health/live", "/v1/health/ready",
)  # fmt: skip
OPEN_FOLDERS = ("/assets/",)
# What ITK-SNAP calls; it can send no token. Other protocols have no path of these forms.
SNAP = re.compile(
    r"/v2/models|(/v2)?/start_session(/[^/]+)?|(/v2)?/(upload_raw|reset_interactions|end_session|process_\w+)/[^/]+"
)
NATIVE = ("/api/", "/metrics", "/docs", "/openapi.json")


class Guard:
    """Refuses requests that are not for us or not from those who may.

    Args:
        app: What answers the others.
        settings: Names, origins and tokens.
        clock: Returns seconds that only grow.
        large: Patterns of the paths whose bodies are files; what reads those counts their bytes.
    """

    def __init__(self, app: App, settings: Settings, clock: Callable[[], float], large: Sequence[str] = ()) -> None:
        self._app, self._settings, self._clock = app, settings, clock
        self._large = re.compile("|".join(large) or "(?!)")
        self._failures: dict[str, list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        refused = self._refusal(scope, headers)
        if refused is not None:
            if refused[0] == 401:
                await asyncio.sleep(DELAY_S)
            await answer(send, *refused)
            return
        if scope["method"] == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in headers):
            answering = self._with_headers(send, headers)
            await answering({"type": "http.response.start", "status": 204, "headers": [*PREFLIGHT]})
            await answering({"type": "http.response.body", "body": b""})
            return
        if scope["method"] in WITH_BODY:
            most = None if self._large.fullmatch(scope["path"]) else MAX_SMALL_BODY
            receive = pace(receive, self._clock, most)
        sending = self._with_headers(send, headers)
        if scope["path"].rstrip("/") == LOGIN:
            sending = self._counting(client_of(scope), sending)
        await self._app(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> tuple[int, str, str] | None:
        """Return status, code and sentence of a refusal, or None."""
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS:
            return 431, "HEADERS_TOO_LARGE", f"The headers are longer than {MAX_HEADERS} bytes."
        if any(name == b"x-meta" and len(value) > MAX_META for name, value in headers):
            return 431, "HEADERS_TOO_LARGE", f"X-Meta is longer than {MAX_META} bytes."
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        # A proxy in front may believe the one, we the other, and then see two requests where it saw one.
        if b"transfer-encoding" in values and b"content-length" in values:
            return 400, "REQUEST_INVALID", "A request has either Content-Length or Transfer-Encoding."
        return self._host(values) or self._origin(scope, values) or self._token(scope, values)

    def _host(self, values: Mapping[bytes, list[bytes]]) -> tuple[int, str, str] | None:
        """Refuse names that are not ours: a foreign page could point its own name at this machine."""
        given = values.get(b"host", [])
        if len(given) != 1 or b"@" in given[0]:
            return 400, "HOST_INVALID", "A request needs exactly one Host header."
        if given[0].decode("latin-1").lower() not in self._settings.names:
            return 421, "HOST_UNKNOWN", "This server is not known by that name; --allow-host NAME adds one."
        return None

    def _origin(self, scope: Scope, values: Mapping[bytes, list[bytes]]) -> tuple[int, str, str] | None:
        """Refuse calls from web pages of others; also GET, because one protocol changes things by GET."""
        allowed = self._settings.own_origins
        origins = [value.decode("latin-1").rstrip("/").lower() for value in values.get(b"origin", [])]
        if any(origin not in allowed for origin in origins):
            return 403, "ORIGIN_FOREIGN", "Pages of that origin may not call this server; see --allow-origin."
        site = values.get(b"sec-fetch-site", [b"none"])[0]
        opened_by_link = scope["path"] == "/" and scope["method"] == "GET"
        if site in (b"cross-site", b"same-site") and not origins and not opened_by_link:
            return 403, "ORIGIN_FOREIGN", "Another site may not call this server."
        return None

    def _token(self, scope: Scope, values: Mapping[bytes, list[bytes]]) -> tuple[int, str, str] | None:
        """Refuse who does not know the token, and for a while who guesses."""
        path = self._without_prefix(scope)
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS) or scope["method"] == "OPTIONS":
            return None
        if self._settings.open_dls and SNAP.fullmatch(path):
            return None
        native = path.startswith(NATIVE)
        if self._knows(scope, values, native):
            return None
        if self._count_failure(client_of(scope)):
            return 429, "TOKEN_TRIES", "Too many wrong tokens; wait a minute."
        return 401, "TOKEN_WRONG", "The token is missing or wrong; open the address that the server printed."

    def _count_failure(self, client: str) -> bool:
        """Note a wrong token or password and return whether this address has guessed too often lately."""
        recent = [when for when in self._failures.get(client, []) if self._clock() - when < 60]
        if len(recent) >= FAILURES_PER_MINUTE:
            return True
        self._failures[client] = [*recent, self._clock()]
        return False

    def _counting(self, client: str, send: Send) -> Send:
        """Return a `send` that counts passwords which the login has refused like wrong tokens."""

        async def sending(message: Message) -> None:
            if message.get("status") == 401 and self._count_failure(client):
                message["status"] = 429
                message["headers"] = [*message["headers"], RETRY]
            await send(message)

        return sending

    def _without_prefix(self, scope: Scope) -> str:
        """Return the path, without `/t/TOKEN`, which clients use that send no header; the prefix is taken off."""
        path: str = scope["path"]
        if not path.startswith("/t/"):
            return path
        token, slash, rest = path[3:].partition("/")
        scope["prosect.path_token"] = token
        scope["path"] = slash + rest or "/"
        scope["raw_path"] = scope["path"].encode()
        return str(scope["path"])

    def _knows(self, scope: Scope, values: Mapping[bytes, list[bytes]], native: bool) -> bool:
        tokens = [self._settings.token]
        if not native and self._settings.dialect_token:
            tokens.append(self._settings.dialect_token)
        given = [token_in(value) for value in values.get(b"authorization", [])]
        in_path = scope.get("prosect.path_token")
        if in_path is not None and not native:
            given.append(str(in_path).encode("utf-8", "replace"))
        found = False
        for each in given:
            for token in tokens:
                found |= hmac.compare_digest(each, token.encode())
        return found

    def _with_headers(self, send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
        """Return a `send` that adds our headers to a response."""
        origin = next((value for name, value in headers if name == b"origin"), None)
        foreign = origin is not None and origin.decode("latin-1").rstrip("/").lower() in {
            each.rstrip("/").lower() for each in self._settings.origins
        }

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [pair for pair in SECURITY_HEADERS if pair[0] not in present]
                if b"cache-control" not in present:
                    extra.append((b"cache-control", b"no-store"))
                if foreign and origin is not None:
                    extra += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        return sending


def client_of(scope: Scope) -> str:
    """Return the address of who asks."""
    return str((scope.get("client") or ("?",))[0])


def token_in(authorization: bytes) -> bytes:
    """Return the token of an Authorization header: a bearer's, or the password of basic authentication."""
    scheme, _, rest = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


async def answer(send: Send, status: int, code: str, detail: str) -> None:
    """Send a refusal as problem+json."""
    body = json.dumps(
        {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, "code": code}
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *SECURITY_HEADERS,
    ]
    if status == 429:
        headers.append(RETRY)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
