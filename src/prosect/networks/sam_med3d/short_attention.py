"""Attention in a zero-padded window at the cost of its real tokens, exactly (SAM-Med3D's encoder).

SAM-Med3D's windows of 14 are larger than its grid of 8, so the official code pads 512 tokens to 2744 and attends over
all of them. The padded ones cannot be masked away: they come after the norm, so each has the projection's bias as its
query, key and value, and takes its share of every softmax. But as they all carry one value, only the sum of their
weights matters, and that sum has a closed form: the relative-position logits are a sum over axes, so their exponentials
factorise. One virtual key carries the whole padding.

Letters: `b` windows, `m` heads, `d h w` query position, `n` window size, `c` head width. Real tokens fill the corner of
a window: their extents are those of the query.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Padding", "Tables", "fixed_bias", "official_bias", "relative_table", "short_attention"]

Tables = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Padding:
    """What every padded token of a window carries: the projection's bias, as query, key and value (m c) each."""

    query: Tensor
    key: Tensor
    value: Tensor


def relative_table(weights: Tensor, size: int) -> Tensor:
    """Return the vectors (n n c) of each query and key position along one axis.

    Args:
        weights: One vector per distance (l c); interpolated linearly where l is not 2n - 1.
        size: Positions n.
    """
    if weights.shape[0] != 2 * size - 1:
        weights = F.interpolate(weights.T[None], size=2 * size - 1, mode="linear")[0].T
    place = torch.arange(size, device=weights.device)
    return weights[place[:, None] - place[None, :] + size - 1]


def official_bias(query: Tensor, tables: Tables, padding: Padding, scale: float) -> tuple[Tensor, Tensor | None]:
    """Return the logits that position adds, and the logit of all padding together.

    official: the three tables are indexed as in two dimensions. The vector of the first axis meets the key's position
    along the third; those of the second and third axis are read from the query row's token at the key's position along
    the first and second axis, and meet the third as well. All published weights were trained so.

    Args:
        query: Unscaled queries of the real tokens (b m d h w c).
        tables: For each axis, vectors of each query and key position (n n c).
        padding: What padded tokens carry.
        scale: Factor of the dot product of query and key.

    Returns:
        Logits of real tokens to real tokens (b m t t), and of real tokens to the padding (b m t); None where the window
        is full.
    """
    depth, height, width = query.shape[2:5]
    size = tables[0].shape[0]
    with torch.autocast(query.device.type, enabled=False):
        query = query.float()
        first, second, third = (table.float() for table in tables)
        row = _padded_row(query, padding.query.float(), size)
        by_own = _met("bmdhwc,dkc->bmdhwk", query, first[:depth])
        by_first = _met("bmdhwc,hkc->bmdhwk", row, second[:height])
        by_second = _met("bmdhwc,wkc->bmdhwk", row, third)
        real = by_first[..., :depth, None, :width] + by_second[..., None, :height, :width]
        bias = by_own[..., None, None, :width] + real[..., None, :, :, :]
        mass = _padded_mass(by_first, by_second, (depth, height, width))
        tokens = depth * height * width
        bias = bias.reshape(*query.shape[:2], tokens, tokens)
        if mass is None:
            return bias, None
        content = scale * torch.einsum("bmdhwc,mc->bmdhw", query, padding.key.float())
        planes = by_own[..., size - mass.shape[-1] :] + mass[..., None, :]
        return bias, (planes.logsumexp(-1) + content).flatten(2)


def _met(axes: str, query: Tensor, table: Tensor) -> Tensor:
    """Return the products of queries with the vectors of a table, laid out so that what is added up of them is too."""
    return torch.einsum(axes, query, table).contiguous()


def _padded_row(query: Tensor, padded: Tensor, size: int) -> Tensor:
    """Return queries whose third axis is filled up to the window with those of padded tokens."""
    missing = size - query.shape[4]
    if not missing:
        return query
    fill = padded[None, :, None, None, None, :].expand(*query.shape[:4], missing, query.shape[5])
    return torch.cat([query, fill], dim=4)


def _padded_mass(by_first: Tensor, by_second: Tensor, extents: tuple[int, int, int]) -> Tensor | None:
    """Return the log of the summed weights of padded keys in each plane of the third axis; None where there are none.

    Added up over disjoint parts and never subtracted, so that nothing cancels: keys beyond the first extent, keys
    within it but beyond the second, and whole planes beyond the third. Planes without padding are left out: they are
    the first ones.
    """
    depth, height, width = extents
    size = by_first.shape[-1]
    parts = []
    if depth < size:
        beyond_first = by_first[..., depth:, :width].logsumexp(-2) + by_second[..., :width].logsumexp(-2)
        parts.append(beyond_first)
    if height < size:
        beyond_second = by_first[..., :depth, :width].logsumexp(-2) + by_second[..., height:, :width].logsumexp(-2)
        parts.append(beyond_second)
    planes = []
    if parts:
        planes = [torch.logaddexp(*parts) if len(parts) == 2 else parts[0]]
    if width < size:
        planes.append(by_first[..., width:].logsumexp(-2) + by_second[..., width:].logsumexp(-2))
    if planes:
        return torch.cat(planes, dim=-1)
    return None


def fixed_bias(query: Tensor, tables: Tables) -> Tensor:
    """Return the logits (b m t t) that position adds when each axis meets its own: the mode for training from scratch.

    Args:
        query: Unscaled queries (b m d h w c).
        tables: For each axis, vectors of each query and key position (n n c).
    """
    depth, height, width = query.shape[2:5]
    with torch.autocast(query.device.type, enabled=False):
        query = query.float()
        first, second, third = (table.float() for table in tables)
        along = (
            _met("bmdhwc,dkc->bmdhwk", query, first[:depth, :depth])[..., :, None, None],
            _met("bmdhwc,hkc->bmdhwk", query, second[:height, :height])[..., None, :, None],
            _met("bmdhwc,wkc->bmdhwk", query, third[:width, :width])[..., None, None, :],
        )
        tokens = depth * height * width
        return (along[0] + along[1] + along[2]).reshape(*query.shape[:2], tokens, tokens)


def short_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, padded: Tensor | None, padding: Padding, scale: float
) -> Tensor:
    """Return attended values (b m t c) over the real tokens and one virtual key that stands for all padding.

    Args:
        query: Real tokens (b m t c), and so `key` and `value`.
        key: See `query`.
        value: See `query`.
        bias: Logits added for each pair (b m t t).
        padded: Logit of all padding together (b m t), or None.
        padding: Gives the value of padded tokens.
        scale: Factor of the dot product of query and key.
    """
    if padded is not None:
        one = (*key.shape[:2], 1, key.shape[3])
        key = torch.cat([key, key.new_zeros(one)], dim=2)
        value = torch.cat([value, padding.value.to(value.dtype)[None, :, None, :].expand(one)], dim=2)
        bias = torch.cat([bias, padded[..., None]], dim=3)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype), scale=scale)
