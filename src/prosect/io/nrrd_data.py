"""The voxels of an NRRD file: what comes before them is skipped, and their encoding is undone."""

from __future__ import annotations

import bz2

from prosect.errors import FormatError
from prosect.io.payload import MAX_BZIP2_RATIO, drain, inflate, note_trailing

__all__ = ["MAX_HEADER_BYTES", "decode", "invalid"]

MAX_HEADER_BYTES = 1 << 22
# The most lines, or bytes, that may come before the voxels: no header of another program takes more.
MAX_SKIP = 1 << 20


class Bzip2Stream:
    """bz2's decompressor with zlib's surface: output it holds back is fetched by further calls without input."""

    unconsumed_tail = b""

    def __init__(self) -> None:
        self.stream = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        """Whether the end of the member was reached."""
        return self.stream.eof

    @property
    def unused_data(self) -> bytes:
        """Bytes after that end."""
        return self.stream.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """Return at most `max_length` more bytes."""
        return self.stream.decompress(data, max_length)


def decode(
    data: memoryview, need: int, spare: int, fields: dict[str, str], name: str
) -> tuple[bytearray | memoryview, tuple[str, ...]]:
    """Return exactly `need` bytes of voxels, and a note of up to `spare` bytes that follow them.

    Lines are skipped before decompression, bytes after it; -1 bytes means that the voxels end the file.

    Raises:
        FormatError: Cut short, damaged, longer than declared, or an encoding that is not read.
    """
    encoding = fields["encoding"].lower()
    data = without_lines(data, skip_of(fields, "line skip", 0, name), name)
    skip = skip_of(fields, "byte skip", -1, name)
    # Bytes after the voxels are let pass only where the header does not say how many come before them.
    slack = spare
    if skip:
        slack = 0
    if skip == -1:
        slack = MAX_SKIP
    total = need + max(0, skip)
    raw: bytearray | memoryview
    if encoding in ("gzip", "gz"):
        raw = inflate(data, total, name, spare=slack)
    elif encoding in ("bzip2", "bz2"):
        raw = drain(data, total, name, Bzip2Stream, MAX_BZIP2_RATIO, slack)
    elif encoding == "raw":
        raw = data
    else:
        raise invalid(name, f"declares the encoding {encoding!r}; raw, gzip and bzip2 are read")
    if skip == -1:
        note_trailing(name, len(raw), need, len(raw))
        return raw[len(raw) - need :], ()
    trailing = note_trailing(name, len(raw), total, slack)
    return raw[total - need : total], trailing


def skip_of(fields: dict[str, str], field: str, least: int, name: str) -> int:
    """Return how many lines or bytes come before the voxels.

    Raises:
        FormatError: No whole number from `least`, or more than any header takes.
    """
    text = fields.get(field, fields.get(field.replace(" ", ""), "0"))
    try:
        count = int(text)
    except ValueError:
        count = least - 1
    if not least <= count <= MAX_SKIP:
        raise invalid(name, f"gives {text[:40]!r} for {field}; a whole number from {least} to {MAX_SKIP} is possible")
    return count


def without_lines(data: memoryview, count: int, name: str) -> memoryview:
    """Return what follows the first `count` lines.

    Raises:
        FormatError: There are fewer.
    """
    head = b""
    if count:
        head = bytes(data[:MAX_HEADER_BYTES])
    position = 0
    for _ in range(count):
        end = head.find(b"\n", position)
        if end < 0:
            raise invalid(name, f"skips {count} lines, which are not there")
        position = end + 1
    return data[position:]


def invalid(name: str, cause: str) -> FormatError:
    """Return the refusal for a header that contradicts itself or the format."""
    return FormatError(f"{name}: the header {cause}. Export the scan again.", code="INPUT_HEADER_INVALID")
