"""Depths of a large box, worked out only where the surface can be: everything else is plainly inside or outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.shapes import Array, Shape

__all__ = ["depth_near_surface"]

STEP = 3  # a block has this many voxels along each axis
SMALL = 6000  # boxes of fewer voxels are worked out whole
# Depths are exact at surfaces and to first order near them; farther off they may be wrong by this factor.
DOUBT = 1.6
FAR_MM = 1e3


def depth_near_surface(shape: Shape, x: Array, y: Array, z: Array, edge_mm: float) -> Array:
    """Return depths (i j k) that are true within `edge_mm` of the surface, and beyond it at least of the right sign.

    Args:
        shape: The solid.
        x: Its coordinate along R at every voxel (i j k), as a whole array.
        y: The same along A.
        z: The same along S.
        edge_mm: How far from the surface a depth must be true.
    """
    if x.size < SMALL or min(x.shape) < 2 * STEP or x.shape != y.shape or x.shape != z.shape:
        return shape.depth_mm(x, y, z)
    corners = []
    for n in x.shape:
        corners.append(np.append(np.arange(0, n - 1, STEP), n - 1))
    lattice = np.ix_(*corners)
    coarse = np.broadcast_to(shape.depth_mm(x[lattice], y[lattice], z[lattice]), tuple(len(c) for c in corners))
    first, last = lattice_ends(x, y, z)
    # No voxel of a block lies further from its nearest corner than half of the block's diagonal.
    mm_per_voxel = np.linalg.norm(last - first) / np.linalg.norm(np.asarray(x.shape) - 1)
    half_diagonal_mm = STEP * mm_per_voxel * 3**0.5 / 2
    reach = DOUBT * half_diagonal_mm + edge_mm
    is_outside = extreme(coarse, np.maximum) < -reach
    is_inside = extreme(coarse, np.minimum) > reach
    state = is_inside.astype(np.int8) - is_outside.astype(np.int8)
    counts = [np.diff(c) for c in corners]
    for axis, count in enumerate(counts):
        count[-1] += 1
        state = np.repeat(state, count, axis=axis)
    near = state == 0
    depth = np.where(state > 0, np.float32(FAR_MM), np.float32(-FAR_MM))
    depth[near] = np.ravel(shape.depth_mm(x[near], y[near], z[near]))
    return depth


def lattice_ends(x: Array, y: Array, z: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first and the last point of a box."""
    first = np.array([x[0, 0, 0], y[0, 0, 0], z[0, 0, 0]], dtype=np.float64)
    last = np.array([x[-1, -1, -1], y[-1, -1, -1], z[-1, -1, -1]], dtype=np.float64)
    return first, last


def extreme(coarse: NDArray[np.floating], pick: np.ufunc) -> NDArray[np.floating]:
    """Return the extreme of the eight corners of every block."""
    for axis in range(3):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(0, -1), slice(1, None)
        coarse = pick(coarse[tuple(lower)], coarse[tuple(upper)])
    return coarse
