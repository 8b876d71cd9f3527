"""A trained network as a weights file that says all there is to know of it, and the model it makes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect import vocabulary as vocabularies
from prosect.case import Intensity, Preparation
from prosect.checkpoints.file_metadata import read_metadata
from prosect.checkpoints.files import write_weights
from prosect.checkpoints.offers import offering, with_structures
from prosect.errors import RecipeError, VocabularyError
from prosect.models.metadata import metadata_of
from prosect.models.spec import ModelSpec, preparation_for, profile
from prosect.morphology import Components
from prosect.training.patches import TrainingScan
from prosect.training.recipe import Recipe, Shape
from prosect.training.scans import Numbering
from prosect.vocabulary import Structure, Vocabulary

__all__ = [
    "Before",
    "added_to",
    "describe",
    "export",
    "largest_ml",
    "one_piece",
    "ordinary",
    "preparation_of",
    "spec_of",
]

# Contours are cut by the ends of scans, and voxels come loose where they are resampled.
MOST_IN_ONE, NEARLY_ALL = 0.95, 0.95


def preparation_of(shape: Shape, spacing_mm: float | None = None) -> Preparation:
    """Return how a scan is prepared for a network of this shape, as inference does it.

    Args:
        shape: The shape.
        spacing_mm: Another spacing than the working spacing.
    """
    edge = spacing_mm or shape.spacing_mm
    intensity = Intensity(shape.intensity, shape.low, shape.high)
    return preparation_for(profile(shape.profile), (edge, edge, edge), intensity)


def added_to(words: Vocabulary, larger: Vocabulary) -> list[Structure]:
    """Return the structures that a larger vocabulary has beyond another, as ordinary ones that can be segmented."""
    added = []
    for structure in larger:
        if words.get(structure.index) is None:
            added.append(
                replace(
                    structure,
                    status="supported",
                    reason="",
                    overlapping=False,
                    everything=frozenset(),
                    color=colour(structure.index),
                )
            )
    return added


def colour(index: int) -> tuple[int, int, int]:
    """Return a colour that differs from those of neighbouring indices."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1.0, 0.65, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def largest_ml(scans: Iterable[TrainingScan], numbering: Numbering) -> dict[int, float]:
    """Return the largest volume of each class among scans, in millilitres; results far beyond it are warned of."""
    largest = dict.fromkeys(numbering.classes, 0.0)
    for scan in scans:
        ml = float(np.prod(scan.spacing_mm)) / 1000
        counts = np.bincount(np.asarray(scan.labels).ravel(), minlength=len(numbering.order) + 1)
        for q, index in enumerate(numbering.classes):
            inside = None
            if index in numbering.bits:
                inside = (scan.nested >> numbering.bits[index]) & 1
            if inside is None:
                count = counts[q + 1]
            else:
                count = np.count_nonzero(inside)
            largest[index] = max(largest[index], round(float(count) * ml, 1))
    return {index: ml for index, ml in largest.items() if ml > 0}


def one_piece(scans: Iterable[TrainingScan], numbering: Numbering) -> tuple[int, ...]:
    """Return the classes that are one piece in nearly all scans that show them, so that a second piece is a mistake."""
    whole: dict[int, list[bool]] = {}
    for scan in scans:
        labels = np.asarray(scan.labels)
        for value in scan.present:
            if 0 < value <= len(numbering.classes) and numbering.order[value - 1] not in numbering.bits:
                sizes = Components.of(labels == value).sizes
                whole.setdefault(numbering.order[value - 1], []).append(sizes.max() >= MOST_IN_ONE * sizes.sum())
    return tuple(sorted(index for index, found in whole.items() if np.mean(found) >= NEARLY_ALL))


@dataclass(frozen=True)
class Before:
    """What is known of the model that a training begins with.

    Attributes:
        classes: Classes that it offers; None where it does not say, as official weights do not.
        exclusive: Classes that were trained against one another, offered or not.
        base: Model of the catalogue that it goes back to.
        automatic_only: Whether its clicks must not be offered.
        one_piece: Classes that were one piece in its training scans.
    """

    classes: tuple[int, ...] | None = ()
    exclusive: tuple[int, ...] = ()
    base: str = "vista3d"
    automatic_only: bool = False
    one_piece: tuple[int, ...] = ()


def before_of(recipe: Recipe) -> Before:
    """Return what the weights that a recipe begins with say of themselves.

    Raises:
        CheckpointError: They cannot be read.
    """
    if recipe.shape.start is None:
        return Before()
    said = read_metadata(recipe.shape.start)
    if said.get("classes") is None:
        classes = None
    else:
        classes = tuple(said["classes"])
    return Before(classes, tuple(said.get("exclusive", ())))


def describe(
    recipe: Recipe,
    numbering: Numbering,
    volumes: Mapping[int, float] = MappingProxyType({}),
    history: Mapping[str, Any] = MappingProxyType({}),
    single: Sequence[int] = (),
) -> dict[str, Any]:
    """Return what a weights file says of itself; arguments as in `spec_of`.

    Args:
        recipe: What was trained.
        numbering: How its structures are numbered.
        volumes: See `largest_ml`.
        history: Steps taken, by stage.
        single: See `one_piece`.

    Raises:
        RecipeError: See `spec_of`.
    """
    spec, added = spec_of(recipe, numbering, before_of(recipe), volumes, single)
    return metadata_of(spec, added, history)


