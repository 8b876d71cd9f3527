"""The network that a training begins with: random, or weights that are there, as far as they fit the recipe."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fit import fit
from prosect.errors import ProsectWarning, RecipeError
from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from prosect.training.recipe import Recipe, Shape
from prosect.training.scans import Numbering

__all__ = ["first_network"]

EMBEDDINGS = "class_head.class_embeddings.weight"
CLICK_BRANCH = ("image_encoder.up_layers.", "point_head.")


def first_network(recipe: Recipe, numbering: Numbering) -> Vista3D:
    """Return the network that the first stage begins with.

    What the weights to begin with lack begins at random: a branch, and the embedding of a class that they say they do
    not offer, because what is left in its row was given up. Their click branch is left out where the recipe has none.
    Another spacing or other intensities are warned of.

    Args:
        recipe: What is to be done.
        numbering: The classes that will be learnt, and their vocabulary.

    Raises:
        CheckpointError: The weights to begin with cannot be read.
        RecipeError: They are of another shape, or their rows stand for the structures of another vocabulary.
    """
    shape = recipe.shape
    network = vista3d(architecture_of(shape))
    if shape.start is None:
        return network
    weights = read_weights(shape.start)
    compare(weights.metadata, shape, numbering)
    started, _ = fit(weights)
    own, theirs = network.state_dict(), started.state_dict()
    if not network.architecture.interactive:
        theirs = {key: value for key, value in theirs.items() if not key.startswith(CLICK_BRANCH)}
    if any(key not in own or own[key].shape != value.shape for key, value in theirs.items()):
        raise RecipeError(
            f"{shape.start.name} is {started.architecture}, the recipe asks for {network.architecture}. Give [shape] "
            "the numbers of the weights.",
        )
    offered = weights.metadata.get("classes")
    learns = any("automatic" in stage.train for stage in recipe.stages)
    fresh: list[int] = []
    if learns and offered is not None:
        for index in numbering.classes:
            if index not in offered:
                fresh.append(index)
    rows = own[EMBEDDINGS][fresh].clone()
    network.load_state_dict({**own, **theirs})
    with torch.no_grad():
        network.class_head.class_embeddings.weight[fresh] = rows
    return network


def architecture_of(shape: Shape) -> Architecture:
    """Return the network that a recipe asks for."""
    if shape.click_head == "none":
        return Architecture(shape.width, shape.blocks, shape.rows, interactive=False)
    return Architecture(shape.width, shape.blocks, shape.rows, click_head=shape.click_head)


def compare(said: Mapping[str, Any], shape: Shape, numbering: Numbering) -> None:
    """Compare what weights say about themselves with what a recipe wants; official ones say nothing.

    Raises:
        RecipeError: They know another vocabulary (`RECIPE_INVALID`).
    """
    words = said.get("vocabulary", numbering.vocabulary.name)
    if words != numbering.vocabulary.name:
        raise RecipeError(
            f"[shape] start knows the vocabulary {words}, the lists {numbering.vocabulary.name}: its classes would be "
            "taken for others. Give the lists its vocabulary."
        )
    before = said.get("preprocessing", {})
    edge = shape.spacing_mm
    now = {
        "spacing_mm": [edge] * 3,
        "intensity": {"kind": shape.intensity, "low": shape.low, "high": shape.high},
    }
    for what, value in now.items():
        if what in before and before[what] != value:
            warnings.warn(
                f"[shape] start was trained with {what} {before[what]}, the recipe has {value}. Unless that is meant, "
                "give [shape] what the weights had.",
                ProsectWarning,
                stacklevel=2,
            )
