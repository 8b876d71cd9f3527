"""Dilation and components, one voxel after the other, straight from their definitions."""

from __future__ import annotations

import itertools

import numpy as np


def dilate(mask: np.ndarray, reach: tuple[int, ...], beyond: bool) -> np.ndarray:
    """Return the voxels of which some neighbour in the box is set; beyond the array each has the value `beyond`."""
    out = np.zeros_like(mask)
    for voxel in np.ndindex(*mask.shape):
        for offset in itertools.product(*(range(-r, r + 1) for r in reach)):
            place = tuple(v + o for v, o in zip(voxel, offset, strict=True))
            inside = all(0 <= p < n for p, n in zip(place, mask.shape, strict=True))
            out[voxel] |= mask[place] if inside else beyond
    return out


def border_components(mask: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return what can be walked to from the outermost planes along some axes, over shared faces."""
    reached = np.zeros_like(mask)
    at_border = [v for v in np.ndindex(*mask.shape) if any(v[a] in (0, mask.shape[a] - 1) for a in axes)]
    todo = [voxel for voxel in at_border if mask[voxel]]
    while todo:
        voxel = todo.pop()
        if reached[voxel]:
            continue
        reached[voxel] = True
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            place = tuple(n + step * (a == axis) for a, n in enumerate(voxel))
            if all(0 <= p < n for p, n in zip(place, mask.shape, strict=True)) and mask[place]:
                todo.append(place)
    return reached
