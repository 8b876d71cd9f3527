"""Gaussian smoothing of arrays, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

__all__ = ["smooth"]

REACH = 3.0  # in standard deviations
LEAST_VOX = 0.15  # less than that is no change


def smooth(array: NDArray[np.float32], sigma_vox: float | Sequence[float]) -> NDArray[np.float32]:
    """Return an array (i j k) smoothed by a Gaussian; its border values go on outside.

    Args:
        array: What to smooth.
        sigma_vox: Standard deviation in voxels, for all axes or for each.
    """
    if isinstance(sigma_vox, int | float):
        sigmas = [float(sigma_vox)] * 3
    else:
        sigmas = [float(s) for s in sigma_vox]
    out = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    for axis, sigma in enumerate(sigmas):
        if sigma >= LEAST_VOX and array.shape[axis] > 1:
            out = along(out, axis, sigma)
    return np.asarray(out.numpy())


def along(array: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """Return the array smoothed along one axis, summing shifted copies: quicker than convolving one channel."""
    radius = max(1, round(REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    size = array.shape[axis]
    padding = [0, 0, 0, 0, 0, 0]
    padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = radius
    wide = F.pad(array[None, None], padding, mode="replicate")[0, 0]
    out = wide.narrow(axis, radius, size) * float(weights[0])
    for step in range(1, radius + 1):
        out.add_(wide.narrow(axis, radius - step, size), alpha=float(weights[step]))
        out.add_(wide.narrow(axis, radius + step, size), alpha=float(weights[step]))
    return out
