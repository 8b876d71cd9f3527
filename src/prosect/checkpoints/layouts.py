"""Official key layouts, as rename tables to the layout of MONAI's network, which is ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prosect.errors import CheckpointError

__all__ = ["Renamed", "canonical", "research_layout"]

# Parts of which each of our networks has at least one; what lies before them was put there by a wrapper.
PARTS = re.compile(r"(?:^|\.)(?=(?:image_encoder|class_head|point_head|prompt_encoder|mask_decoder)\.)")
# Wrappers of other networks, taken off so that those can be called by their names.
PREFIXES = ("module.", "network.", "model.", "net.")
# Put into keys at any place by torch.compile, FSDP and checkpointing, and by DataParallel around a part.
INSERTED = re.compile(r"(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|module)\.)+")
# Counters that are no weights: of thop and of torch's AveragedModel.
COUNTERS = re.compile(r"(?:^|\.)(?:total_ops|total_params|n_averaged)$")
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
        dropped: Keys of tensors that no network reads: unused ones, counters, what lies beside a wrapped one.
    """

    tensors: dict[str, Tensor]
    prefix: str
    renamed: int
    dropped: tuple[str, ...]


def canonical(tensors: Mapping[str, Tensor]) -> Renamed:
    """Return tensors of any official layout, however wrapped, under the keys of our network.

    Raises:
        CheckpointError: They hold several networks (`MODEL_SEVERAL`).
    """
    dropped = [key for key in tensors if COUNTERS.search(key)]
    plain = {key: _without_inserted(key) for key in tensors if not COUNTERS.search(key)}
    prefix = _prefix_of(plain.values())
    out: dict[str, Tensor] = {}
    renamed = 0
    for key, bare in plain.items():
        inner = bare.removeprefix(prefix)
        # Beside a wrapped network lie losses and metrics of its training, and not below its prefix.
        if UNUSED.match(inner) or not bare.startswith(prefix):
            dropped.append(key)
            continue
        new = inner
        for pattern, replacement in RENAMES:
            new = pattern.sub(replacement, new)
        if new in out:
            raise _several(f"two tensors are called {new}")
        renamed += new != inner
        out[new] = tensors[key]
    stripped = _wrapping_of(next(iter(plain), ""), prefix)
    return Renamed(out, stripped, renamed, tuple(dropped))


def _without_inserted(key: str) -> str:
    """Return a key without what wrappers put into it."""
    return INSERTED.sub(r"\1", key)


def _prefix_of(keys: Iterable[str]) -> str:
    """Return what stands before the parts of the network, which must be the same for all of them."""
    keys = list(keys)
    found = set()
    for key in keys:
        if match := PARTS.search(key):
            found.add(key[: match.end()])
    if len(found) > 1:
        raise _several(f"parts of them begin with {', '.join(repr(p) for p in sorted(found))}")
    if found:
        return found.pop()
    prefix = ""
    while keys and (common := next((p for p in PREFIXES if all(k.startswith(p) for k in keys)), None)):
        prefix += common
        keys = [k[len(common) :] for k in keys]
    return prefix


def _wrapping_of(key: str, prefix: str) -> str:
    """Return the prefix as the file has it, for people: with what was inserted before the network's first part."""
    match = PARTS.search(key)
    if match:
        return key[: match.end()]
    return prefix


def _several(cause: str) -> CheckpointError:
    return CheckpointError(
        f"The file holds more than one network: {cause}. Save the state_dict of the one that is wanted.",
        code="MODEL_SEVERAL",
    )


def research_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under the keys that the research code loads strictly; its unused tensors are zeros."""
    out = {}
    for k, v in tensors.items():
        out[re.sub(r"(\.mlp\.)linear([12])\.", r"\1lin\2.", k) if "transformer" in k else k] = v
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
