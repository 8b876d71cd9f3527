"""SAM-Med3D's attention as its definition reads: pad every window with zeros, attend over all of it, crop.

Every logit of position is looked up by the coordinates of its query and key, one rule per line.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["padded_attention"]


def padded_attention(attention: nn.Module, tokens: Tensor, size: int, heads: int) -> Tensor:
    """Return attended tokens (b i j k c) with the weights of `attention`, in windows of `size` along each axis."""
    shape = tokens.shape[1:4]
    missing = [-n % size for n in shape]
    padded = F.pad(tokens, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
    out = torch.zeros_like(padded)
    starts = (range(0, n + m, size) for n, m in zip(shape, missing, strict=True))
    for i, j, k in itertools.product(*starts):
        window = (slice(None), slice(i, i + size), slice(j, j + size), slice(k, k + size))
        out[window] = one_window(attention, padded[window], heads)
    return out[:, : shape[0], : shape[1], : shape[2]]


def one_window(attention: nn.Module, tokens: Tensor, heads: int) -> Tensor:
    """Return attended tokens of whole windows (b n n n c)."""
    batch, size = tokens.shape[:2]
    place = torch.cartesian_prod(*[torch.arange(size)] * 3)
    qkv = attention.qkv(tokens.flatten(1, 3)).view(batch, len(place), 3, heads, -1)
    out = torch.zeros(batch, len(place), heads, qkv.shape[-1], dtype=tokens.dtype)
    for b, head in itertools.product(range(batch), range(heads)):
        q, k, v = qkv[b, :, :, head].unbind(1)
        logits = q @ k.T * q.shape[-1] ** -0.5 + position_logits(attention, q, place, size)
        out[b, :, head] = logits.softmax(dim=-1) @ v
    return attention.proj(out.flatten(2)).view(tokens.shape)


def position_logits(attention: nn.Module, q: Tensor, place: Tensor, size: int) -> Tensor:
    """Return what position adds for each query and key (t t), with the official indexing."""
    qd, qh, _ = (place[:, None, axis] for axis in range(3))
    kd, kh, kw = (place[None, :, axis] for axis in range(3))
    along_d = q @ attention.rel_pos_d.T  # one value for each query and distance
    along_h = q @ attention.rel_pos_h.T
    along_w = q @ attention.rel_pos_w.T

    def token(d: Tensor, h: Tensor, w: Tensor) -> Tensor:
        return (d * size + h) * size + w

    own = torch.arange(len(place))[:, None]
    first = along_d[own, qd - kw + size - 1]
    second = along_h[token(qd, qh, kd), qh - kw + size - 1]
    third = along_w[token(qd, qh, kh), kh - kw + size - 1]
    return first + second + third
