"""The image encoder with its two decoders (SegResNetDS2 of the official code; VISTA3D, Sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Decoder", "Encoder", "ImageEncoder", "ResBlock"]


def _conv3(cin: int, cout: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(cin, cout, 3, stride=stride, padding=1, bias=False)


class ResBlock(nn.Module):
    """Norm, ReLU, convolution, twice, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.InstanceNorm3d(channels, affine=True)
        self.conv1 = _conv3(channels, channels)
        self.norm2 = nn.InstanceNorm3d(channels, affine=True)
        self.conv2 = _conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        if not y.requires_grad:
            return y.add_(x)
        return y + x


class _Level(nn.Module):
    """Residual blocks at one resolution, then a strided convolution to the next."""

    def __init__(self, channels: int, blocks: int, last: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[ResBlock(channels) for _ in range(blocks)])
        self.downsample = nn.Identity() if last else _conv3(channels, 2 * channels, stride=2)


class Encoder(nn.Module):
    """Residual pyramid: channels double and resolution halves from level to level."""

    def __init__(self, in_channels: int, width: int, blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv_init = _conv3(in_channels, width)
        last = len(blocks) - 1
        self.layers = nn.ModuleList(_Level(width * 2**i, n, last=i == last) for i, n in enumerate(blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one feature map per level, finest first."""
        x = self.conv_init(x)
        pyramid = []
        level: Any
        for level in self.layers:
            x = level.blocks(x)
            pyramid.append(x)
            x = level.downsample(x)
        return pyramid


class _Upsample(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose3d(cin, cout, 3, stride=2, padding=1, output_padding=1, bias=False)


class _UpLevel(nn.Module):
    """Upsample, add the skip, refine; the last level also maps linearly to the output width."""

    def __init__(self, channels: int, out_channels: int | None) -> None:
        super().__init__()
        self.upsample = _Upsample(2 * channels, channels)
        self.blocks = nn.Sequential(ResBlock(channels))
        self.head = nn.Identity() if out_channels is None else nn.Conv3d(channels, out_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        up = self.upsample.deconv(x)
        if not up.requires_grad:
            up = up.add_(skip)
        else:
            up = up + skip
        out: Tensor = self.head(self.blocks(up))
        return out


class Decoder(nn.ModuleList):
    """The way back up; one instance for the automatic and one for the interactive branch."""

    def __init__(self, width: int, levels: int, out_channels: int) -> None:
        finest_last = [width * 2**i for i in range(levels - 1)][::-1]
        super().__init__(_UpLevel(c, out_channels if c == width else None) for c in finest_last)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return features (b c i j k) at full resolution from a pyramid, finest first."""
        x = pyramid[-1]
        for level, skip in zip(self, reversed(pyramid[:-1]), strict=True):
            x = level(x, skip)
        return x


class ImageEncoder(nn.Module):
    """Encoder and decoders under their official names.

    Args:
        in_channels: Image channels.
        width: Channels at full resolution.
        blocks: Residual blocks per level; its length is the depth.
        automatic: Whether the decoder of the class-prompted branch exists.
        interactive: Whether the decoder of the click-prompted branch exists.
    """

    def __init__(
        self, in_channels: int, width: int, blocks: Sequence[int], automatic: bool = True, interactive: bool = True
    ) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, width, blocks)
        if interactive:
            self.up_layers = Decoder(width, len(blocks), width)
        if automatic:
            self.up_layers_auto = Decoder(width, len(blocks), width)
