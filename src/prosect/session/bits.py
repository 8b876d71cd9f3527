"""The bits of a box as a session keeps them: one bit per voxel, compressed, in memory and in its file alike."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import SessionError

__all__ = ["box_from_json", "pack", "packed_from_json", "to_json", "unpack"]

LEVEL = 3  # a click waits for this; 6 saves a third of the bytes for three times the seconds
Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]


def pack(bits: Mask) -> bytes:
    """Return the bits of a box (i j k), k fastest, packed and compressed."""
    return zlib.compress(np.packbits(bits.ravel()).tobytes(), LEVEL)


def unpack(packed: bytes, shape: Voxel) -> Mask:
    """Return the bits of a box (i j k) that `pack` packed.

    Raises:
        SessionError: They are damaged, or belong to a box of another size (`SESSION_DAMAGED`).
    """
    size = math.prod(shape)
    length = (size + 7) // 8
    try:
        # No more is unpacked than fits: a damaged file must not fill the memory.
        content = zlib.decompressobj().decompress(packed, length + 1)
    except zlib.error as error:
        raise SessionError("A mask in the session is damaged.", code="SESSION_DAMAGED") from error
    if len(content) != length:
        raise SessionError("A mask in the session does not fit its box.", code="SESSION_DAMAGED")
    # The last byte may hold more bits than there are voxels.
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=size).view(np.bool_)
    return bits.reshape(shape)


def to_json(box: Box, packed: bytes) -> dict[str, Any]:
    """Return a box and its packed bits as JSON."""
    return {"start": list(box.start), "stop": list(box.stop), "bits": base64.b64encode(packed).decode()}


def box_from_json(entry: Mapping[str, Any], shape: Sequence[int]) -> Box:
    """Return the box of `to_json`, checked against the shape of the scan.

    Raises:
        SessionError: It does not lie inside the scan, or is empty (`SESSION_DAMAGED`).
    """
    try:
        i, j, k = (int(n) for n in entry["start"])
        a, b, c = (int(n) for n in entry["stop"])
    except (KeyError, TypeError, ValueError) as error:
        raise SessionError("A mask in the session is damaged.", code="SESSION_DAMAGED") from error
    box = Box((i, j, k), (a, b, c))
    if not all(0 <= s < e <= n for s, e, n in zip(box.start, box.stop, shape, strict=True)):
        raise SessionError("A mask in the session does not fit its scan.", code="SESSION_DAMAGED")
    return box


def packed_from_json(entry: Mapping[str, Any]) -> bytes:
    """Return the packed bits of `to_json`.

    Raises:
        SessionError: They are damaged (`SESSION_DAMAGED`).
    """
    try:
        return base64.b64decode(entry["bits"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise SessionError("A mask in the session is damaged.", code="SESSION_DAMAGED") from error
