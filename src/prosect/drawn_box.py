"""What a box that a person drew says of where a structure ends.

A box in space holds the structure. A box in one plane, as viewers draw it, says where the structure ends in that plane
only: in the planes beside it the structure may be wider, the more the farther they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box, Voxel

__all__ = ["FLAT_LENGTH", "GROWTH", "allowed", "along", "flat_axis", "holds", "likely_extent_mm", "reach"]

Mask = NDArray[np.bool_]

# By how many mm a structure may be wider on each side, for each mm away from the plane of the box.
GROWTH = 0.5
# What counts as the size of a structure in a box, over the geometric mean of its sides. A long thin structure looks as
# large as it is thick. In a box a finer scale answers better than without one: where the structure ends is known.
BOX_LENGTH = 0.85
# The same for a box in one plane, over its longer side: most structures go on beyond the plane.
FLAT_LENGTH = 1.5


def flat_axis(drawn: Box) -> int | None:
    """Return the axis across the plane of a box; None for a box in space, and for a line or a point."""
    flat = [axis for axis in range(3) if drawn.shape[axis] == 1]
    return flat[0] if len(flat) == 1 else None


def likely_extent_mm(drawn: Box, spacing_mm: Sequence[float]) -> float:
    """Return how large the structure in a drawn box is, as a scale is chosen for it, in mm.

    Args:
        drawn: What the person drew, in voxels of the scan.
        spacing_mm: Distance of voxels along i, j, k.
    """
    sides_mm = np.asarray(drawn.shape) * np.asarray(spacing_mm)
    if flat_axis(drawn) is None:
        return float(BOX_LENGTH * sides_mm.prod() ** (1 / 3))
    return float(FLAT_LENGTH * sides_mm.max())


def holds(drawn: Box, voxel: Voxel, spacing_mm: Sequence[float]) -> bool:
    """Return whether a structure in a drawn box may have a voxel (i, j, k) of the scan."""
    i, j, k = voxel
    return bool(allowed(drawn, Box(voxel, (i + 1, j + 1, k + 1)), spacing_mm).item())


def allowed(drawn: Box, box: Box, spacing_mm: Sequence[float]) -> Mask:
    """Return where in a box of the scan a structure in a drawn box may be (i j k).

    Args:
        drawn: What the person drew, in voxels of the scan.
        box: In voxels of the scan.
        spacing_mm: Distance of voxels along i, j, k.
    """
    normal = flat_axis(drawn)
    if normal is None:
        inside = np.zeros(box.shape, dtype=np.bool_)
        shared = drawn & box
        if shared.size:
            inside[shared.within(box)] = True
        return inside
    wider_mm = GROWTH * along(_off_plane_mm(drawn, box, spacing_mm, normal), normal)
    inside = np.ones(box.shape, dtype=np.bool_)
    for axis in range(3):
        if axis == normal:
            continue
        places = box.start[axis] + np.arange(box.shape[axis])
        before = (drawn.start[axis] - places) * spacing_mm[axis]
        behind = (places - (drawn.stop[axis] - 1)) * spacing_mm[axis]
        inside &= along(np.maximum(before, behind), axis) <= wider_mm
    return inside


def reach(drawn: Box, box: Box, spacing_mm: Sequence[float]) -> Box:
    """Return the part of a box of the scan in which a structure in a drawn box may have voxels.

    Args:
        drawn: What the person drew, in voxels of the scan.
        box: In voxels of the scan.
        spacing_mm: Distance of voxels along i, j, k.
    """
    normal = flat_axis(drawn)
    if normal is None:
        return drawn & box
    if not box.size:
        return EMPTY
    wider_mm = GROWTH * float(_off_plane_mm(drawn, box, spacing_mm, normal).max())
    start, stop = list(drawn.start), list(drawn.stop)
    for axis in range(3):
        more = int(np.ceil(wider_mm / spacing_mm[axis]))
        start[axis], stop[axis] = start[axis] - more, stop[axis] + more
    start[normal], stop[normal] = box.start[normal], box.stop[normal]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])) & box


def _off_plane_mm(drawn: Box, box: Box, spacing_mm: Sequence[float], normal: int) -> NDArray[np.float64]:
    """Return how far each plane of a box (n,) lies from the plane of a drawn one, in mm."""
    planes = box.start[normal] + np.arange(box.shape[normal])
    return np.asarray(np.abs(planes - drawn.start[normal]) * spacing_mm[normal], dtype=np.float64)


def along(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return values (n,) so that they run along one of three axes."""
    shape = [1, 1, 1]
    shape[axis] = len(values)
    return values.reshape(shape)
