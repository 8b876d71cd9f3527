"""SAM-Med3D's image encoder: a vision transformer over the patches of a crop, and a neck."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.channel_norm import ChannelNorm
from prosect.networks.sam_med3d.short_attention import (
    Padding,
    fixed_bias,
    official_bias,
    relative_table,
    short_attention,
)

__all__ = ["ImageEncoder", "RelativePositions"]

RelativePositions = Literal["official", "fixed"]


class _Attention(nn.Module):
    """Multi-head attention inside windows, with relative positions.

    Args:
        width: Channels.
        heads: Number of heads.
        size: Window along each axis, or the whole grid.
        whole: Whether it attends over the whole grid, whatever its size.
        positions: See `ImageEncoder`.
    """

    def __init__(self, width: int, heads: int, size: int, whole: bool, positions: RelativePositions) -> None:
        super().__init__()
        self.heads, self.size, self.whole, self.positions = heads, size, whole, positions
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_d = nn.Parameter(torch.zeros(2 * size - 1, width // heads))
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Return attended tokens (b i j k c)."""
        shape = x.shape[1:4]
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(4, 0, 5, 1, 2, 3, 6)  # 3 b m i j k c
        if self.whole:
            mixed = self._attend(qkv, max(shape))
        else:
            mixed = torch.empty_like(qkv[0])
            for window in _windows(shape, self.size):
                mixed[:, :, *window] = self._attend(qkv[:, :, :, *window], self.size)
        out: Tensor = self.proj(mixed.permute(0, 2, 3, 4, 1, 5).flatten(-2))
        return out

    def _attend(self, qkv: Tensor, size: int) -> Tensor:
        """Return attended values (b m d h w c) of the real tokens of one window."""
        query = qkv[0]
        scale = query.shape[-1] ** -0.5
        tables = []
        for table in (self.rel_pos_d, self.rel_pos_h, self.rel_pos_w):
            tables.append(relative_table(table, size))
        padding = Padding(*self.qkv.bias.view(3, self.heads, -1))
        if self.positions == "official":
            bias, padded = official_bias(query, (tables[0], tables[1], tables[2]), padding, scale)
        else:
            bias, padded = fixed_bias(query, (tables[0], tables[1], tables[2])), None
        flat = qkv.flatten(3, 5)
        return short_attention(flat[0], flat[1], flat[2], bias, padded, padding, scale).view(query.shape)


def _windows(shape: tuple[int, ...], size: int) -> Iterator[tuple[slice, ...]]:
    """Yield the windows of a grid; the last along an axis may be cut."""
    runs = ([slice(start, min(start + size, n)) for start in range(0, n, size)] for n in shape)
    yield from itertools.product(*runs)


class _Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class _Block(nn.Module):
    """Attention and an MLP, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, size: int, whole: bool, positions: RelativePositions) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, heads, size, whole, positions)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (b i j k c)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _PatchEmbedding(nn.Module):
    """One token per patch."""

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, width, patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        """Return tokens (b i j k c) of an image (b 1 i j k)."""
        out: Tensor = self.proj(image).movedim(1, -1).contiguous()  # or every later step would stride
        return out


class ImageEncoder(nn.Module):
    """Turn a crop into features that every click on it shares.

    Differs from the official code: padding is never attended over token by token (see `short_attention`).

    Args:
        in_channels: Image channels.
        patch: Voxels of a token along each axis.
        grid: Tokens along each axis of the crop.
        width: Channels of a token.
        depth: Blocks.
        heads: Attention heads.
        global_blocks: Blocks that attend over the whole grid; the others see windows.
        window: Tokens of a window along each axis.
        embedding: Channels of the features.
        positions: `official` keeps the indexing that the published weights were trained with and the padding's share,
            and takes cubes only; `fixed` indexes each axis by itself, has no padding, and takes any box.
    """

    def __init__(
        self,
        in_channels: int,
        patch: int,
        grid: int,
        width: int,
        depth: int,
        heads: int,
        global_blocks: tuple[int, ...],
        window: int,
        embedding: int,
        positions: RelativePositions = "official",
    ) -> None:
        super().__init__()
        self.patch, self.positions = patch, positions
        self.patch_embed = _PatchEmbedding(in_channels, width, patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, grid, width))
        self.blocks = nn.ModuleList(
            _Block(width, heads, grid if n in global_blocks else window, n in global_blocks, positions)
            for n in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv3d(width, embedding, 1, bias=False),
            ChannelNorm(embedding),
            nn.Conv3d(embedding, embedding, 3, padding=1, bias=False),
            ChannelNorm(embedding),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return features (b e i/p j/p k/p) of crops (b 1 i j k).

        Crops of another size than trained for get interpolated positions.

        Raises:
            ValueError: The crop is not a multiple of the patch, or not a cube where positions are official.
        """
        shape = tuple(image.shape[2:])
        if any(n % self.patch for n in shape):
            raise ValueError(f"The crop {shape} is not a multiple of {self.patch} on every axis.")
        if self.positions == "official" and len(set(shape)) > 1:
            raise ValueError(f"The crop {shape} is not a cube, which the official positions need.")
        tokens = self.patch_embed(image)
        tokens = tokens + self._positions(tuple(tokens.shape[1:4]))
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.neck(tokens.movedim(-1, 1))
        return out

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        """Return the position code (1 i j k c) of a grid."""
        if tuple(self.pos_embed.shape[1:4]) == grid:
            return self.pos_embed
        codes = F.interpolate(self.pos_embed.movedim(-1, 1), size=grid, mode="trilinear", align_corners=False)
        return codes.movedim(1, -1)
