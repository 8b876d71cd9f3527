"""Files that clients send: streamed to disk under names of ours, counted as they come, removed where they break off."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any, BinaryIO

from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from prosect.errors import FormatError, ResourceError

__all__ = ["SAFE", "client_name", "ending_of", "keep_part", "receive", "too_large", "with_true_boundary"]

Message = MutableMapping[str, Any]

MAX_PARTS = 20_000
MAX_FIELDS = 64
CHUNK = 1 << 20
SPARE = 64 << 20  # bytes of the disk that stay free
ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".zip", ".dcm", ".safetensors", ".pt", ".pth", ".json")
# What a multipart body begins with: its boundary, in the characters that one may have, and those that clients use.
FIRST_LINE = re.compile(rb"--([\w'()+,./:=?$ -]{1,70})\r\n")
SAFE = re.compile(r"[^0-9A-Za-z._ -]+")


async def receive(request: Request, folder: Path, max_bytes: int) -> tuple[Path, str]:
    """Store the body of a request and return where, and the name that the client gave.

    One file is the body itself, with its name in `X-Filename`; a folder is multipart with parts named `files`.

    Raises:
        FormatError: Nothing was sent (`REQUEST_INVALID`), too much (`INPUT_TOO_LARGE`), or it broke off
            (`UPLOAD_INCOMPLETE`).
        ResourceError: The disk is full (`DISK_FULL`).
    """
    announced = request.headers.get("content-length")
    if announced is not None and announced.isdigit() and int(announced) > max_bytes:
        raise too_large(int(announced), max_bytes)
    place = folder / secrets.token_hex(8)
    place.mkdir(mode=0o700)
    try:
        if request.headers.get("content-type", "").startswith("multipart/"):
            return await receive_parts(request, place, max_bytes)
        name = client_name(request.headers.get("x-filename", ""))
        target = place / f"upload{ending_of(name)}"
        await store(request.stream(), target, max_bytes)
        if announced is not None and announced.isdigit() and target.stat().st_size != int(announced):
            raise FormatError("The upload broke off; send the file again.", code="UPLOAD_INCOMPLETE")
    except BaseException:  # whatever ends it, also a client that has gone: no part of a file stays
        shutil.rmtree(place, ignore_errors=True)
        raise
    return target, name


async def receive_parts(request: Request, place: Path, max_bytes: int) -> tuple[Path, str]:
    """Store the parts of a multipart body as numbered files."""
    total, count, name = 0, 0, "folder"
    told = await with_true_boundary(request)
    try:
        async with told.form(max_files=MAX_PARTS, max_fields=MAX_FIELDS) as form:
            for part in form.getlist("files"):
                if not isinstance(part, UploadFile):
                    continue
                total += part.size or 0
                if total > max_bytes:
                    raise too_large(total, max_bytes)
                given = client_name(part.filename or "")
                name = given if count == 0 else name
                await keep_part(part, place / f"{count:05d}{ending_of(given)}")
                count += 1
    except MultiPartException as error:
        raise FormatError(f"The upload cannot be read: {error.message}", code="REQUEST_INVALID") from error
    if not count:
        raise FormatError("The upload has no part named `files`.", code="REQUEST_INVALID")
    single = next(place.iterdir())
    return (single, name) if count == 1 else (place, f"{count} files")


async def with_true_boundary(request: Request) -> Request:
    """Return a multipart request whose header names the boundary that its body begins with.

    Once it has logged in, MONAI Label's client sends the header of its last form with the body of the next one.
    """
    first = await request.receive()
    later = request.receive
    scope, waiting = request.scope, [first]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await later()

    found = FIRST_LINE.match(first.get("body", b""))
    if found is not None:
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
        kind = b'multipart/form-data; boundary="%s"' % found[1]
        scope = {**scope, "headers": [*headers, (b"content-type", kind)]}
    return Request(scope, receiving)


async def store(stream: AsyncIterator[bytes], target: Path, max_bytes: int) -> None:
    """Write a stream to a file, counting.

    Raises:
        FormatError: It is empty or too long.
        ResourceError: The disk is full (`DISK_FULL`).
    """
    written, waiting = 0, bytearray()
    with target.open("wb") as file:
        async for chunk in stream:
            written += len(chunk)
            if written > max_bytes:
                raise too_large(written, max_bytes)
            waiting += chunk
            if len(waiting) >= CHUNK:
                await to_thread.run_sync(append, file, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(append, file, bytes(waiting))
    if not written:
        raise FormatError("The upload is empty.", code="REQUEST_INVALID")


async def keep_part(part: UploadFile, target: Path) -> None:
    """Write a file of a multipart body.

    Raises:
        ResourceError: The disk is full (`DISK_FULL`).
    """
    with target.open("wb") as file:
        while chunk := await part.read(CHUNK):
            await to_thread.run_sync(append, file, chunk)


def append(file: BinaryIO, data: bytes) -> None:
    """Write to a file while some of its disk stays free; it may wait for the disk, so it has a thread of its own.

    Raises:
        ResourceError: Too little is free (`DISK_FULL`).
    """
    if shutil.disk_usage(file.name).free < len(data) + SPARE:
        raise ResourceError("The disk of the server is full; nothing was kept.", code="DISK_FULL")
    file.write(data)


def too_large(found: int, allowed: int) -> FormatError:
    """Return the refusal of an upload that is too large."""
    return FormatError(f"The upload has {found} bytes or more; this server takes {allowed}.", code="INPUT_TOO_LARGE")


def client_name(given: str) -> str:
    """Return the last part of a name that a client gave, for people to read; no path is ever made of it."""
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    return SAFE.sub("_", last).strip(". ")[:120] or "upload"


def ending_of(name: str) -> str:
    """Return the ending of a name where it is one that readers know, else nothing."""
    lowered = name.lower()
    return next((ending for ending in ENDINGS if lowered.endswith(ending)), "")
