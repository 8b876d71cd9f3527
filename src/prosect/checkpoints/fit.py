"""Find out which network weights belong to, and put them into it, strictly and with a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from prosect.checkpoints.exhaustion import refuse_exhaustion_of_loading
from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.layouts import Renamed, canonical
from prosect.errors import CheckpointError
from prosect.networks.vista3d import Architecture, Vista3D
from prosect.networks.vista3d.map_head import MAPS
from prosect.networks.without_values import without_values

__all__ = ["FitReport", "architecture_of", "fit", "named_network", "place", "require_channels"]

Numbers = TypeVar("Numbers")
Network = TypeVar("Network", bound=nn.Module)

INIT = "image_encoder.encoder.conv_init.weight"
EMBEDDINGS = "class_head.class_embeddings.weight"
MAP_HEAD = "point_head.start.weight"
BLOCK = re.compile(r"image_encoder\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.conv1\.weight$")
# Number types whose every value float32 stands for, or, of doubles, the nearest.
WIDENED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# Keys by which other networks that users try are told apart.
OTHERS = {
    "image_encoder.patch_embed.proj.weight": "a SAM-like network with a vision transformer (SAM or SAM-Med3D)",
    "encoder.stages.0.0.convs.0.conv.weight": "an nnU-Net",
    "swinViT.patch_embed.proj.weight": "a Swin UNETR",
    "image_encoder.encoder.layers.0.blocks.0.conv1.weight": "an incomplete VISTA3D",
}


@dataclass(frozen=True)
class FitReport(Generic[Numbers]):
    """What happened between the file and the network.

    Attributes:
        network: The network's name.
        summary: Its architecture, for people.
        sha256: Hash of the file.
        format: `safetensors` or `torch`.
        wrapper: Keys that were unwrapped.
        prefix: Prefix that was stripped.
        renamed: Keys that were renamed.
        dropped: Keys that no network reads and that were left out.
        converted: Tensors widened from half precision.
        architecture: What was read from the shapes.
    """

    network: str
    summary: str
    sha256: str
    format: str
    wrapper: tuple[str, ...]
    prefix: str
    renamed: int
    dropped: tuple[str, ...]
    converted: int
    architecture: Numbers

    def __str__(self) -> str:
        parts = [self.summary, self.format]
        if self.wrapper:
            parts.append(f"unwrapped {'.'.join(self.wrapper)}")
        if self.prefix:
            parts.append(f"stripped prefix {self.prefix}")
        if self.renamed:
            parts.append(f"renamed {self.renamed} keys")
        if self.dropped:
            parts.append(f"left out {len(self.dropped)} unused tensors")
        if self.converted:
            parts.append(f"widened {self.converted} tensors to float32")
        return f"{self.network}: {', '.join(parts)}; sha256 {self.sha256[:12]}"


def named_network(tensors: Mapping[str, Tensor]) -> str:
    """Return what tensors belong to, as far as their keys tell."""
    return next((name for key, name in OTHERS.items() if key in tensors), "an unknown network")


def architecture_of(tensors: Mapping[str, Tensor]) -> Architecture:
    """Return the architecture that tensors under our keys belong to.

    Raises:
        CheckpointError: They are another network's (`MODEL_WRONG_NETWORK`).
    """
    blocks: dict[int, int] = {}
    for key in tensors:
        if match := BLOCK.match(key):
            level = int(match[1])
            blocks[level] = max(blocks.get(level, 0), int(match[2]) + 1)
    if INIT not in tensors or tensors[INIT].ndim != 5 or sorted(blocks) != list(range(len(blocks))) or not blocks:
        raise CheckpointError(
            f"These are the weights of {named_network(tensors)} ({len(tensors)} tensors, the first is "
            f"{next(iter(tensors), 'none')}); VISTA3D weights are needed.",
            code="MODEL_WRONG_NETWORK",
        )
    width, in_channels = (int(n) for n in tensors[INIT].shape[:2])
    table = next((tensors[k] for k in (EMBEDDINGS, "point_head.class_embeddings.weight") if k in tensors), None)
    return Architecture(
        width=width,
        blocks=tuple(blocks[level] for level in sorted(blocks)),
        classes=512 if table is None else int(table.shape[0]),
        in_channels=in_channels,
        automatic=any(k.startswith("image_encoder.up_layers_auto.") for k in tensors),
        interactive=any(k.startswith("image_encoder.up_layers.") for k in tensors),
        click_head="maps" if MAP_HEAD in tensors else "tokens",
    )


def fit(weights: RawWeights) -> tuple[Vista3D, FitReport[Architecture]]:
    """Return a network in evaluation mode with these weights in float32, and the report.

    Raises:
        CheckpointError: Another network's weights, or missing, left-over or misshapen tensors (`MODEL_WRONG_NETWORK`),
            or numbers of another kind (`MODEL_NUMBER_TYPE`).
    """
    layout = canonical(weights.tensors)
    a = architecture_of(layout.tensors)
    require_channels(a.in_channels, 1, "VISTA3D")
    layout = replace(layout, tensors=with_memory(layout.tensors, a))
    branches = []
    for n, has in (("automatic", a.automatic), ("interactive", a.interactive)):
        if has:
            branches.append(n)
    summary = f"width {a.width}, blocks {a.blocks}, {' and '.join(branches)}"
    return place(lambda: Vista3D(a), layout, weights, a, "VISTA3D", summary)


def require_channels(found: int, needed: int, name: str) -> None:
    """Refuse weights that see another number of channels than they would be given.

    Raises:
        CheckpointError: They do (`MODEL_WRONG_NETWORK`).
    """
    if found != needed:
        raise CheckpointError(
            f"These {name} weights take {found} channels at once, and prosect gives them {needed}. Use weights that "
            f"were trained with {needed}.",
            code="MODEL_WRONG_NETWORK",
        )


def with_memory(tensors: dict[str, Tensor], a: Architecture) -> dict[str, Tensor]:
    """Return weights whose click head sees its answer before; earlier heads did not, and ignore it."""
    weight = tensors.get(MAP_HEAD)
    if weight is None or weight.ndim != 5 or weight.shape[1] != (1 + a.automatic) * a.width + MAPS - 1:
        return tensors
    return {**tensors, MAP_HEAD: torch.cat([weight, torch.zeros_like(weight[:, :1])], dim=1)}


@refuse_exhaustion_of_loading()
def place(
    build: Callable[[], Network], layout: Renamed, weights: RawWeights, architecture: Numbers, name: str, summary: str
) -> tuple[Network, FitReport[Numbers]]:
    """Return a network in evaluation mode that holds these weights in float32, and the report.

    Every tensor must find its place and every place its tensor. The network is built without memory of its own and
    takes over the tensors.

    Args:
        build: Makes the network.
        layout: The weights under its keys.
        weights: The file they came from.
        architecture: What was read from the shapes, for the report.
        name: The network's name.
        summary: Its architecture, for people.

    Raises:
        CheckpointError: Missing, left-over or misshapen tensors (`MODEL_WRONG_NETWORK`), or numbers of a kind that
            cannot be widened to float32 (`MODEL_NUMBER_TYPE`).
        ResourceError: The memory is not sufficient (`MEMORY_EXHAUSTED`).
    """
    try:
        with without_values():
            network = build()
    except (ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:
        raise CheckpointError(
            f"These look like {name} weights ({summary}), but no such network can be built ({error}). Give weights of "
            "a size that the network comes in.",
            code="MODEL_WRONG_NETWORK",
        ) from error
    expected = network.state_dict()
    wrong = [k for k in expected if k in layout.tensors and layout.tensors[k].shape != expected[k].shape]
    _require_none("missing", expected.keys() - layout.tensors.keys(), name)
    _require_none("left over", layout.tensors.keys() - expected.keys(), name)
    _require_none("of the wrong shape", wrong, name)
    _require_floats(layout.tensors, expected, name)
    converted = sum(v.is_floating_point() and v.dtype != torch.float32 for v in layout.tensors.values())
    values = {k: v.float() if v.is_floating_point() else v for k, v in layout.tensors.items()}
    network.load_state_dict(values, strict=True, assign=True)
    network.requires_grad_(False)
    report = FitReport(
        name, summary, weights.sha256, weights.format, weights.wrapper, layout.prefix, layout.renamed, layout.dropped,
        converted, architecture,
    )  # fmt: skip
    return network.eval(), report


def _require_floats(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> None:
    """Refuse numbers that are no weights by themselves, such as the integers of a quantised file without its scales."""
    bad = []
    for k, v in expected.items():
        if v.is_floating_point() and tensors[k].dtype not in WIDENED:
            bad.append(k)
    if bad:
        kinds = sorted({str(tensors[k].dtype).removeprefix("torch.") for k in bad})
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in WIDENED)
        raise CheckpointError(
            f"{len(bad)} tensors of this {name} hold {', '.join(kinds)} numbers; the first is {bad[0]}. {known} can be "
            "read. Give the weights as they were before they were quantised or converted.",
            code="MODEL_NUMBER_TYPE",
        )


def _require_none(what: str, keys: Iterable[str], name: str) -> None:
    found = sorted(keys)
    if found:
        groups = sorted({".".join(k.split(".")[:2]) for k in found})
        raise CheckpointError(
            f"{len(found)} tensors are {what}: {found[0]}{' ...' if len(found) > 1 else ''} (in {', '.join(groups)}). "
            f"The file is not a complete {name}.",
            code="MODEL_WRONG_NETWORK",
        )
