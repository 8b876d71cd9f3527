"""Segment Anything's image encoder: a plain vision transformer, most of whose blocks attend within windows.

Positions enter attention as two tables of relative offsets, one per axis. Their contribution is a sum of a term of the
query's row and one of its column, so it is carried by longer queries and keys instead of a matrix of all pairs: exact,
and 4,096 tokens need no gigabyte per slice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.channel_norm import ChannelNorm

__all__ = ["ImageEncoder", "joined_windows", "neck", "split_windows"]


def neck(channels: int, out_channels: int) -> nn.Sequential:
    """Return the layers that lead from tokens (b c h w) to the image embedding."""
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 1, bias=False),
        ChannelNorm(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        ChannelNorm(out_channels),
    )


def split_windows(tokens: Tensor, window: int) -> Tensor:
    """Return tokens (b h w d) cut into windows (b * windows, window, window, d), zeros behind the far edges."""
    b, h, w, d = tokens.shape
    down, right = -h % window, -w % window
    padded = F.pad(tokens, (0, 0, 0, right, 0, down))
    tiles = padded.view(b, (h + down) // window, window, (w + right) // window, window, d)
    return tiles.transpose(2, 3).reshape(-1, window, window, d)


def joined_windows(windows: Tensor, shape: Sequence[int]) -> Tensor:
    """Return windows put together again to tokens of `shape` (b h w d); what was padded is cut off."""
    b, h, w, d = shape
    window = windows.shape[1]
    rows, columns = -(-h // window), -(-w // window)
    tiles = windows.view(b, rows, columns, window, window, d).transpose(2, 3)
    return tiles.reshape(b, rows * window, columns * window, d)[:, :h, :w]


class _Attention(nn.Module):
    """Attention with relative positions.

    Args:
        dim: Width of a token.
        heads: Heads.
        side: Tokens per side of what is attended to at once.
    """

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (b h w d) after each has looked at all others."""
        b, h, w, d = x.shape
        query, key, value = self.qkv(x).view(b, h, w, 3, self.heads, -1).permute(3, 0, 4, 1, 2, 5)
        rows = torch.einsum("bnhwe,hke->bnhwk", query, _offsets(self.rel_pos_h, h))
        columns = torch.einsum("bnhwe,wke->bnhwk", query, _offsets(self.rel_pos_w, w))
        wide = query.shape[-1]
        query = torch.cat([query * wide**-0.5, rows, columns], dim=-1)
        row, column = torch.eye(h).to(key), torch.eye(w).to(key)
        places = torch.cat([row[:, None].expand(h, w, h), column[None].expand(h, w, w)], dim=-1)
        key = torch.cat([key, places.expand(b, self.heads, h, w, h + w)], dim=-1)
        value = F.pad(value, (0, h + w))  # the fused kernels want one length for all three
        query, key, value = (t.flatten(2, 3) for t in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        mixed: Tensor = self.proj(out[..., :wide].transpose(1, 2).reshape(b, h, w, d))
        return mixed


def _offsets(table: Tensor, size: int) -> Tensor:
    """Return the row of a table of offsets for every pair of positions (size size e)."""
    position = torch.arange(size, device=table.device)
    return table[position[:, None] - position + (table.shape[0] - 1) // 2]


class _Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return out


class _Block(nn.Module):
    """Attention, then a perceptron per token, each added to its input."""

    def __init__(self, dim: int, heads: int, window: int, side: int, hidden: int) -> None:
        super().__init__()
        if window < side:
            self.window = window
        else:
            self.window = 0
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, heads, min(window, side))
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = _Mlp(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.window:
            # official: tokens padded behind the edge are attended to; they hold zeros only until keys get their bias
            normed = joined_windows(self.attn(split_windows(normed, self.window)), x.shape)
        else:
            normed = self.attn(normed)
        x = x + normed
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _PatchEmbed(nn.Module):
    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)


class ImageEncoder(nn.Module):
    """The encoder.

    Args:
        dim: Width of a token.
        heads: Heads of each block.
        windows: Tokens per side that each block attends to at once; `side` or more means everything.
        hidden: Width inside each block's perceptron.
        side: Tokens per side of the image.
        patch: Pixels per side of a token.
        out_channels: Channels of the image embedding.
    """

    def __init__(
        self, dim: int, heads: int, windows: Sequence[int], hidden: int, side: int, patch: int, out_channels: int
    ) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbed(dim, patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, dim))
        self.blocks = nn.ModuleList(_Block(dim, heads, window, side, hidden) for window in windows)
        self.neck = neck(dim, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return the embedding (b c side side) of normalised images (b 3 side*patch side*patch)."""
        x = self.patch_embed.proj(image).permute(0, 2, 3, 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return out
