"""Arrays as nnInteractive packs them: a short header and blosc2 frames.

Nothing of what a client says is believed: sizes are compared with what the frames themselves declare and with a limit,
before memory is taken for them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

import blosc2
import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError

__all__ = ["MAX_AXIS", "Packed", "pack_array", "unpack_array"]

Packed: TypeAlias = bytes | bytearray

MAGIC = b"NNIA"
VERSION = 1
ZSTD, LZ4 = 1, 2  # how codecs are called in the header; the frame itself says which it is
HEAD = struct.Struct("<4sBBBB")  # magic, version, codec, axes, length of the type's name
LENGTHS = struct.Struct("<QQ")  # bytes of a chunk, unpacked and packed
COUNT = struct.Struct("<I")
CHUNK = 1 << 30  # blosc2 takes less than 2 GiB at a time
MAX_AXES = 4
MAX_AXIS = 4096
TYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64",
)  # fmt: skip


def pack_array(array: NDArray[Any]) -> bytes:
    """Return an array of any shape, packed; its order in memory and the order of its bytes do not matter."""
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    name = plain.dtype.name.encode("ascii")
    parts = [HEAD.pack(MAGIC, VERSION, ZSTD, array.ndim, len(name)), name, struct.pack(f"<{array.ndim}q", *array.shape)]
    raw = plain.reshape(-1).view(np.uint8)
    starts = range(0, raw.size, CHUNK)
    parts.append(COUNT.pack(len(starts)))
    for start in starts:
        chunk = raw[start : start + CHUNK]
        # With another item size than the array's own, blosc2 writes frames of zeros that it cannot read.
        packed = blosc2.compress2(
            chunk, typesize=plain.itemsize, codec=blosc2.Codec.ZSTD, clevel=1, filters=[blosc2.Filter.NOFILTER]
        )
        parts += [LENGTHS.pack(chunk.size, len(packed)), packed]
    return b"".join(parts)


def unpack_array(data: Packed, max_bytes: int) -> NDArray[Any]:
    """Return a packed array, in C order.

    Args:
        data: What `pack_array` or a client of nnInteractive made.
        max_bytes: Most that the array may take.

    Raises:
        FormatError: These bytes are no packed array (`REQUEST_INVALID`), or it is too large (`INPUT_TOO_LARGE`).
    """
    kind, shape, start = header(data)
    total = math.prod(shape) * kind.itemsize
    if total > max_bytes:
        raise FormatError(
            f"The array has shape {shape} and {total} bytes; this server takes {max_bytes}.", code="INPUT_TOO_LARGE"
        )
    frames = list(chunks(data, start))
    if sum(length for length, _ in frames) != total:
        raise malformed(f"its frames do not hold the {total} bytes of shape {shape}")
    out = np.empty(total, dtype=np.uint8)
    written = 0
    for length, frame in frames:
        unpack_frame(frame, out[written : written + length])
        written += length
    return out.view(kind).reshape(shape)


def header(data: Packed) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return type and shape of a packed array, and where its chunks begin.

    Raises:
        FormatError: The header is none, or says what we do not take (`REQUEST_INVALID`).
    """
    if len(data) < HEAD.size:
        raise malformed(f"it has {len(data)} bytes")
    magic, version, codec, axes, length = HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION or codec not in (ZSTD, LZ4):
        raise malformed(f"it begins with {data[:6].hex()}")
    if not 1 <= axes <= MAX_AXES:
        raise malformed(f"it has {axes} axes, and 1 to {MAX_AXES} are taken")
    shape_at = HEAD.size + length
    begin = shape_at + 8 * axes
    if len(data) < begin:
        raise malformed("it ends within its header")
    name = data[HEAD.size : shape_at].decode("latin-1")
    if name not in TYPES:
        raise malformed(f"its type is {name!r:.30}, and taken are {', '.join(TYPES)}")
    shape = struct.unpack_from(f"<{axes}q", data, shape_at)
    if any(not 1 <= size <= MAX_AXIS for size in shape):
        raise malformed(f"its shape is {shape}, and each axis has 1 to {MAX_AXIS}")
    return np.dtype(name).newbyteorder("<"), shape, begin


def chunks(data: Packed, start: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the frames of a packed array with the bytes that each holds, as the frame itself declares them.

    Raises:
        FormatError: They do not fill the rest of the data exactly (`REQUEST_INVALID`).
    """
    view = memoryview(data)
    if len(data) < start + COUNT.size:
        raise malformed("it ends before its frames")
    (count,) = COUNT.unpack_from(data, start)
    position = start + COUNT.size
    for _ in range(count):
        if len(data) < position + LENGTHS.size:
            raise malformed("it ends between two frames")
        length, packed = LENGTHS.unpack_from(data, position)
        position += LENGTHS.size
        if len(data) < position + packed:
            raise malformed("it ends within a frame")
        frame = view[position : position + packed]
        position += packed
        if declared(frame) != length:
            raise malformed(f"a frame does not hold the {length} bytes that are announced")
        yield length, frame
    if position != len(data):
        raise malformed(f"{len(data) - position} bytes follow its last frame")


def declared(frame: memoryview) -> int:
    """Return the bytes that a frame says it holds; -1 where it is no frame."""
    try:
        unpacked, packed, _ = blosc2.get_cbuffer_sizes(frame)
    except (ValueError, RuntimeError, TypeError):
        return -1
    return int(unpacked) if packed == len(frame) else -1


def unpack_frame(frame: memoryview, out: NDArray[np.uint8]) -> None:
    """Unpack a frame into an array that is as long as it declares.

    Raises:
        FormatError: The frame is damaged (`REQUEST_INVALID`).
    """
    try:
        blosc2.decompress2(frame, dst=out)
    except (ValueError, RuntimeError, TypeError) as error:
        raise malformed("a frame is damaged") from error


def malformed(cause: str) -> FormatError:
    """Return the refusal of bytes that are no packed array."""
    return FormatError(f"The packed array cannot be read: {cause}.", code="REQUEST_INVALID")
