"""Verified bytes: whole files, whole gzip streams, and size checks made before memory is taken.

Nothing here trusts a declared size. A gzip stream is drained to its trailer, so a flipped bit or a cut shows
(readers that stop at the last voxel never see the checksum), and a header may only promise what the file can hold.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from prosect.errors import FormatError, ResourceError
from prosect.io.paths import file_name, unreadable

__all__ = [
    "MAX_AXIS",
    "Payload",
    "check_extent",
    "check_memory",
    "corrupt",
    "inflate",
    "inflate_head",
    "joint_hash",
    "note_trailing",
    "read_payload",
    "spare_bytes",
    "truncation",
]

MAX_AXIS = 8192
# DEFLATE cannot shrink by more than 1032 to 1; bzip2 holds a block of 46.6 million equal bytes in some 40.
MAX_DEFLATE_RATIO = 1032
MAX_BZIP2_RATIO = 1_500_000
STEP = 1 << 18
PIECE = 1 << 22


class Decompressor(Protocol):
    """What zlib and bz2 decompressors share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the member, with its checksum, was reached."""

    @property
    def unused_data(self) -> bytes:
        """Bytes after that end."""

    @property
    def unconsumed_tail(self) -> bytes:
        """Input held back because the output limit was reached."""

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """Return at most `max_length` more bytes."""


@dataclass(frozen=True)
class Payload:
    """The bytes of one file.

    Attributes:
        name: File name for messages.
        raw: The bytes as they lie on the disk.
        sha256: Their hash.
    """

    name: str
    raw: bytes
    sha256: str


def truncation(name: str, found: int, needed: int, what: str = "bytes") -> FormatError:
    """Return the refusal for a file that ends too early."""
    return FormatError(
        f"{name}: the file ends early: {found} of {needed} {what} are there. Copy or download it again.",
        code="INPUT_TRUNCATED",
    )


def corrupt(name: str, cause: str) -> FormatError:
    """Return the refusal for a file whose bytes were damaged."""
    return FormatError(f"{name}: the file is damaged ({cause}). Copy or download it again.", code="INPUT_CORRUPT")


def read_payload(path: Path) -> Payload:
    """Return the bytes of a plain file with their hash.

    Raises:
        FormatError: The system does not let us read it.
        ResourceError: It is larger than the free memory.
    """
    try:
        check_memory(file_name(path), path.stat().st_size)
        raw = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return Payload(file_name(path), raw, hashlib.sha256(raw).hexdigest())


def joint_hash(header: Payload, data: Payload) -> str:
    """Return one hash for a header and the data file it names."""
    return hashlib.sha256((header.sha256 + data.sha256).encode()).hexdigest()


def check_extent(name: str, shape: Sequence[int], itemsize: int) -> int:
    """Return the number of bytes that voxels of `shape` take, after bounding each axis.

    Raises:
        FormatError: An axis is shorter than 1 or longer than 8192 (`INPUT_HEADER_INVALID`).
    """
    if any(not 1 <= n <= MAX_AXIS for n in shape):
        raise FormatError(
            f"{name}: the header declares {' x '.join(map(str, shape))} voxels; each axis must have 1 to {MAX_AXIS}. "
            "The header is damaged or not a scan.",
            code="INPUT_HEADER_INVALID",
        )
    return math.prod(shape) * itemsize


def check_memory(name: str, need_bytes: int) -> None:
    """Refuse to take more memory than is free.

    Raises:
        ResourceError: `need_bytes` exceeds what the system can give.
    """
    free = int(psutil.virtual_memory().available)
    if need_bytes > free:
        raise ResourceError(
            f"{name}: reading takes {need_bytes / 2**30:.1f} GiB but {free / 2**30:.1f} GiB of memory are free. "
            "Crop the scan or use a larger machine.",
            code="MEMORY_EXHAUSTED",
        )


def inflate(raw: bytes | memoryview, size: int, name: str, *, wbits: int = 31, spare: int = 0) -> bytearray:
    """Return `size` bytes, and up to `spare` more, inflated from a whole stream with its checksum and length verified.

    Several gzip members in a row are one stream (pigz, bgzip); zero padding after the last is accepted.

    Args:
        raw: The compressed bytes.
        size: What the header inside or beside the stream promises.
        name: File name for messages.
        wbits: zlib's format switch: 31 gzip, 47 gzip or zlib.
        spare: How many bytes more than promised are let pass.

    Raises:
        FormatError: Cut short (`INPUT_TRUNCATED`), checksum wrong or trailing rubbish (`INPUT_CORRUPT`), or more
            bytes than the header promises (`INPUT_HEADER_INVALID`).
        ResourceError: `size` exceeds the free memory.
    """
    return drain(raw, size, name, lambda: zlib.decompressobj(wbits=wbits), MAX_DEFLATE_RATIO, spare)


def inflate_head(raw: bytes, count: int, name: str) -> bytes:
    """Return the first `count` bytes inside a gzip stream, fewer where it ends sooner.

    Raises:
        FormatError: The stream is damaged (`INPUT_CORRUPT`).
    """
    head, position = b"", 0
    while len(head) < count and raw[position : position + 2] == b"\x1f\x8b":
        stream, piece = zlib.decompressobj(wbits=31), raw[position : position + STEP]
        try:
            head += stream.decompress(piece, count - len(head))
        except zlib.error as error:
            raise corrupt(name, str(error)) from error
        if not stream.eof:
            break
        position += len(piece) - len(stream.unused_data)
    return head


def drain(
    raw: bytes | memoryview, size: int, name: str, start: Callable[[], Decompressor], ratio: int, spare: int = 0
) -> bytearray:
    """Return `size` bytes, and up to `spare` more, from one or more compressed members in a row; see `inflate`."""
    if size > (len(raw) + 64) * ratio:
        raise truncation(name, len(raw), size // ratio, "compressed bytes at least")
    check_memory(name, size + spare)
    source, out, filled, position = memoryview(raw), bytearray(size + spare), 0, 0
    while True:
        position, filled = drain_member(source, position, out, filled, name, start())
        if not any(source[position:]):
            break
        if source.nbytes - position >= 2 and source[position : position + 2] != source[:2]:
            raise corrupt(name, f"{source.nbytes - position} stray bytes follow the compressed stream")
    if filled < size:
        raise truncation(name, filled, size, "bytes that the header declares")
    del out[filled:]
    return out


def drain_member(
    source: memoryview, position: int, out: bytearray, filled: int, name: str, stream: Decompressor
) -> tuple[int, int]:
    """Inflate one member from `position` into `out` at `filled`; return both positions after it."""
    while not stream.eof:
        piece: bytes | memoryview = source[position : position + STEP]
        if not piece:
            raise truncation(name, filled, len(out), "bytes that the header declares")
        position += len(piece)
        while not stream.eof:
            try:
                got = stream.decompress(piece, PIECE)
            except (zlib.error, OSError, ValueError) as error:
                raise corrupt(name, str(error)) from error
            if filled + len(got) > len(out):
                raise too_long(name, len(out))
            out[filled : filled + len(got)] = got
            filled += len(got)
            piece = stream.unconsumed_tail
            if not piece and len(got) < PIECE:
                break
    return position - len(stream.unused_data), filled


def spare_bytes(shape: Sequence[int], itemsize: int) -> int:
    """Return how many bytes may follow the voxels: fewer than any one slice takes.

    A whole slice more would mean that the header declares too few.
    """
    return math.prod(shape) * itemsize // max(shape) - 1


def note_trailing(name: str, found: int, need: int, spare: int) -> tuple[str, ...]:
    """Return a note of the bytes that follow the voxels, nothing where none do.

    Args:
        name: File name for messages.
        found: Bytes from the first voxel on.
        need: Bytes that the voxels take.
        spare: How many more may follow.

    Raises:
        FormatError: Too few bytes (`INPUT_TRUNCATED`), or too many to be padding (`INPUT_HEADER_INVALID`).
    """
    if found < need:
        raise truncation(name, found, need)
    if found > need + spare:
        raise too_long(name, need)
    if found > need:
        return (f"{found - need} bytes follow the voxels and were left unread.",)
    return ()


def too_long(name: str, size: int) -> FormatError:
    """Return the refusal for a file holding more than its header declares."""
    return FormatError(
        f"{name}: the file holds more than the {size} bytes that its header declares, so header and voxels disagree. "
        "Export the scan again.",
        code="INPUT_HEADER_INVALID",
    )
