"""From a patch of network voxels to the scan's own voxels, and only to those it covers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.boxes import Box
from prosect.case import Placement
from prosect.inference.windows import Shape
from prosect.resample import interpolate_along

__all__ = ["patch_box", "patch_to_scan"]


def patch_box(case: Placement, start: Sequence[int], shape: Shape) -> Box:
    """Return the box of the scan's voxels, as stored, that holds all whose centres lie in a patch.

    Args:
        case: The scan made ready.
        start: First voxel of the patch on the network grid; negative where the grid was padded.
        shape: Voxels of the patch.
    """
    if case.is_separable:
        low, high = _planes_within(case, start, shape)
    else:
        low, high = _voxels_around(case, start, shape)
    # From the order of the network's axes to that in which the scan is stored, where some run the other way.
    stored_low, stored_high = [0, 0, 0], [0, 0, 0]
    for axis, (old, flip) in enumerate(zip(case.order.axes, case.order.flips, strict=True)):
        size = case.native.shape[old]
        if flip:
            stored_low[old], stored_high[old] = size - high[axis], size - low[axis]
        else:
            stored_low[old], stored_high[old] = low[axis], high[axis]
    return Box(_triple(stored_low), _triple(stored_high))


def _planes_within(case: Placement, start: Sequence[int], shape: Shape) -> tuple[list[int], list[int]]:
    """Return where the scan's planes in a patch begin and end (3 each, network order), on a grid without shear."""
    low, high = [0, 0, 0], [0, 0, 0]
    for axis in range(3):
        planes = _covered(case, axis, start[axis], shape[axis])
        if len(planes):
            low[axis], high[axis] = int(planes[0]), int(planes[-1]) + 1
    return low, high


def _voxels_around(case: Placement, start: Sequence[int], shape: Shape) -> tuple[list[int], list[int]]:
    """Return where a box of the scan's voxels around a patch begins and ends (3 each, network order)."""
    # Voxels are boxes around their centres, so a patch ends half a voxel beyond its outermost ones.
    faces = []
    for first, count in zip(start, shape, strict=True):
        faces.append((first - 0.5, first + count - 0.5))
    corners = np.asarray(list(itertools.product(*faces)))
    to_scan = np.linalg.inv(case.to_prepared)
    voxels = corners @ to_scan[:3, :3].T + to_scan[:3, 3]
    low = np.floor(voxels.min(axis=0)).astype(int).clip(0)
    high = np.minimum(np.ceil(voxels.max(axis=0)).astype(int) + 1, case.native_shape)
    return low.tolist(), high.tolist()


def _triple(numbers: Sequence[int]) -> tuple[int, int, int]:
    i, j, k = numbers
    return i, j, k


def patch_to_scan(case: Placement, start: Sequence[int], logits: Tensor) -> tuple[Box, NDArray[np.float32]]:
    """Return the box of a patch on the scan and its logits there, linearly interpolated; NaN outside the patch.

    Args:
        case: The scan made ready.
        start: First voxel of the patch on the network grid.
        logits: Values of the patch (i j k) on the network grid.
    """
    shape = (int(logits.shape[0]), int(logits.shape[1]), int(logits.shape[2]))
    box = patch_box(case, start, shape)
    out = np.empty(box.shape, dtype=np.float32)
    view = case.order.apply(out)
    if case.is_separable:
        for axis in (2, 1, 0):  # while little is there, the axis along which picking is dear; whole planes last
            positions = case.native_positions(axis)[_covered(case, axis, start[axis], shape[axis])] - start[axis]
            logits = interpolate_along(logits, axis, positions)
        view[...] = logits.cpu().numpy()
    else:
        _gather(case, start, logits.cpu(), box, view)
    return box, out


def _covered(case: Placement, axis: int, start: int, size: int) -> NDArray[np.int64]:
    """Return the scan's planes along a network axis whose centres lie in [start - 0.5, start + size - 0.5]."""
    positions = case.native_positions(axis) - start
    return np.flatnonzero((positions >= -0.5) & (positions <= size - 0.5))


def _gather(case: Placement, start: Sequence[int], logits: Tensor, box: Box, out: NDArray[np.float32]) -> None:
    """Fill `out` (network order) through a general affine, plane by plane."""
    # The first voxel of the box with its axes in network order.
    first = []
    for old, flip in zip(case.order.axes, case.order.flips, strict=True):
        if flip:
            first.append(case.native.shape[old] - box.stop[old])
        else:
            first.append(box.start[old])
    linear, offset = case.to_prepared[:3, :3], case.to_prepared[:3, 3]
    j, k = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    size = np.asarray(logits.shape)
    last = np.maximum(size - 1, 1)
    for i in range(out.shape[0]):
        voxels = np.stack([np.full_like(j, i), j, k], axis=-1) + first
        positions = voxels @ linear.T + offset - np.asarray(start)
        # `grid_sample` reads from -1 at the first voxel to 1 at the last, and its axes in the order k, j, i.
        unit = (2 * positions / last - 1)[None, None, ..., ::-1].astype(np.float32)
        plane = F.grid_sample(
            logits[None, None], torch.from_numpy(unit), mode="bilinear", padding_mode="border", align_corners=True
        )
        inside = ((positions >= -0.5) & (positions <= size - 0.5)).all(axis=-1)
        out[i] = np.where(inside, plane[0, 0, 0].numpy(), np.float32(np.nan))
