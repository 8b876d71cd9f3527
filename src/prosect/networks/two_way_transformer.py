"""Prompt tokens and image tokens that attend to each other, shared by both models (after Segment Anything)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "TwoWayTransformer"]


class Attention(nn.Module):
    """Multi-head attention whose inner width may be narrower than its input.

    Args:
        dim: Width of queries, keys and values.
        heads: Number of heads; must divide the inner width.
        downsample: Inner width is `dim // downsample`.
    """

    def __init__(self, dim: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = dim // downsample
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(dim, inner)
        self.v_proj = nn.Linear(dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return attended values (b t d) for queries (b t d), keys and values (b s d)."""

        def split(x: Tensor) -> Tensor:
            return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(split(self.q_proj(q)), split(self.k_proj(k)), split(self.v_proj(v)))
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(-2))
        return out


class _Mlp(nn.Module):
    """Two linear layers with a ReLU between, under the names that the weights give them."""

    def __init__(self, dim: int, hidden: int, names: tuple[str, str]) -> None:
        super().__init__()
        self.add_module(names[0], nn.Linear(dim, hidden))
        self.add_module(names[1], nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.children()
        out: Tensor = second(F.relu(first(x)))
        return out


class _Block(nn.Module):
    """Tokens to themselves, tokens to image, MLP, image to tokens; each followed by a layer norm."""

    def __init__(self, dim: int, heads: int, hidden: int, downsample: int, names: tuple[str, str], first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, heads, downsample)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _Mlp(dim, hidden, names)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, heads, downsample)
        self.first = first

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Return updated tokens (q t d) and image tokens (q s d)."""
        if self.first:  # official: no position code and no residual in the first self-attention
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        keys = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Decode prompt tokens against image tokens.

    Args:
        depth: Number of two-way blocks.
        dim: Token width.
        heads: Attention heads.
        hidden: Width of the MLP.
        downsample: Narrowing of the cross attentions.
        mlp_names: What the weights call the MLP's two layers: MONAI's VISTA3D and SAM-Med3D differ.
    """

    def __init__(
        self,
        depth: int,
        dim: int,
        heads: int,
        hidden: int,
        downsample: int = 2,
        mlp_names: tuple[str, str] = ("linear1", "linear2"),
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Block(dim, heads, hidden, downsample, mlp_names, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, heads, downsample)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (q t d) and image tokens (q s d) after mutual attention.

        Args:
            image: Image tokens (q s d).
            image_pe: Their position codes (1 s d) or (q s d).
            tokens: Prompt tokens (q t d); they are also their own position code.
        """
        queries, keys = tokens, image
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, image_pe)
        attended = self.final_attn_token_to_image(queries + tokens, keys + image_pe, keys)
        return self.norm_final_attn(queries + attended), keys
