"""Put the feature-making part of a Segment Anything file into its network, strictly and with a report.

Files of SAM (`sam_vit_*.pth`), of models trained on from it under the same keys (MedSAM) and of MobileSAM are
recognised by the shapes of their tensors; nothing is believed from a name. What answers prompts is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit import FitReport, place, require_channels
from prosect.checkpoints.layouts import canonical
from prosect.errors import CheckpointError
from prosect.networks.sam import SamFeatures, TinyVariant, VitVariant

__all__ = ["fit_sam", "variant_of"]

Variant = VitVariant | TinyVariant

ENCODER = "image_encoder."
VIT, TINY = ENCODER + "patch_embed.proj.weight", ENCODER + "patch_embed.seq.0.c.weight"
COLOURS = 3  # its pictures are red, green and blue
UPSCALING = "mask_decoder.output_upscaling."
# MobileSAM: a classifier that is never asked, and an index that some versions save.
UNUSED = re.compile(r"image_encoder\.(head|norm_head)\.|.*\.attention_bias_idxs$")


def variant_of(tensors: Mapping[str, Tensor]) -> Variant:
    """Return the variant that tensors under the official keys belong to.

    Raises:
        CheckpointError: They are another network's (`MODEL_WRONG_NETWORK`).
    """
    try:
        if VIT in tensors and tensors[VIT].ndim == 4:
            return _vit(tensors)
        if TINY in tensors:
            return _tiny(tensors)
    except (KeyError, IndexError, ZeroDivisionError, ValueError) as error:
        raise CheckpointError(
            f"These look like Segment Anything weights, but tensors are missing or misshapen ({error}). Download the "
            "file again.",
            code="MODEL_WRONG_NETWORK",
        ) from error
    raise CheckpointError(
        f"These are not the weights of a 2D Segment Anything ({len(tensors)} tensors, the first is "
        f"{next(iter(tensors), 'none')}); a file such as sam_vit_b_01ec64.pth or mobile_sam.pt is needed.",
        code="MODEL_WRONG_NETWORK",
    )


def _vit(tensors: Mapping[str, Tensor]) -> VitVariant:
    dim, _, patch, _ = tensors[VIT].shape
    side = int(tensors[ENCODER + "pos_embed"].shape[1])
    tables = []
    for n in range(_count(tensors, ENCODER + "blocks.")):
        tables.append(tensors[f"{ENCODER}blocks.{n}.attn.rel_pos_h"])
    return VitVariant(
        dim=dim,
        heads=dim // int(tables[0].shape[1]),
        windows=tuple((int(table.shape[0]) + 1) // 2 for table in tables),
        hidden=int(tensors[ENCODER + "blocks.0.mlp.lin1.weight"].shape[0]),
        side=side,
        patch=patch,
        out_channels=int(tensors[ENCODER + "neck.0.weight"].shape[0]),
    )


def _tiny(tensors: Mapping[str, Tensor]) -> TinyVariant:
    depths = tuple(_count(tensors, f"{ENCODER}layers.{n}.blocks.") for n in range(_count(tensors, ENCODER + "layers.")))
    biases = []
    for n in range(1, len(depths)):
        biases.append(tensors[f"{ENCODER}layers.{n}.blocks.0.attn.attention_biases"])
    return TinyVariant(
        dims=(
            int(tensors[ENCODER + "patch_embed.seq.2.c.weight"].shape[0]),
            *(_width(tensors, n) for n in _rest(depths)),
        ),
        depths=depths,
        heads=(0, *(int(bias.shape[0]) for bias in biases)),
        windows=(0, *(math.isqrt(int(bias.shape[1])) for bias in biases)),
        out_channels=int(tensors[ENCODER + "neck.0.weight"].shape[0]),
    )


def _rest(depths: tuple[int, ...]) -> range:
    return range(1, len(depths))


def _width(tensors: Mapping[str, Tensor], stage: int) -> int:
    return int(tensors[f"{ENCODER}layers.{stage}.blocks.0.attn.norm.weight"].shape[0])


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered parts there are behind a prefix."""
    return len({key[len(prefix) :].split(".")[0] for key in tensors if key.startswith(prefix)})


def fit_sam(weights: RawWeights) -> tuple[SamFeatures, FitReport[Variant]]:
    """Return a network in evaluation mode with these weights in float32, and the report.

    Every tensor of the encoder must find its place and every place its tensor.

    Raises:
        CheckpointError: Another network's weights, or missing, left-over or misshapen tensors (`MODEL_WRONG_NETWORK`).
    """
    layout = canonical(weights.tensors)
    variant = variant_of(layout.tensors)
    first = TINY
    if isinstance(variant, VitVariant):
        first = VIT
    require_channels(int(layout.tensors[first].shape[1]), COLOURS, "Segment Anything")
    unused = []
    for key in layout.tensors:
        if UNUSED.match(key) or not key.startswith((ENCODER, UPSCALING)):
            unused.append(key)
    kept = {}
    for key, value in layout.tensors.items():
        if key not in set(unused):
            kept[key] = value
    needed = replace(layout, tensors=kept, dropped=(*layout.dropped, *unused))
    if isinstance(variant, VitVariant):
        name, summary = "Segment Anything", f"width {variant.dim}, {len(variant.windows)} blocks"
    else:
        name, summary = "MobileSAM", f"widths {variant.dims}"
    return place(lambda: SamFeatures(variant), needed, weights, variant, name, summary)
