"""How well supervoxels can explain a structure that they were not told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["achievable_dice", "borders", "boundary_recall"]

Mask = NDArray[np.bool_]
Labels = NDArray[np.integer[Any]] | Mask


def achievable_dice(labels: Labels, structure: Mask, at_most: int | None = None) -> float:
    """Return the highest Dice that a union of supervoxels reaches, exactly.

    Dice is a ratio of sums over the chosen supervoxels. For a guess of the best ratio those worth choosing are the
    ones that would raise it; what they reach is the next guess, until nothing changes (Dinkelbach's method).

    Args:
        labels: Supervoxels (i j k); 0 is none.
        structure: The structure (i j k), not empty.
        at_most: How many supervoxels may be chosen; by default all.
    """
    size = np.bincount(labels.ravel(order="K"))[1:]
    inside = np.bincount(labels[structure], minlength=len(size) + 1)[1:]
    whole, best = int(np.count_nonzero(structure)), 0.0
    while True:
        gain = 2 * inside - best * size
        chosen = np.argsort(-gain, kind="stable")[:at_most]
        chosen = chosen[gain[chosen] > 0]
        reached = float(2 * inside[chosen].sum() / (size[chosen].sum() + whole))
        if reached <= best + 1e-12:
            return best
        best = reached


def borders(labels: Labels) -> Mask:
    """Return the voxels (i j k) of which a neighbour across a face has another label."""
    out = np.zeros(labels.shape, dtype=np.bool_)
    for axis in range(3):
        planes, edge = np.moveaxis(labels, axis, 0), np.moveaxis(out, axis, 0)
        changes = planes[1:] != planes[:-1]
        edge[1:] |= changes
        edge[:-1] |= changes
    return out


def boundary_recall(labels: Labels, structure: Mask, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Return the share of a structure's border that lies within a tolerance of a border between supervoxels."""
    border = borders(structure) & structure
    distance = ndimage.distance_transform_edt(~borders(labels), sampling=spacing_mm)
    return float((distance[border] <= tolerance_mm).mean())
