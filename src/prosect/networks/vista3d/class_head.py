"""The automatic branch's head: class embeddings against mapped features (VISTA3D, Sec. 3.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ClassHead"]


class _ConvLayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1, bias=False)


class _ResLayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _ConvLayer(channels)
        self.conv2 = _ConvLayer(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(F.instance_norm(self.conv1.conv(x)), 0.01, inplace=True)
        y = F.instance_norm(self.conv2.conv(y))
        return F.leaky_relu(y + x, 0.01, inplace=True)


class _MappingBlock(nn.Module):
    """Convolution, parameter-free instance norm, leaky ReLU, twice, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = _ResLayer(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class _OneChannelNorm(nn.Module):
    """Normalise each embedding over its own values; holds no parameters (official: InstanceNorm1d(1))."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:])


class ClassHead(nn.Module):
    """Class logits as a dot product, so they are linear in the mapped features.

    Args:
        width: Feature channels.
        classes: Rows of the embedding table; the row is the global class index.
    """

    def __init__(self, width: int, classes: int = 512) -> None:
        super().__init__()
        self.class_embeddings = nn.Embedding(classes, width)
        self.image_post_mapping = nn.Sequential(_MappingBlock(width), _MappingBlock(width))
        self.mlp = nn.Sequential(nn.Linear(width, width), _OneChannelNorm(), nn.GELU(), nn.Linear(width, width))

    def vectors(self, classes: Tensor) -> Tensor:
        """Return the vector (q c) of each class index (q): logits are its dot product with the mapped features."""
        out: Tensor = self.mlp(self.class_embeddings(classes))
        return out
