"""Random texture fixed to the body: values on a repeating lattice, interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from prosect.phantom.shapes import Array

__all__ = ["Grain", "random_grain"]

LATTICE = 40
# Interpolating independent values keeps this share of their variance along one axis, on average.
KEPT = 2.0 / 3.0


@dataclass(frozen=True, eq=False)
class Grain:
    """A texture of unit variance.

    Attributes:
        values: Independent normal values (n n n), repeated in every direction.
        pitch_mm: Their distance.
    """

    values: NDArray[np.float32]
    pitch_mm: float

    def __call__(self, x: Array, y: Array, z: Array) -> NDArray[np.float32]:
        """Return the texture at points given by arrays that broadcast."""
        count = len(self.values)
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        wrapped = torch.from_numpy(np.pad(self.values, (0, 1), mode="wrap"))[None, None]
        unit = np.empty((*shape, 3), dtype=np.float32)
        for place, axis in enumerate((z, y, x)):  # grid_sample reads the last axis first
            np.mod(axis / np.float32(self.pitch_mm), np.float32(count), out=unit[..., place])
        unit *= np.float32(2 / count)
        unit -= 1
        found = F.grid_sample(wrapped, torch.from_numpy(unit)[None], mode="bilinear", align_corners=True)
        return np.asarray(found[0, 0].numpy() * np.float32(KEPT**-1.5))


def random_grain(generator: np.random.Generator, pitch_mm: float) -> Grain:
    """Return a texture whose grains are about `pitch_mm` large."""
    return Grain(generator.standard_normal((LATTICE,) * 3, dtype=np.float32), pitch_mm)
