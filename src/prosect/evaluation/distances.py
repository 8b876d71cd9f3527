"""Erosion, depth and nearness of voxels: all of evaluation that needs scipy (the `training` extra)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.errors import ResourceError

try:
    from scipy import ndimage
    from scipy.spatial import cKDTree
except ImportError as missing:
    raise ResourceError(
        "Evaluation needs scipy, which is not installed. Install it with pip install 'prosect[training]'.",
        code="EXTRA_MISSING",
    ) from missing

__all__ = ["depth", "eroded", "near"]

Mask = NDArray[np.bool_]


def eroded(mask: Mask, reach: Sequence[int] = (1, 1, 1)) -> Mask:
    """Return the voxels whose neighbours up to `reach` along each axis are all set; beyond the mask none is."""
    return np.asarray(ndimage.binary_erosion(mask, np.ones([2 * n + 1 for n in reach])))


def depth(mask: Mask) -> NDArray[np.float64]:
    """Return for each voxel of a mask how far it is, in voxels, to the nearest that is not set; beyond it none is."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1])


def near(points: NDArray[np.float64], others: NDArray[np.float64], reach: float) -> Mask:
    """Return for each point (n 3) whether one of the others (m 3) lies less than `reach` away."""
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=np.bool_)
    # A compact and balanced tree costs more to build than these few queries save.
    tree = cKDTree(others, compact_nodes=False, balanced_tree=False)
    distance, _ = tree.query(points, distance_upper_bound=reach)
    return np.asarray(np.isfinite(distance))
