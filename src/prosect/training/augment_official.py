"""Intensity augmentation by MONAI's transforms, as the official configurations have it for every data set."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandShiftIntensity,
    RandSimulateLowResolution,
)
from torch import Tensor

__all__ = ["augment_official"]

PROBABILITY = 0.2
SIGMA = (0.5, 1.0)
CHAIN = Compose(
    [
        RandSimulateLowResolution(prob=PROBABILITY, zoom_range=(0.3, 1.0)),
        RandGaussianSmooth(prob=PROBABILITY, sigma_x=SIGMA, sigma_y=SIGMA, sigma_z=SIGMA),
        RandScaleIntensity(factors=0.1, prob=PROBABILITY),
        RandShiftIntensity(offsets=0.1, prob=PROBABILITY),
        RandGaussianNoise(prob=PROBABILITY, mean=0.0, std=0.2),
    ]
)


def augment_official(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Return a patch (1 1 i j k) in [0, 1] augmented as published; values may leave that range, as there."""
    CHAIN.set_random_state(seed=int(generator.integers(2**31)))
    return torch.as_tensor(CHAIN(image[0]))[None].float()
