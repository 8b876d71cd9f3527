"""Intensity augmentation of patches in [0, 1]; geometry is changed by the patch sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Augmentation", "augment_intensities", "remap_intensities"]

Augmentation: TypeAlias = Callable[[Tensor, np.random.Generator], Tensor]


def augment_intensities(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Return a patch (1 1 i j k) as another scanner, kernel or contrast phase might have shown it.

    Each change is drawn on its own: contrast, brightness, gamma, blur, low resolution, noise.
    """
    g = generator
    if g.random() < 0.5:
        image = image * g.uniform(0.85, 1.15) + g.uniform(-0.04, 0.04)
    if g.random() < 0.3:
        image = image.clamp(0, 1) ** g.uniform(0.75, 1.35)
    if g.random() < 0.15:
        image = F.avg_pool3d(F.pad(image, (1,) * 6, mode="replicate"), 3, stride=1)
    if g.random() < 0.2:
        factor = tuple(float(f) for f in g.uniform(0.5, 1.0, 3))
        small = F.interpolate(image, scale_factor=factor, mode="trilinear", align_corners=False)
        image = F.interpolate(small, size=image.shape[2:], mode="nearest")
    if g.random() < 0.4:
        noise = g.standard_normal(tuple(image.shape), dtype=np.float32)
        image = image + torch.from_numpy(noise) * float(g.uniform(0.0, 0.05))
    return image.clamp(0, 1)


def remap_intensities(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Return a patch in [0, 1] seen through a random piecewise linear curve, rising, falling or neither.

    Where tissues meet there is still a border, but what is bright is no longer what a CT says: what is left to learn
    from is shape and contrast, as another modality has them.
    """
    knots = int(generator.integers(3, 8))
    heights = torch.from_numpy(generator.uniform(0, 1, knots).astype(np.float32))
    place = image.clamp(0, 1) * (knots - 1)
    low = place.floor().clamp(max=knots - 2)
    step = low.long()
    return heights[step] + (heights[step + 1] - heights[step]) * (place - low)
