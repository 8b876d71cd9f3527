"""Pixel features: Segment Anything's image encoder, then its mask decoder's upscaling layers (VISTA3D, Alg. 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from prosect.networks.channel_norm import ChannelNorm
from prosect.networks.sam.image_encoder import ImageEncoder
from prosect.networks.sam.tiny_vit import TinyImageEncoder

__all__ = ["SAM_VARIANTS", "SamFeatures", "TinyVariant", "VitVariant"]


@dataclass(frozen=True)
class VitVariant:
    """The numbers of one plain encoder.

    Attributes:
        dim: Width of a token.
        heads: Heads of each block.
        windows: Tokens per side that each block attends to at once; `side` means everything.
        hidden: Width inside each block's perceptron.
        side: Tokens per side of the image.
        patch: Pixels per side of a token.
        out_channels: Channels of the image embedding; the features have an eighth of them.
    """

    dim: int
    heads: int
    windows: tuple[int, ...]
    hidden: int
    side: int = 64
    patch: int = 16
    out_channels: int = 256

    @property
    def image_side(self) -> int:
        """Pixels per side of the image it takes."""
        return self.side * self.patch

    @property
    def feature_side(self) -> int:
        """Pixels per side of the features."""
        return 4 * self.side


@dataclass(frozen=True)
class TinyVariant:
    """The numbers of MobileSAM's encoder; see `TinyImageEncoder`. The defaults are the published ones.

    Attributes:
        dims: Width of each stage.
        depths: Blocks of each stage.
        heads: Heads of each stage; the first has none.
        windows: Tokens per side of each stage's windows; the first has none.
        out_channels: Channels of the image embedding.
        image_side: Pixels per side of the image it was trained with.
    """

    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (0, 4, 5, 10)
    windows: tuple[int, ...] = (0, 7, 14, 7)
    out_channels: int = 256
    image_side: int = 1024

    @property
    def feature_side(self) -> int:
        """Pixels per side of the features."""
        return self.image_side // 4


def _published(dim: int, heads: int, depth: int) -> VitVariant:
    """Return a published size: windows of 14 tokens, and the last block of every quarter sees everything."""
    windows = tuple(64 if (n + 1) % (depth // 4) == 0 else 14 for n in range(depth))
    return VitVariant(dim, heads, windows, 4 * dim)


SAM_VARIANTS: dict[str, VitVariant | TinyVariant] = {
    "sam-vit-h": _published(1280, 16, 32),
    "sam-vit-l": _published(1024, 16, 24),
    "sam-vit-b": _published(768, 12, 12),
    "mobile-sam": TinyVariant(),
}


class _Upscaling(nn.Module):
    """The one part of the mask decoder that no prompt enters: to a quarter of the image's resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(channels, channels // 4, 2, stride=2),
            ChannelNorm(channels // 4),
            nn.GELU(),
            nn.ConvTranspose2d(channels // 4, channels // 8, 2, stride=2),
            nn.GELU(),
        )


class SamFeatures(nn.Module):
    """The network. See `VitVariant` and `TinyVariant` for its parameters."""

    def __init__(self, variant: VitVariant | TinyVariant) -> None:
        super().__init__()
        self.variant = variant
        if isinstance(variant, TinyVariant):
            self.image_encoder: nn.Module = TinyImageEncoder(
                variant.dims, variant.depths, variant.heads, variant.windows, variant.out_channels
            )
        else:
            v = variant
            self.image_encoder = ImageEncoder(v.dim, v.heads, v.windows, v.hidden, v.side, v.patch, v.out_channels)
        self.mask_decoder = _Upscaling(variant.out_channels)

    @property
    def channels(self) -> int:
        """Channels of the features: 32 in every published size."""
        return self.variant.out_channels // 8

    def forward(self, image: Tensor) -> Tensor:
        """Return features (b c f f), four to a token along each axis, of normalised images (b 3 s s)."""
        out: Tensor = self.mask_decoder.output_upscaling(self.image_encoder(image))
        return out
