"""Layer norm over the channels of maps and volumes, as Segment Anything has it; shared by the SAM networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ChannelNorm"]

EPSILON = 1e-6


class ChannelNorm(nn.Module):
    """Normalise every pixel or voxel over its channels.

    Args:
        channels: Channels of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (b c ...) of the same shape."""
        last = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, EPSILON)
        return last.movedim(-1, 1)
