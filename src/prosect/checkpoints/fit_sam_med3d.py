"""Put SAM-Med3D weights into its network, whatever their size, strictly and with a report."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit import INIT, FitReport, named_network, place, require_channels
from prosect.checkpoints.layouts import canonical
from prosect.errors import CheckpointError
from prosect.networks.sam_med3d import Architecture, SamMed3D
from prosect.networks.sam_med3d.image_encoder import RelativePositions

__all__ = ["architecture_of", "fit_sam_med3d", "is_sam_med3d"]

PATCHES = "image_encoder.patch_embed.proj.weight"
TABLE = re.compile(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_d$")


def is_sam_med3d(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether tensors, under keys without prefix, are a SAM-Med3D's: a transformer over patches of volumes."""
    return PATCHES in tensors and tensors[PATCHES].ndim == 5


def architecture_of(tensors: Mapping[str, Tensor], positions: RelativePositions = "official") -> Architecture:
    """Return the architecture that tensors under the official keys belong to.

    Args:
        tensors: The weights.
        positions: What no shape tells; see `ImageEncoder`.

    Raises:
        CheckpointError: They are another network's, or incomplete (`MODEL_WRONG_NETWORK`).
    """
    if not is_sam_med3d(tensors):
        raise CheckpointError(
            f"These are the weights of {_other(tensors)} ({len(tensors)} tensors, the first is "
            f"{next(iter(tensors), 'none')}); SAM-Med3D weights are needed.",
            code="MODEL_WRONG_NETWORK",
        )
    try:
        return _sizes(tensors, positions)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"These look like SAM-Med3D weights, but tensors are missing or misshapen ({error}). Download the file "
            "again.",
            code="MODEL_WRONG_NETWORK",
        ) from error


def _other(tensors: Mapping[str, Tensor]) -> str:
    """Return what tensors belong to that are no SAM-Med3D's."""
    if INIT in tensors:
        return "a VISTA3D"
    if PATCHES in tensors:
        return "a Segment Anything for pictures"
    return named_network(tensors)


def _sizes(tensors: Mapping[str, Tensor], positions: RelativePositions) -> Architecture:
    width, _, patch = (int(n) for n in tensors[PATCHES].shape[:3])
    grid = int(tensors["image_encoder.pos_embed"].shape[1])
    tables = {}
    for key, value in tensors.items():
        if match := TABLE.match(key):
            tables[int(match[1])] = value
    lengths = []
    for n in range(len(tables)):
        lengths.append(int(tables[n].shape[0]))
    windows = set(lengths) - {2 * grid - 1}
    if len(windows) > 1:
        raise ValueError(f"windows of several sizes: tables of {sorted(windows)}")
    return Architecture(
        crop=grid * patch,
        patch=patch,
        width=width,
        depth=len(lengths),
        heads=width // int(tables[0].shape[1]),
        global_blocks=tuple(n for n, length in enumerate(lengths) if length == 2 * grid - 1),
        window=(max(windows, default=2 * grid - 1) + 1) // 2,
        embedding=int(tensors["image_encoder.neck.0.weight"].shape[0]),
        decoder_hidden=int(tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]),
        box_embeddings="prompt_encoder.point_embeddings.2.weight" in tensors,
        positions=positions,
    )


def fit_sam_med3d(weights: RawWeights) -> tuple[SamMed3D, FitReport[Architecture]]:
    """Return a network in evaluation mode with these weights in float32, and the report.

    Every tensor must find its place and every place its tensor. Differs from the official loader, which ignores what
    does not fit.

    Raises:
        CheckpointError: Another network's weights, or missing, left-over or misshapen tensors (`MODEL_WRONG_NETWORK`).
    """
    layout = canonical(weights.tensors)
    if is_sam_med3d(layout.tensors):
        require_channels(int(layout.tensors[PATCHES].shape[1]), 1, "SAM-Med3D")
    said = weights.metadata.get("architecture", {})
    a = architecture_of(layout.tensors, said.get("positions", "official"))
    boxes = ""
    if a.box_embeddings:
        boxes = ", with box embeddings (never trained, not used)"
    summary = f"crop {a.crop}, patch {a.patch}, width {a.width}, {a.depth} blocks, {a.positions} positions{boxes}"
    return place(lambda: SamMed3D(a), layout, weights, a, "SAM-Med3D", summary)
