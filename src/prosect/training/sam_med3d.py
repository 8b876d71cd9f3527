"""How a recipe's stages train a SAM-Med3D: its first weights, its parts, the loss of a stage, and what is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d
from prosect.errors import RecipeError
from prosect.networks.sam_med3d import BUILDS, Architecture, SamMed3D, sam_med3d
from prosect.training.export import preparation_of
from prosect.training.losses import binary_loss, clicked_loss
from prosect.training.objectives.sam_med3d import ChainedClicks, ChainRules, begin
from prosect.training.recipe import Part, Recipe, SamMed3dShape, Stage
from prosect.training.scans import Numbering
from prosect.training.stream import PatchStream
from prosect.training.vista3d import holds_most

__all__ = ["architecture_of", "describe_sam_med3d", "first_sam_med3d", "sam_med3d_objective", "sam_med3d_parts"]

# A recipe's word for a number of the network, where it is another one.
NAMES = {"token": "patch", "attention": "window"}
NUMBERS = ("crop", "token", "width", "depth", "heads", "global_blocks", "attention", "embedding", "decoder_hidden")


def architecture_of(recipe: Recipe) -> Architecture:
    """Return the numbers of a recipe's network.

    Raises:
        RecipeError: They do not go together, or a stage's patch is not the crop (`RECIPE_INVALID`).
    """
    shape = recipe.sam_med3d or SamMed3dShape()
    asked: dict[str, Any] = {}
    for name in (*NUMBERS, "positions"):
        value = getattr(shape, name)
        if value is not None:
            asked[NAMES.get(name, name)] = value
    try:
        architecture = replace(BUILDS[shape.build], **asked)
    except ValueError as error:
        raise RecipeError(f"[sam_med3d]: {error} Give other numbers.") from error
    for stage in recipe.stages:
        if set(stage.patch) != {architecture.crop}:
            raise RecipeError(
                f"Stage {stage.name}: the patch is {list(stage.patch)}, and the network takes crops of "
                f"{architecture.crop} voxels along each axis. Give patch = {[architecture.crop] * 3}."
            )
    return architecture


def first_sam_med3d(recipe: Recipe, _numbering: Numbering) -> SamMed3D:
    """Return the network that the first stage begins with: the weights of `start`, or first weights for clicks.

    Raises:
        CheckpointError: The weights to begin with cannot be read.
        RecipeError: They are of another shape (`RECIPE_INVALID`).
    """
    wanted = architecture_of(recipe)
    if recipe.shape.start is None:
        network = sam_med3d(wanted)
        shape = recipe.sam_med3d or SamMed3dShape()
        if wanted.positions == "fixed":  # else a click does not have the code of its place
            begin(network, shape.waves, shape.sharpness, shape.loudness)
        return network
    started, report = fit_sam_med3d(read_weights(recipe.shape.start))
    found = replace(report.architecture, box_embeddings=wanted.box_embeddings)
    if found != wanted:
        differing = []
        for key, value in asdict(wanted).items():
            if asdict(found)[key] != value:
                differing.append(key)
        raise RecipeError(
            f"{recipe.shape.start.name} differs from [sam_med3d] in {', '.join(differing)}: it has "
            f"{[asdict(found)[key] for key in differing]}. Give [sam_med3d] the numbers of the weights."
        )
    return started


def sam_med3d_parts(network: SamMed3D) -> dict[Part, list[torch.nn.Parameter]]:
    """Return the parameters of a network by the part that stages name."""
    prompted = [*network.prompt_encoder.parameters(), *network.mask_decoder.parameters()]
    return {"encoder": list(network.image_encoder.parameters()), "decoder": prompted}


def sam_med3d_objective(
    _recipe: Recipe,
    numbering: Numbering,
    stage: Stage,
    network: SamMed3D,
    stream: PatchStream,
    generator: np.random.Generator,
) -> Callable[[], Tensor]:
    """Return the loss of a stage; arguments as in `vista3d.objective_of`."""
    bits = []
    for index, bit in numbering.bits.items():
        if stage.click_containers or not holds_most(numbering, index):
            bits.append(bit)
    rules = ChainRules(stage.rounds, stage.objects, stage.unasked, stage.smallest)
    loss = binary_loss
    if stage.click_loss == "balanced":
        loss = clicked_loss
    return ChainedClicks(network, stream, generator, bits, rules, stage.bfloat16, loss)


def describe_sam_med3d(
    recipe: Recipe,
    numbering: Numbering,
    _volumes: Mapping[int, float],
    history: Mapping[str, Any],
    _single: Sequence[int],
) -> dict[str, Any]:
    """Return what a weights file says of itself.

    Raises:
        RecipeError: See `architecture_of`.
    """
    preparation = preparation_of(recipe.shape)
    return {
        "format": 1,
        "model": recipe.name,
        "base": "sam-med3d",
        "vocabulary": numbering.vocabulary.name,
        # No shape tells which positions a network was trained with.
        "architecture": {"positions": architecture_of(recipe).positions},
        "licence": recipe.licence,
        "preprocessing": {
            "spacing_mm": list(preparation.spacing_mm),
            "intensity": asdict(preparation.intensity),
        },
        "training": dict(history),
    }
