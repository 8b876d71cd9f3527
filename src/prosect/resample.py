"""Linear resampling of volumes, one axis at a time.

On an orthogonal grid trilinear interpolation separates into three one-dimensional blends, which is exact, needs no
coordinate array and runs at memory speed. A sheared grid takes the general path, plane by plane.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.geometry import Grid

__all__ = ["linear_weights", "resample_affine", "resample_separable", "respaced_grid"]

# Cosine between two voxel axes above which a grid counts as sheared: below it a scan of 512 voxels moves by less than
# a twentieth of a voxel.
SHEAR_TOLERANCE = 1e-4


def respaced_grid(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Return the grid with new spacing that keeps the centre of voxel (0, 0, 0) and the axis directions.

    The last plane may fall up to half a new voxel inside or outside the old one, as in the official pipeline. The axes
    of a sheared grid are made orthogonal, and the new grid is moved to cover all of the old one.
    """
    old = np.asarray(grid.spacing_mm)
    new = np.asarray(spacing_mm, dtype=np.float64)
    if grid.shear <= SHEAR_TOLERANCE:
        shape = np.round((np.asarray(grid.shape) - 1) * old / new).astype(int) + 1
        affine = grid.affine.copy()
        affine[:3, :3] *= new / old
        return Grid(tuple(shape.tolist()), affine)
    axes = orthogonal_axes(grid.affine[:3, :3])
    corners = (grid.corners_ras() @ axes) / new
    low = corners.min(axis=0)
    shape = np.ceil(corners.max(axis=0) - low - 1e-6).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = axes * new
    affine[:3, 3] = axes @ (low * new)
    return Grid(tuple(shape.tolist()), affine)


def orthogonal_axes(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the orthonormal axes nearest to the columns of `matrix` (3 3), handedness kept."""
    u, _, vt = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    return np.asarray(u @ vt)


def linear_weights(
    positions: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return lower and upper neighbour and the weight of the upper one, for positions clamped to [0, size - 1]."""
    clamped = np.clip(positions, 0.0, size - 1)
    lower = np.minimum(np.floor(clamped).astype(np.int64), max(size - 2, 0))
    upper = np.minimum(lower + 1, size - 1)
    return lower, upper, (clamped - lower).astype(np.float32)


def _writable(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a contiguous array that torch can share; one that must not be written is copied, as torch warns of it."""
    return np.require(array, requirements=["C", "W"])


def resample_separable(array: NDArray[np.float32], ratio: tuple[float, ...], shape: tuple[int, ...]) -> Tensor:
    """Return `array` (i j k) sampled at voxel positions `index * ratio` on an output of `shape`; borders repeat.

    The axis that shrinks most goes first, so the intermediate arrays stay small.
    """
    out = torch.from_numpy(_writable(array))
    for axis in sorted(range(3), key=lambda a: shape[a] / array.shape[a]):
        if ratio[axis] == 1.0 and shape[axis] == array.shape[axis]:
            continue
        lower, upper, weight = linear_weights(np.arange(shape[axis], dtype=np.float64) * ratio[axis], array.shape[axis])
        view = [1, 1, 1]
        view[axis] = -1
        low = out.index_select(axis, torch.from_numpy(lower))
        high = out.index_select(axis, torch.from_numpy(upper))
        out = low.lerp_(high, torch.from_numpy(weight).view(view))
    return out


def resample_affine(array: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> Tensor:
    """Return `array` (i j k) sampled linearly at `matrix @ output index`, plane by plane; outside is the minimum."""
    source = torch.from_numpy(_writable(array))[None, None]
    floor = source.amin()
    source = source - floor
    out = torch.empty(shape)
    j, k = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    size = np.maximum(np.asarray(array.shape) - 1, 1)
    for i in range(shape[0]):
        index = np.stack([np.full_like(j, i), j, k, np.ones_like(j)], axis=-1) @ matrix[:3].T
        unit = torch.from_numpy((2 * index / size - 1)[None, None, ..., ::-1].astype(np.float32))
        out[i] = F.grid_sample(source, unit, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0, 0]
    return out + floor
