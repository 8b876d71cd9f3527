"""The attention between a few prompt tokens and very many image tokens, arranged for processors.

Same weights, same answer, less time. A projection of every image token that is only ever multiplied with a few
prompt tokens need not be made: the prompt's side is projected back instead, `(x W) q = x (W q)`, which leaves two thin
products an attention. What is the same for all image tokens falls out of a softmax over them. Image tokens are read
slice by slice, and a slice that was updated is attended to by the next layer while it lies in cache. Slices are
shared out among threads; how they are cut and put together does not depend on the number of those.

`prosect.networks.two_way_transformer` is the slow twin that the tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.networks.two_way_transformer import Attention, TwoWayTransformer
from prosect.networks.workers import Workers

__all__ = ["CpuTwoWay"]

# Image tokens of a slice: 48 values of each, and what is made of them, fit a core's cache.
SLICE = 4096


@dataclass(frozen=True, eq=False)
class Attended:
    """Of a softmax over some image tokens: the highest scores (n), the sums of the exponentials above them (n), and the
    tokens added up with these as weights (n d). n counts heads times prompt tokens."""

    highest: Tensor
    sums: Tensor
    weighted: Tensor

    @classmethod
    def of(cls, scores: Tensor, image: Tensor) -> Attended:
        """Return that of the scores (n s) of image tokens (s d)."""
        highest = scores.amax(1)
        weights = scores.sub_(highest[:, None]).exp_()
        return cls(highest, weights.sum(1), weights @ image)

    @classmethod
    def mean(cls, parts: Sequence[Attended]) -> Tensor:
        """Return the weighted mean of all image tokens (n d), from parts in their order."""
        highest = torch.stack([part.highest for part in parts])
        shares = (highest - highest.amax(0)).exp()
        sums = (shares * torch.stack([part.sums for part in parts])).sum(0)
        weighted = (shares[..., None] * torch.stack([part.weighted for part in parts])).sum(0)
        return weighted / sums[:, None]


class ToImage:
    """Prompt tokens that attend to image tokens.

    Args:
        attention: The module.
        queries: Prompt tokens (t d).
    """

    def __init__(self, attention: Attention, queries: Tensor) -> None:
        self.attention = attention
        by_head = split(attention.q_proj(queries), attention.heads)
        # The bias of the keys adds the same to the scores of all image tokens.
        keys = heads_of(attention.k_proj.weight, attention.heads)
        scale = 1 / math.sqrt(by_head.shape[-1])
        self.projected = scale * torch.einsum("hte,hed->htd", by_head, keys).flatten(0, 1)

    def read(self, keys: Tensor, image: Tensor) -> Attended:
        """Return what a slice of image tokens (s d), with their position codes and without, gives."""
        return Attended.of(self.projected @ keys.T, image)

    def answer(self, parts: Sequence[Attended]) -> Tensor:
        """Return the attended values (t d) of all slices."""
        heads = self.attention.heads
        means = Attended.mean(parts).view(heads, -1, self.projected.shape[1])
        values = torch.einsum("htd,hed->hte", means, heads_of(self.attention.v_proj.weight, heads))
        joined = values.transpose(0, 1).flatten(1) + self.attention.v_proj.bias
        out: Tensor = self.attention.out_proj(joined)
        return out


class FromImage:
    """Image tokens that attend to prompt tokens.

    Args:
        attention: The module.
        keys: Prompt tokens with their position codes (t d).
        values: Prompt tokens (t d).
    """

    def __init__(self, attention: Attention, keys: Tensor, values: Tensor) -> None:
        heads = attention.heads
        by_head = split(attention.k_proj(keys), heads)
        scale = 1 / math.sqrt(by_head.shape[-1])
        queries = heads_of(attention.q_proj.weight, heads)
        self.projected = scale * torch.einsum("hte,hed->htd", by_head, queries).flatten(0, 1)
        biases = attention.q_proj.bias.view(heads, 1, -1)
        self.offsets = scale * (by_head * biases).sum(-1).view(-1, 1)
        outwards = attention.out_proj.weight.view(attention.out_proj.weight.shape[0], heads, -1)
        made = split(attention.v_proj(values), heads)
        self.values = torch.einsum("hte,dhe->htd", made, outwards).flatten(0, 1).contiguous()
        self.bias = attention.out_proj.bias
        self.heads = heads

    def read(self, keys: Tensor) -> Tensor:
        """Return what a slice of image tokens with their position codes (s d) attends to (s d)."""
        # Tokens lie side by side: a softmax over the few numbers of one token alone would be slow.
        scores = torch.addmm(self.offsets, self.projected, keys.T)
        shares = scores.view(self.heads, -1, len(keys)).softmax(1).view_as(scores)
        return torch.addmm(self.bias, shares.T, self.values)


class CpuTwoWay:
    """What `TwoWayTransformer` computes, for one object.

    Args:
        transformer: The module, in evaluation mode on the CPU, float32.
        workers: Threads that share out the slices.
    """

    def __init__(self, transformer: TwoWayTransformer, workers: Workers) -> None:
        self._transformer, self._workers = transformer, workers

    def __call__(self, image: Tensor, image_pe: Tensor, tokens: Tensor, out: Tensor) -> Tensor:
        """Return prompt tokens (t d) after mutual attention; image tokens are written to `out`.

        Args:
            image: Image tokens (s d).
            image_pe: Their position codes (s d).
            tokens: Prompt tokens (t d); they are also their own position code.
            out: Takes the image tokens (s d).
        """
        slices = [slice(begin, begin + SLICE) for begin in range(0, len(image), SLICE)]
        layers: list[Any] = list(self._transformer.layers)
        queries = tokens
        reader = ToImage(layers[0].cross_attn_token_to_image, self._asking(layers[0], queries, tokens)[1])
        parts = self._workers.map(lambda one: reader.read(image[one] + image_pe[one], image[one]), slices)
        source = image
        for number, layer in enumerate(layers):
            queries = self._settled(layer, self._asking(layer, queries, tokens)[0], reader.answer(parts))
            writer = FromImage(layer.cross_attn_image_to_token, queries + tokens, queries)
            reader = self._next_reader(layers[number + 1 :], queries, tokens)
            parts = self._update(layer, writer, reader, source, image_pe, out, slices)
            source = out
        answer: Tensor = self._transformer.norm_final_attn(queries + reader.answer(parts))
        return answer

    @staticmethod
    def _asking(layer: Any, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return prompt tokens after they attended to themselves, without and with their position codes (t d)."""
        if layer.first:
            attended = layer.self_attn(queries[None], queries[None], queries[None])[0]
        else:
            coded = (queries + tokens)[None]
            attended = queries + layer.self_attn(coded, coded, queries[None])[0]
        settled = layer.norm1(attended)
        return settled, settled + tokens

    @staticmethod
    def _settled(layer: Any, queries: Tensor, attended: Tensor) -> Tensor:
        """Return prompt tokens after what they attended to in the image (t d)."""
        queries = layer.norm2(queries + attended)
        settled: Tensor = layer.norm3(queries + layer.mlp(queries))
        return settled

    def _next_reader(self, layers: Sequence[Any], queries: Tensor, tokens: Tensor) -> ToImage:
        """Return who attends to the image next: the next layer, or what comes after the last."""
        if layers:
            return ToImage(layers[0].cross_attn_token_to_image, self._asking(layers[0], queries, tokens)[1])
        return ToImage(self._transformer.final_attn_token_to_image, queries + tokens)

    def _update(
        self,
        layer: Any,
        writer: FromImage,
        reader: ToImage,
        source: Tensor,
        image_pe: Tensor,
        out: Tensor,
        slices: Sequence[slice],
    ) -> list[Attended]:
        """Write the image tokens that a layer makes of `source` to `out`, and return what is attended to in them."""

        def piece(one: slice) -> Attended:
            own = source[one]
            codes = image_pe[one]
            updated = writer.read(own + codes).add_(own)
            made = F.layer_norm(updated, updated.shape[-1:], layer.norm4.weight, layer.norm4.bias, layer.norm4.eps)
            out[one] = made
            return reader.read(made + codes, made)

        return self._workers.map(piece, slices)


def split(tokens: Tensor, heads: int) -> Tensor:
    """Return tokens (t e) by head (h t e/h)."""
    return tokens.view(len(tokens), heads, -1).transpose(0, 1)


def heads_of(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of a projection (e d) by head (h e/h d)."""
    return weight.view(heads, -1, weight.shape[1])
