"""Mean and variance of maps that are made block by block, and the instance norm that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Affine", "Moments"]

EPSILON = 1e-5  # torch's instance norm

Affine = tuple[Tensor, Tensor, float]
"""Scale (c), shift (c) and negative slope (0 is ReLU) applied to an input as it is read."""


@dataclass(frozen=True)
class Moments:
    """Of values per channel: how many, their mean and the sum of their squared distances to it, in double precision."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Return those of values (... c)."""
        rows = rows.reshape(-1, rows.shape[-1]).float()
        mean = rows.mean(0)
        squares = torch.linalg.vector_norm(rows - mean, dim=0).double().square()
        return cls(rows.shape[0], mean.double(), squares)

    @classmethod
    def merge(cls, parts: Sequence[Moments]) -> Moments:
        """Return those of all voxels, from those of disjoint sets of them; no cancellation."""
        if not parts:
            return cls(0, torch.zeros(0), torch.zeros(0))
        counts = torch.tensor([part.count for part in parts], dtype=torch.float64)[:, None]
        means = torch.stack([part.mean for part in parts])
        mean = (counts * means).sum(0) / counts.sum()
        # Chan's rule: distances within the parts, and of their means to the mean of all.
        squares = torch.stack([part.squares for part in parts]) + counts * (means - mean).square()
        return cls(int(counts.sum()), mean, squares.sum(0))

    def affine(self, norm: nn.Module | None, slope: float = 0.0) -> Affine:
        """Return the instance norm as scale and shift, with the activation that follows."""
        scale = (self.squares / self.count + EPSILON).rsqrt()
        shift = -self.mean * scale
        if isinstance(norm, nn.InstanceNorm3d) and norm.affine:
            scale = scale * norm.weight
            shift = shift * norm.weight + norm.bias
        return scale.float(), shift.float(), slope
