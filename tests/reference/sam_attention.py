"""Attention with decomposed relative positions, with the whole matrix of pairs written out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def attend(layer: nn.Module, tokens: Tensor) -> Tensor:
    """Return tokens (b h w d) after attention with the weights of `layer`, pair by pair."""
    b, h, w, d = tokens.shape
    heads, size = layer.heads, d // layer.heads
    query, key, value = layer.qkv(tokens).reshape(b, h * w, 3, heads, size).unbind(2)
    far_h, far_w = (layer.rel_pos_h.shape[0] - 1) // 2, (layer.rel_pos_w.shape[0] - 1) // 2
    out = torch.zeros(b, h * w, heads, size)
    for head in range(heads):
        logits = torch.zeros(b, h * w, h * w)
        for q in range(h * w):
            for k in range(h * w):
                row = layer.rel_pos_h[q // w - k // w + far_h]
                column = layer.rel_pos_w[q % w - k % w + far_w]
                asking = query[:, q, head]
                logits[:, q, k] = (asking * key[:, k, head]).sum(-1) / size**0.5 + asking @ row + asking @ column
        out[:, :, head] = logits.softmax(dim=-1) @ value[:, :, head]
    return layer.proj(out.reshape(b, h, w, d))
