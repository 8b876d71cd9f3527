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
        runs = [_covered(case, axis, start[axis], shape[axis]) for axis in range(3)]
        low, high = [int(r[0]) if len(r) else 0 for r in runs], [int(r[-1]) + 1 if len(r) else 0 for r in runs]
    else:
        corners = list(itertools.product(*((s - 0.5, s + n - 0.5) for s, n in zip(start, shape, strict=True))))
        inverse = np.linalg.inv(case.to_prepared)
        voxels = np.asarray(corners) @ inverse[:3, :3].T + inverse[:3, 3]
        low = np.floor(voxels.min(axis=0)).astype(int).clip(0).tolist()
        high = np.minimum(np.ceil(voxels.max(axis=0)).astype(int) + 1, case.native_shape).tolist()
    stored_low, stored_high = [0, 0, 0], [0, 0, 0]
    for axis, (old, flip) in enumerate(zip(case.order.axes, case.order.flips, strict=True)):
        size = case.native.shape[old]
        if flip:
            stored_low[old], stored_high[old] = size - high[axis], size - low[axis]
        else:
            stored_low[old], stored_high[old] = low[axis], high[axis]
    return Box(tuple(stored_low), tuple(stored_high))  # type: ignore[arg-type]


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
        first.append(case.native.shape[old] - box.stop[old] if flip else box.start[old])
    j, k = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    size = np.asarray(logits.shape)
    for i in range(out.shape[0]):
        voxels = np.stack([np.full_like(j, i), j, k], axis=-1) + first
        positions = voxels @ case.to_prepared[:3, :3].T + case.to_prepared[:3, 3] - np.asarray(start)
        unit = torch.from_numpy((2 * positions / np.maximum(size - 1, 1) - 1)[None, None, ..., ::-1].astype(np.float32))
        plane = F.grid_sample(logits[None, None], unit, mode="bilinear", padding_mode="border", align_corners=True)
        inside = ((positions >= -0.5) & (positions <= size - 0.5)).all(axis=-1)
        out[i] = np.where(inside, plane[0, 0, 0].numpy(), np.float32(np.nan))
