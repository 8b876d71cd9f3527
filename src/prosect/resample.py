"""Linear resampling of volumes, one axis at a time.

On an orthogonal grid trilinear interpolation separates into three one-dimensional blends, which is exact, needs no
coordinate array and runs at memory speed. A sheared grid takes the general path, plane by plane.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.geometry import Grid

__all__ = [
    "interpolate_along",
    "linear_weights",
    "resample_affine",
    "resample_separable",
    "resampling_bytes",
    "respaced_grid",
]

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
        # Counted between the centres of the first and the last voxel, as the official pipeline does.
        shape = np.round((np.asarray(grid.shape) - 1) * old / new).astype(int) + 1
        affine = grid.affine.copy()
        affine[:3, :3] *= new / old
        return Grid(tuple(shape.tolist()), affine)
    # A sheared scan has no box of its own along the new axes, so that of its corners is taken.
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


def interpolate_along(values: Tensor, axis: int, positions: NDArray[np.float64]) -> Tensor:
    """Return values linearly interpolated at positions along one axis; borders repeat."""
    lower, upper, weight = linear_weights(positions, values.shape[axis])
    view = [1] * values.ndim
    view[axis] = -1
    low = values.index_select(axis, torch.from_numpy(lower).to(values.device))
    high = values.index_select(axis, torch.from_numpy(upper).to(values.device))
    return low.lerp_(high, torch.from_numpy(weight).to(values.device).view(view))


def _share_memory(array: NDArray[np.float32]) -> Tensor:
    """Return a tensor over the array's own memory; one that must not be written is copied, as torch warns of it."""
    return torch.from_numpy(np.require(array, requirements=["W"]))


def resample_separable(array: NDArray[np.float32], ratio: tuple[float, ...], shape: tuple[int, ...]) -> Tensor:
    """Return `array` (i j k) sampled at voxel positions `index * ratio` on an output of `shape`; borders repeat.

    The axis that shrinks most goes first, so the intermediate arrays stay small. The array is never copied whole: it
    is read in the order of its memory, and an axis it shows mirrored is mirrored by the indices that are read.
    """
    mirrored = [step < 0 for step in array.strides]
    stored = array[tuple(slice(None, None, -1 if flip else 1) for flip in mirrored)]
    memory = sorted(range(3), key=lambda a: -stored.strides[a])
    out = _share_memory(stored.transpose(memory))
    for axis in shrinking_order(array.shape, shape):
        place = memory.index(axis)
        if ratio[axis] == 1.0 and shape[axis] == array.shape[axis]:
            if mirrored[axis]:
                out = out.flip(place)
            continue
        size = array.shape[axis]
        lower, upper, weight = linear_weights(np.arange(shape[axis], dtype=np.float64) * ratio[axis], size)
        if mirrored[axis]:
            lower, upper = size - 1 - lower, size - 1 - upper
        view = [1, 1, 1]
        view[place] = -1
        low = out.index_select(place, torch.from_numpy(lower))
        high = out.index_select(place, torch.from_numpy(upper))
        # Step by step, not `lerp_`: that rounds differently along contiguous memory, and storage must not show.
        out = low.add_(high.sub_(low).mul_(torch.from_numpy(weight).view(view)))
    return out.permute([memory.index(axis) for axis in range(3)]).contiguous()


def shrinking_order(shape: Sequence[int], target: Sequence[int]) -> list[int]:
    """Return the axes in the order in which they are resampled."""
    return sorted(range(3), key=lambda axis: target[axis] / shape[axis])


def resampling_bytes(shape: Sequence[int], target: Sequence[int]) -> int:
    """Return the most that `resample_separable` holds beside its input, in bytes."""
    sizes, now = [0], [int(n) for n in shape]
    for axis in shrinking_order(shape, target):
        now[axis] = int(target[axis])
        sizes.append(now[0] * now[1] * now[2] * 4)
    held = []
    for before, after in itertools.pairwise(sizes):
        held.append(before + 2 * after)
    return max(*held, 2 * sizes[-1])


def resample_affine(array: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> Tensor:
    """Return `array` (i j k) sampled linearly at `matrix @ output index`, plane by plane; outside is the minimum."""
    source = _share_memory(np.ascontiguousarray(array))[None, None]
    # `grid_sample` gives 0 outside, and outside is to be as dark as the darkest voxel.
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
