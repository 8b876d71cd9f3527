"""Where crops of one scan lie against each other, and which parts of a mask reach a face of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.morphology import Components

__all__ = ["nearest_voxel", "reaching", "shared_voxels"]

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]


def nearest_voxel(point: NDArray[np.float64], size: int) -> Start:
    """Return the voxel (i j k) of a cubic crop that a position (3) lies in; beyond its faces the outermost one."""
    i, j, k = np.floor(point + 0.5).astype(int).clip(0, size - 1).tolist()
    return i, j, k


def shared_voxels(start: Start, other: Start, size: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return what two cubic crops share, as an index into each; nothing where they lie apart.

    Args:
        start: First voxel of one of them on the network grid.
        other: That of the other.
        size: Voxels along each axis.
    """
    ours, theirs = [], []
    for own_start, other_start in zip(start, other, strict=True):
        ahead = other_start - own_start  # how far along this axis the other one begins
        ours.append(slice(max(ahead, 0), min(size + ahead, size)))
        theirs.append(slice(max(-ahead, 0), min(size - ahead, size)))
    return tuple(ours), tuple(theirs)


def reaching(held: Mask, axis: int, ahead: bool) -> Mask:
    """Return the parts of a mask (i j k) that reach the last plane along an axis (`ahead`), or the first."""
    parts = Components.of(held)
    if axis == 2:
        there = parts.stops == held.shape[2] if ahead else parts.starts == 0
    else:
        plane = np.unravel_index(parts.lines, held.shape[:2])[axis]
        there = plane == (held.shape[axis] - 1 if ahead else 0)
    return parts.mask(np.unique(parts.labels[there]).tolist())
