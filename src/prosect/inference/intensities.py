"""What SAM-Med3D's intensities are measured by."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mean_and_spread"]


def mean_and_spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the intensities above 0.

    official: air and padding are at or below 0 and do not count, but in CT neither does fat. Differs from the official
    code where no two voxels lie above 0 or all of those are equal, which it cannot take: there every voxel counts, and
    the deviation of an even image is infinite, so that it becomes 0.
    """
    counted = values[values > 0]
    if counted.numel() < 2 or not bool(counted.std() > 0):
        counted = values.flatten()
    spread = counted.std(correction=min(1, counted.numel() - 1))
    return counted.mean(), spread if bool(spread > 0) else torch.full_like(spread, torch.inf)
