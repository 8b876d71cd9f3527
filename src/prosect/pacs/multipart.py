"""Multipart bodies of DICOMweb (RFC 2387): written for sending, taken apart while they arrive, under caps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from prosect.errors import FormatError

__all__ = ["BOUNDARY", "boundary_of", "file_parts", "parts"]

BOUNDARY = "prosect-2f8a1c7d90b34e65"
CHUNK = 1 << 20
# What one file, and one answer, may hold; more is no series of images.
MAX_PART_BYTES = 4 << 30
MAX_TOTAL_BYTES = 32 << 30
MAX_HEAD_BYTES = 1 << 14


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names.

    Raises:
        FormatError: It is no multipart answer (`PACS_ANSWER`).
    """
    match = re.search(r'boundary="?([^";,]{1,70})"?', content_type)
    if not content_type.lower().startswith("multipart/related") or match is None:
        raise FormatError(
            f"The server answered with {content_type!r:.80}, not with DICOM files. Check the address: it must be the "
            "root of DICOMweb.",
            code="PACS_ANSWER",
        )
    return match[1].encode()


def file_parts(paths: Iterable[Path]) -> Iterator[bytes]:
    """Yield a body that holds DICOM files."""
    for path in paths:
        yield f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                yield chunk
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def parts(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the content of each part of a body as it arrives.

    Raises:
        FormatError: The body ends early, or is larger than a series can be (`PACS_ANSWER`).
    """
    mark = b"\r\n--" + boundary
    # The first boundary has no line before it.
    waiting, total = bytearray(b"\r\n"), 0
    begun = False
    for chunk in chunks:
        total += len(chunk)
        waiting += chunk
        if total > MAX_TOTAL_BYTES or len(waiting) > MAX_PART_BYTES:
            raise broken_answer("it is larger than any series of images")
        # Only the new bytes, and what may be the beginning of a boundary before them, are looked at.
        start = max(0, len(waiting) - len(chunk) - len(mark))
        while (found := waiting.find(mark, start)) >= 0:
            if begun:
                yield content_of(bytes(waiting[:found]))
            begun = True
            del waiting[: found + len(mark)]
            start = 0
    if not waiting.startswith(b"--"):
        raise broken_answer("it ends early")


def content_of(part: bytes) -> bytes:
    """Return a part without its head."""
    head, found, content = part.partition(b"\r\n\r\n")
    if not found or len(head) > MAX_HEAD_BYTES:
        raise broken_answer("a part has no head")
    return content


def broken_answer(cause: str) -> FormatError:
    """Return the refusal of a body."""
    return FormatError(f"The answer of the server cannot be read: {cause}. Try again.", code="PACS_ANSWER")
