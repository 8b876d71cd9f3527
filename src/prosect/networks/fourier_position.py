"""Random Fourier position codes, shared by the prompt encoders of both models (after Segment Anything)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierPosition"]


class FourierPosition(nn.Module):
    """Encode positions in the unit cube by sines and cosines of random projections.

    Args:
        features: Number of random projections; codes have twice as many values.
        axes: Spatial dimensions.

    The projection matrix is part of the weights: a network trained with one is wrong with another.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, features: int, axes: int = 3) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(axes, features))

    def forward(self, unit: Tensor) -> Tensor:
        """Return codes (..., 2 * features) of positions (..., axes) given in [0, 1]."""
        phase = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix.to(unit.dtype))
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self, shape: tuple[int, ...]) -> Tensor:
        """Return codes (d, *shape) of the cell centres of a regular grid."""
        matrix = self.positional_encoding_gaussian_matrix
        axes = [(torch.arange(n, device=matrix.device, dtype=torch.float32) + 0.5) / n for n in shape]
        codes: Tensor = self(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
        return codes.movedim(-1, 0)
