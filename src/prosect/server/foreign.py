"""What routes of other viewers' protocols have in common: reading requests without trust, and refusing in their words.

Bodies are read by hand and only where a route asks for one: some clients announce a body with GET and never send it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute

from prosect.errors import FormatError, ProsectError
from prosect.server.wire import refusal_of, status_of

__all__ = [
    "StrictRoute",
    "blocking",
    "body_of",
    "flag_of",
    "json_of",
    "numbers_of",
    "parse_json",
    "route_class",
    "status_without_503",
    "text_of",
]

Result = TypeVar("Result")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Refuse = Callable[[ProsectError], Response]

MAX_JSON = 1 << 20
MAX_DEPTH = 20


async def blocking(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """Call what blocks on a thread of its own, so that other requests go on."""
    return await to_thread.run_sync(partial(function, *args, **options))


def route_class(refuse: Refuse) -> type[APIRoute]:
    """Return the class of routes that answer each error of ours as a protocol words it."""

    class DialectRoute(APIRoute):
        """A route of one protocol."""

        def get_route_handler(self) -> Handler:
            """Return the handler, with errors worded."""
            handle = super().get_route_handler()

            async def worded(request: Request) -> Response:
                try:
                    return await handle(request)
                except ProsectError as error:
                    return refuse(error)
                except OSError as error:
                    known = refusal_of(error)
                    if known is None:
                        raise
                    return refuse(known)

            return worded

    return DialectRoute


class StrictRequest(Request):
    """A request whose JSON is read as that of other viewers is; see `parse_json`."""

    async def json(self) -> Any:
        """Return the JSON object in the body."""
        return parse_json(await self.body(), "The body")


class StrictRoute(APIRoute):
    """A route whose JSON has no key twice, no number that is none, and is not nested deep."""

    def get_route_handler(self) -> Handler:
        """Return the handler of strict requests."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def status_without_503(error: ProsectError) -> int:
    """Return the HTTP status of an error for clients that take 503 for a server with no place left."""
    status = status_of(error)
    return 507 if status == 503 else status


async def body_of(request: Request, max_bytes: int) -> bytearray:
    """Return the body of a request; as it was gathered, because to copy an image would keep all others waiting.

    Raises:
        FormatError: It is larger than is allowed (`INPUT_TOO_LARGE`).
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise FormatError(f"The request has more than {max_bytes} bytes.", code="INPUT_TOO_LARGE")
    return body


async def json_of(request: Request) -> dict[str, Any]:
    """Return the JSON object in a body; an empty body is an empty object.

    Raises:
        FormatError: See `parse_json`.
    """
    return parse_json(await body_of(request, MAX_JSON), "The body")


def parse_json(text: bytes | bytearray | str, where: str) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        text: What was sent.
        where: What it is called in a refusal.

    Raises:
        FormatError: It is none, a key stands twice, a number is not finite, or it is nested too deep
            (`REQUEST_INVALID`).
    """
    if not text:
        return {}
    try:
        said = json.loads(text, parse_constant=refuse_number, parse_float=finite, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        cause = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise FormatError(f"{where} is no JSON that can be read: {cause:.120}", code="REQUEST_INVALID") from error
    if not isinstance(said, dict):
        raise FormatError(f"{where} is no JSON object.", code="REQUEST_INVALID")
    if not is_unicode(said):
        raise FormatError(f"{where} holds half a character, which is no text.", code="REQUEST_INVALID")
    if depth_of(said) > MAX_DEPTH:
        raise FormatError(f"{where} is nested deeper than {MAX_DEPTH} levels.", code="REQUEST_INVALID")
    return said


def is_unicode(said: Mapping[str, Any]) -> bool:
    """Return whether JSON can be written as UTF-8: escapes may name half a pair, which no answer could repeat."""
    try:
        json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def depth_of(said: Any) -> int:
    """Return how deep JSON is nested; it stops counting a little beyond the limit."""
    level, depth = [said], 0
    while level and depth <= MAX_DEPTH:
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level, depth = below, depth + 1
    return depth


def refuse_number(text: str) -> float:
    """Refuse NaN and infinity, which JSON does not have."""
    raise ValueError(f"{text} is no number")


def finite(text: str) -> float:
    """Return a number, which may not be too large for a float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is too large")
    return number


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which no key stands twice."""
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError("a key stands twice")
    return said


def flag_of(said: Mapping[str, Any], key: str, default: bool | None = None) -> bool:
    """Return true or false.

    Raises:
        FormatError: It is something else, or missing where there is no default (`REQUEST_INVALID`).
    """
    value = said.get(key, default)
    if not isinstance(value, bool):
        raise FormatError(f"{key}: true or false is needed; found {value!r:.40}.", code="REQUEST_INVALID")
    return value


def numbers_of(said: Mapping[str, Any], key: str, count: int = 3) -> list[float]:
    """Return a list of numbers.

    Raises:
        FormatError: It is something else (`REQUEST_INVALID`).
    """
    value = said.get(key)
    plain = isinstance(value, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
    if not isinstance(value, list) or not plain or len(value) != count:
        raise FormatError(f"{key}: {count} numbers are needed; found {value!r:.60}.", code="REQUEST_INVALID")
    if any(abs(number) > 1e9 for number in value):
        raise FormatError(f"{key}: {value!r:.60} lies outside every scan.", code="REQUEST_INVALID")
    return [float(number) for number in value]


def text_of(said: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text of at most 1000 characters.

    Raises:
        FormatError: It is something else, or missing where there is no default (`REQUEST_INVALID`).
    """
    value = said.get(key, default)
    if not isinstance(value, str) or len(value) > 1000:
        raise FormatError(f"{key}: a text is needed; found {value!r:.40}.", code="REQUEST_INVALID")
    return value
