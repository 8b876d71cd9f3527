"""FreeSurfer volumes (`.mgh`, `.mgz`): read, never written.

The header gives voxel sizes, the direction of each axis, and where the centre lies, which counts from 0 to the number
of voxels over 2, half a voxel beyond the middle of the outermost centres.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from prosect.errors import FormatError, GeometryError
from prosect.geometry import Grid
from prosect.io.payload import check_extent, inflate, inflate_head, read_payload, too_long, truncation
from prosect.io.stored import StoredImage

__all__ = ["load"]

HEAD_BYTES = 284
# Version, width, height, depth, frames, voxel type, degrees of freedom; then whether the geometry below is in force.
FIELDS = struct.Struct(">7ih15f")
TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# Scan times, transforms and the commands that made it follow the voxels.
TAIL_BYTES = 1 << 20


def load(path: Path) -> StoredImage:
    """Return the image in an MGH file, plain or gzipped, all bytes verified.

    Raises:
        FormatError: Truncated, corrupt, or an impossible header.
        GeometryError: The header does not say where voxels are.
        ResourceError: Larger than the free memory.
    """
    payload = read_payload(path)
    name, gzipped = payload.name, payload.raw[:2] == b"\x1f\x8b"
    if gzipped:
        head = inflate_head(payload.raw, HEAD_BYTES, name)
    else:
        head = payload.raw[:HEAD_BYTES]
    if len(head) < HEAD_BYTES:
        raise truncation(name, len(head), HEAD_BYTES, "header bytes")
    _, *sizes, kind, _, is_placed = FIELDS.unpack_from(head)[:8]
    numbers = np.array(FIELDS.unpack_from(head)[8:], np.float64)
    if kind not in TYPES:
        raise FormatError(
            f"{name}: the header declares voxel type {kind}, which we do not read. Convert it by mri_convert.",
            code="INPUT_HEADER_INVALID",
        )
    dtype, shape = np.dtype(TYPES[kind]), (sizes[0], sizes[1], sizes[2], sizes[3])
    need = check_extent(name, shape, dtype.itemsize)
    whole: bytes | bytearray = payload.raw
    if gzipped:
        whole = inflate(payload.raw, HEAD_BYTES + need, name, spare=TAIL_BYTES)
    if len(whole) < HEAD_BYTES + need:
        raise truncation(name, len(whole), HEAD_BYTES + need)
    if len(whole) > HEAD_BYTES + need + TAIL_BYTES:
        raise too_long(name, HEAD_BYTES + need)
    array = np.frombuffer(whole, dtype, math.prod(shape), HEAD_BYTES).reshape(shape, order="F")
    if is_placed <= 0:
        raise GeometryError(
            f"{name}: the header does not say where its voxels are (its goodRASFlag is {is_placed}). Set it from the "
            "original scan by mri_convert."
        )
    grid = grid_of(name, (shape[0], shape[1], shape[2]), numbers)
    return StoredImage(name, "mgh", array, grid, sha256=payload.sha256)


def grid_of(name: str, shape: tuple[int, int, int], numbers: np.ndarray) -> Grid:
    """Return the grid in RAS mm.

    Args:
        name: File name for messages.
        shape: Number of voxels along i j k.
        numbers: Voxel sizes in mm (3), unit vectors of i, j and k (9), and the centre in RAS mm (3).

    Raises:
        GeometryError: They are no geometry.
    """
    affine = np.eye(4)
    affine[:3, :3] = numbers[3:12].reshape(3, 3).T * numbers[:3]
    affine[:3, 3] = numbers[12:] - affine[:3, :3] @ (np.array(shape) / 2)
    try:
        return Grid(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from None
