"""Official key layouts, as rename tables to the layout of MONAI's network, which is ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Renamed", "canonical", "research_layout"]

PREFIXES = ("module.", "network.", "model.")
# Research code: same tensors, the transformer's MLP under older names.
RENAMES = (
    (re.compile(r"(point_head\.transformer\.layers\.\d+\.mlp\.)lin1\."), r"\1linear1."),
    (re.compile(r"(point_head\.transformer\.layers\.\d+\.mlp\.)lin2\."), r"\1linear2."),
)
# Research code: 16 tensors that are created and saved but never read.
UNUSED = re.compile(r"weight_mapper\.[03]\.|point_head\.output_add_hypernetworks_mlps\.")


@dataclass(frozen=True, eq=False)
class Renamed:
    """Tensors under our keys, and what happened on the way.

    Attributes:
        tensors: Tensor by key.
        prefix: Prefix that was stripped from every key.
        renamed: Number of keys that changed otherwise.
        dropped: Keys of tensors that no network reads.
    """

    tensors: dict[str, Tensor]
    prefix: str
    renamed: int
    dropped: tuple[str, ...]


def canonical(tensors: Mapping[str, Tensor]) -> Renamed:
    """Return tensors of any official VISTA3D layout under the keys of our network."""
    prefix = ""
    keys = list(tensors)
    while keys and (common := next((p for p in PREFIXES if all(k.startswith(p) for k in keys)), None)):
        prefix += common
        keys = [k[len(common) :] for k in keys]
    out: dict[str, Tensor] = {}
    renamed, dropped = 0, []
    for key, tensor in zip(keys, tensors.values(), strict=True):
        if UNUSED.match(key):
            dropped.append(key)
            continue
        new = key
        for pattern, replacement in RENAMES:
            new = pattern.sub(replacement, new)
        renamed += new != key
        out[new] = tensor
    return Renamed(out, prefix, renamed, tuple(dropped))


def research_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under the keys that the research code loads strictly; its unused tensors are zeros."""
    out = {
        re.sub(r"(\.mlp\.)linear([12])\.", r"\1lin\2.", k) if "transformer" in k else k: v for k, v in tensors.items()
    }
    width = int(tensors["class_head.mlp.0.weight"].shape[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in (0, 3):
        shapes[f"weight_mapper.{layer}"] = (width, width)
    for head in (0, 1):
        for layer in range(3):
            shapes[f"point_head.output_add_hypernetworks_mlps.{head}.layers.{layer}"] = (width, width)
    for name, shape in shapes.items():
        out[f"{name}.weight"] = torch.zeros(shape)
        out[f"{name}.bias"] = torch.zeros(shape[0])
    return out
