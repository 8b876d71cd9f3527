"""MobileSAM's image encoder: TinyViT, whose last merge keeps the resolution, and Segment Anything's neck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.sam.image_encoder import joined_windows, neck, split_windows

__all__ = ["TinyImageEncoder"]


class _ConvNorm(nn.Sequential):
    """A convolution without bias, then batch norm."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)


class _PatchEmbed(nn.Module):
    """Two strided convolutions: a quarter of the resolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(_ConvNorm(3, dim // 2, 3, stride=2), nn.GELU(), _ConvNorm(dim // 2, dim, 3, stride=2))


class _MobileBlock(nn.Module):
    """Widen, look at neighbours channel by channel, narrow, add the input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = 4 * dim
        self.conv1 = _ConvNorm(dim, wide, 1)
        self.conv2 = _ConvNorm(wide, wide, 3, groups=wide)
        self.conv3 = _ConvNorm(wide, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class _Merge(nn.Module):
    """To the width of the next stage, at half the resolution where `stride` is 2."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(dim, out_dim, 1)
        self.conv2 = _ConvNorm(out_dim, out_dim, 3, stride, groups=out_dim)
        self.conv3 = _ConvNorm(out_dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


class _Attention(nn.Module):
    """Attention within a window, with a learned bias per head and distance."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (b window window d) after each has looked at the others of its window."""
        b, _, _, d = x.shape
        # official: a head's query, key and value lie together, not all queries first
        qkv = self.qkv(self.norm(x)).view(b, self.window**2, self.heads, 3, -1)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self._bias())
        mixed: Tensor = self.proj(out.transpose(1, 2).reshape(b, self.window, self.window, d))
        return mixed

    def _bias(self) -> Tensor:
        """Return the bias (heads n n) of every pair of positions, by how far apart their rows and columns are."""
        position = torch.arange(self.window, device=self.attention_biases.device)
        apart = (position[:, None] - position).abs()
        index = apart[:, None, :, None] * self.window + apart[None, :, None, :]
        return self.attention_biases[:, index.reshape(self.window**2, -1)]


class _Mlp(nn.Module):
    """Norm, widen, GELU, narrow."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class _Block(nn.Module):
    """Windowed attention, a convolution channel by channel, a perceptron per token; in and out (b c h w)."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _Attention(dim, heads, window)
        self.mlp = _Mlp(dim)
        self.local_conv = _ConvNorm(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        # official: what is padded behind the edge takes part, as zeros before the norm
        tokens = tokens + joined_windows(self.attn(split_windows(tokens, self.window)), tokens.shape)
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = tokens + self.mlp(tokens)
        return out.permute(0, 3, 1, 2)


class _Stage(nn.Module):
    """Blocks at one resolution, and the merge to the next."""

    def __init__(self, blocks: Sequence[nn.Module], merge: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        if merge is not None:
            self.downsample = merge

    def forward(self, x: Tensor) -> Tensor:
        for part in self.children():
            x = part(x)
        return x


class TinyImageEncoder(nn.Module):
    """The encoder; the first stage is convolutional, the others attend within windows.

    Args:
        dims: Width of each stage.
        depths: Blocks of each stage.
        heads: Heads of each stage; that of the first is not used.
        windows: Tokens per side of each stage's windows; that of the first is not used.
        out_channels: Channels of the image embedding.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        windows: Sequence[int],
        out_channels: int,
    ) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbed(dims[0])
        last = len(dims) - 1
        stages = []
        for n, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            blocks: list[nn.Module] = []
            for _ in range(depth):
                blocks.append(_MobileBlock(dim) if n == 0 else _Block(dim, heads[n], windows[n]))
            # The last merge keeps the resolution, so that the embedding has as many pixels as that of a large encoder.
            if n == last:
                merge = None
            else:
                merge = _Merge(dim, dims[n + 1], stride=1 if n + 1 == last else 2)
            stages.append(_Stage(blocks, merge))
        self.layers = nn.ModuleList(stages)
        self.neck = neck(dims[-1], out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return the embedding (b c h/16 w/16) of normalised images (b 3 h w)."""
        x: Any = self.patch_embed.seq(image)
        for stage in self.layers:
            x = stage(x)
        out: Tensor = self.neck(x)
        return out
