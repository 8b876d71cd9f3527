"""Random Fourier position codes, shared by the prompt encoders of both models (after Segment Anything)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["FourierPosition"]

Wave = Literal["sin", "cos"]


class FourierPosition(nn.Module):
    """Encode positions in the unit cube by sines and cosines of random projections.

    Args:
        features: Number of random projections; codes have as many values for each wave.
        axes: Spatial dimensions.
        waves: Which functions of the projections make the code. SAM-Med3D's third repeats its first.
        grid_axes: For each axis of a position, the axis of `grid` that it counts along; by default its own. SAM-Med3D
            exchanges the first two for grids, but not for points.

    The projection matrix is part of the weights: a network trained with one is wrong with another.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(
        self,
        features: int,
        axes: int = 3,
        waves: tuple[Wave, ...] = ("sin", "cos"),
        grid_axes: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.waves, self.grid_axes = waves, grid_axes or tuple(range(axes))
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(axes, features))

    def forward(self, unit: Tensor) -> Tensor:
        """Return codes (..., waves * features) of positions (..., axes) given in [0, 1]."""
        phase = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix.to(unit.dtype))
        values = {"sin": phase.sin(), "cos": phase.cos()}
        return torch.cat([values[wave] for wave in self.waves], dim=-1)

    def grid(self, shape: tuple[int, ...]) -> Tensor:
        """Return codes (d, *shape) of the cell centres of a regular grid."""
        matrix = self.positional_encoding_gaussian_matrix
        axes = []
        for n in shape:
            axes.append((torch.arange(n, device=matrix.device, dtype=torch.float32) + 0.5) / n)
        along = torch.meshgrid(*axes, indexing="ij")
        codes: Tensor = self(torch.stack([along[axis] for axis in self.grid_axes], dim=-1))
        return codes.movedim(-1, 0)
