"""Trilinear interpolation as the textbook words it: eight corners, in double precision, through world positions."""

from __future__ import annotations

import itertools

import numpy as np

from prosect.geometry import Grid


def voxels_of(grid: Grid) -> np.ndarray:
    """Return every voxel index of a grid (n 3), last axis fastest."""
    return np.indices(grid.shape).reshape(3, -1).T


def sample(array: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the values of `array` (i j k) at voxel positions (n 3); beyond the border, the border's."""
    size = np.asarray(array.shape)
    points = np.clip(points, 0, size - 1)
    lower = np.floor(points).astype(int)
    part = points - lower
    out = np.zeros(len(points))
    for corner in itertools.product((0, 1), repeat=3):
        index = np.minimum(lower + corner, size - 1)
        weight = np.where(corner, part, 1 - part).prod(axis=1)
        out += weight * array[tuple(index.T)].astype(np.float64)
    return out


def resample(array: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return `array` on `source` as it looks on `target`."""
    return sample(array, source.to_voxel(target.to_world(voxels_of(target)))).reshape(target.shape)
