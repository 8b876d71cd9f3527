"""Geometry as ITK's files and programs state it: millimetres in LPS, one direction per voxel axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosect.geometry import Grid

__all__ = ["affine_from_lps", "affine_in_lps"]

TURN = np.array([[-1.0], [-1.0], [1.0], [1.0]])  # LPS to RAS, and back


def affine_from_lps(directions: ArrayLike, spacing_mm: ArrayLike, origin_lps: ArrayLike) -> NDArray[np.float64]:
    """Return the affine (4, 4), voxel centre to RAS mm.

    Args:
        directions: Unit vectors in LPS (3, 3), that of voxel axis n in column n.
        spacing_mm: Millimetres along each voxel axis.
        origin_lps: Centre of the first voxel, LPS mm.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, dtype=np.float64) * np.asarray(spacing_mm)
    affine[:3, 3] = origin_lps
    return np.asarray(affine * TURN)


def affine_in_lps(grid: Grid) -> NDArray[np.float64]:
    """Return the affine (4, 4) of a grid, voxel centre to LPS mm; without a zero that is negative."""
    return np.asarray(grid.affine * TURN + 0.0)