def spec_of(
    recipe: Recipe,
    numbering: Numbering,
    before: Before,
    volumes: Mapping[int, float],
    single: Sequence[int] = (),
) -> tuple[ModelSpec, list[Structure]]:
    """Return the specification of the model that a recipe makes, and the structures that its vocabulary lacked.

    Args:
        recipe: What is trained.
        numbering: How its structures are numbered.
        before: What it begins with.
        volumes: See `largest_ml`.
        single: See `one_piece`.

    Raises:
        RecipeError: A class cannot be offered, such as one that is not trained or a group whose parts are not
            (`RECIPE_INVALID`).
    """
    shape, preparation = recipe.shape, preparation_of(recipe.shape)
    classes, rivals = classes_and_rivals(recipe, numbering, before)
    offered = offered_of(recipe, numbering, classes, rivals)
    base = vocabularies.load(numbering.vocabulary.name)
    added = added_to(base, numbering.vocabulary)
    added += ordinary(with_structures(base, added), offered)
    spec = ModelSpec(
        name=recipe.name,
        vocabulary=restrict(with_structures(base, added), offered),
        spacing_mm=preparation.spacing_mm,
        window=shape.window,
        intensity=preparation.intensity,
        everything="TRAINED",
        exclusive=rivals,
        largest_ml={c: ml for c, ml in volumes.items() if c in offered},
        licence=recipe.licence,
        automatic_only=before.automatic_only,
        click_patch=shape.click_patch,
        base=before.base,
        one_piece=tuple(c for c in single if c in offered),
    )
    return spec, added


def classes_and_rivals(recipe: Recipe, numbering: Numbering, before: Before) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the classes that a recipe's weights know, and those among them that compete for each voxel."""
    losses = []
    for stage in recipe.stages:
        if stage.finds:
            losses.append(stage.loss)
    if not losses and recipe.shape.start is None:
        return (), before.exclusive  # a branch that nothing has taught must not be offered
    if not losses:
        # What nothing has changed is offered as it was.
        if before.classes is None:
            known = numbering.classes
        else:
            known = before.classes
        return tuple(c for c in known if numbering.vocabulary.get(c) is not None), before.exclusive
    rivals: tuple[int, ...] = ()
    if losses[-1] in ("exclusive", "marginal"):
        rivals = tuple(c for c in numbering.classes if c not in numbering.bits)
    if not recipe.shape.keep_classes:
        return numbering.classes, rivals
    kept = before.classes or ()
    classes = tuple(sorted({*kept, *numbering.classes}))
    # Where the kept classes were each trained by itself, none of them competes, and new ones must not begin to.
    joined: tuple[int, ...] = ()
    if before.exclusive:
        joined = tuple(sorted({*kept, *before.exclusive, *rivals}))
    return classes, joined


def offered_of(recipe: Recipe, numbering: Numbering, classes: Sequence[int], rivals: Sequence[int]) -> tuple[int, ...]:
    """Return the classes that the weights offer.

    Raises:
        RecipeError: `offered` names a class that is not trained, or leaves one out that would not compete.
    """
    words, names = numbering.vocabulary, recipe.shape.offered
    if names is None:
        return tuple(classes)
    offered = tuple(words[name].index for name in names)
    if classes and not offered:
        raise RecipeError("`offered` of [shape] is empty, so the weights could segment nothing. Name what they offer.")
    idle = []
    for index in offered:
        if index not in classes:
            idle.append(words[index].name)
    if idle:
        raise RecipeError(f"`offered` of [shape] names {', '.join(idle)}, which is not among the classes.")
    lost = [words[index].name for index in classes if index not in (*offered, *rivals)]
    if lost:
        more = ""
        if len(lost) > 3:
            more = f" and {len(lost) - 3} more"
        raise RecipeError(
            "Only classes that compete can be left out of `offered`: those that contain no others, where the last "
            f'automatic stage has loss = "exclusive" or "marginal". Not so: {", ".join(lost[:3])}{more}. Name them in '
            "`offered`, or name `classes` without them."
        )
    return offered


def ordinary(words: Vocabulary, classes: Sequence[int]) -> list[Structure]:
    """Return the classes as structures that lie in no other, where all are known as such that do.

    A tumour alone has no host to lie in, and without it nothing would be left to segment when no class is named.
    """
    own = [words[index] for index in classes]
    if not all(structure.overlapping for structure in own):
        return []
    found: list[Structure] = []
    for structure in own:
        found.append(replace(structure, overlapping=False))
    return found


def restrict(words: Vocabulary, offered: Sequence[int]) -> Vocabulary:
    """Return the vocabulary as it will be read from the file.

    Raises:
        RecipeError: It will not be (`RECIPE_INVALID`).
    """
    try:
        return offering(words, offered)
    except VocabularyError as error:
        raise RecipeError(
            f"The classes of [shape] could not be offered: {error} What is left out of `classes` can still be clicked."
        ) from error


def export(tensors: Mapping[str, Tensor], description: Mapping[str, Any], path: Path) -> Path:
    """Write a weights file in half precision, from which `prosect.load` makes a model, and return the path.

    Raises:
        CheckpointError: A weight is not finite.
        FormatError: The place cannot be written.
    """
    return write_weights(path, tensors, description, torch.float16)
