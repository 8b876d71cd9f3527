"""Small scans whose supervoxels can be told beforehand."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.geometry import AxisOrder, Grid
from prosect.volume import Volume

SHAPE = (26, 22, 18)


def torso(shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = (2.0, 2.0, 2.5)) -> Volume:
    """Return a body in air with a lung, which is as dark as air, and a bright organ; it goes on above and below."""
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    array = np.full(shape, -1000.0, dtype=np.float32)
    array[i**2 + j**2 < 0.75] = 40.0
    array[((i - 0.35) / 0.3) ** 2 + (j / 0.4) ** 2 + (k / 2) ** 2 < 1] = -900.0
    array[((i + 0.4) / 0.25) ** 2 + (j / 0.35) ** 2 + (k / 0.7) ** 2 < 1] = 260.0
    array += 3 * np.sin(np.arange(array.size, dtype=np.float32) * 12.9898).reshape(shape)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-30.0, 12.0, 7.0)
    return Volume(array, Grid(shape, affine), "CT")


ORDERS = [
    AxisOrder(axes, flips)  # type: ignore[arg-type]
    for axes, flips in zip(itertools.permutations(range(3)), itertools.product((False, True), repeat=3), strict=False)
]


class WavyNetwork:
    """Features of slices that tell rows from columns and one place from another; remembers what it was shown."""

    channels = 3

    def __init__(self, side: int = 8) -> None:
        self.side = side
        self.batches: list[int] = []

    def features(self, slices: Tensor) -> Tensor:
        self.batches.append(len(slices))
        square = max(slices.shape[1:])
        padded = F.pad(slices[:, None], (0, square - slices.shape[2], 0, square - slices.shape[1]))
        small = F.interpolate(padded, size=(self.side, self.side), mode="bilinear", align_corners=False)
        across = torch.linspace(0, 1, self.side).expand(small.shape)
        return torch.cat([small, torch.sin(5 * small + across), small * across.transpose(2, 3)], dim=1)
