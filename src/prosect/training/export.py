"""A trained network as a weights file that says all there is to know of it, and the model it makes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect import vocabulary as vocabularies
from prosect.case import Intensity, Preparation
from prosect.checkpoints.files import read_metadata, write_weights
from prosect.errors import RecipeError, VocabularyError
from prosect.models.metadata import metadata_of, offering
from prosect.models.spec import ModelSpec, with_structures
from prosect.morphology import Components
from prosect.training.patches import TrainingScan
from prosect.training.recipe import Recipe, Shape
from prosect.training.scans import Numbering
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["added_to", "described", "export", "largest_ml", "one_piece", "ordinary", "preparation_of"]

# Contours are cut by the ends of scans, and voxels come loose where they are resampled.
MOST_IN_ONE, NEARLY_ALL = 0.95, 0.95


def preparation_of(shape: Shape) -> Preparation:
    """Return how a scan is prepared for a network of this shape, as inference does it."""
    crop = 0.0 if shape.intensity == "window" else None
    edge = shape.spacing_mm
    return Preparation((edge, edge, edge), Intensity(shape.intensity, shape.low, shape.high), crop_above=crop)


def added_to(words: Vocabulary, larger: Vocabulary) -> list[Structure]:
    """Return the structures that a larger vocabulary has beyond another, as ordinary ones that can be segmented."""
    plain: dict[str, Any] = {"status": "supported", "reason": "", "overlapping": False, "everything": frozenset()}
    return [replace(s, **plain, color=colour(s.index)) for s in larger if words.get(s.index) is None]


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
            inside = (scan.nested >> numbering.bits[index]) & 1 if index in numbering.bits else None
            count = counts[q + 1] if inside is None else np.count_nonzero(inside)
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


def described(
    recipe: Recipe,
    numbering: Numbering,
    volumes: Mapping[int, float],
    history: Mapping[str, Any],
    single: Sequence[int] = (),
) -> dict[str, Any]:
    """Return what a weights file says of itself.

    Args:
        recipe: What was trained.
        numbering: How its structures are numbered.
        volumes: See `largest_ml`.
        history: Steps taken, by stage.
        single: See `one_piece`.

    Raises:
        RecipeError: A class cannot be offered, such as one that is not trained or a group whose parts are not
            (`RECIPE_INVALID`).
    """
    shape, words, preparation = recipe.shape, numbering.vocabulary, preparation_of(recipe.shape)
    before = {} if shape.start is None else read_metadata(shape.start)
    losses = [stage.loss for stage in recipe.stages if stage.branch != "interactive"]
    classes, rivals = numbering.classes, tuple(before.get("exclusive", ()))
    if losses:
        rivals = tuple(c for c in classes if c not in numbering.bits) if losses[-1] == "exclusive" else ()
    elif shape.start is None:
        classes = ()  # a branch that nothing has taught must not be offered
    else:
        # What nothing has changed is offered as it was.
        classes = tuple(c for c in before.get("classes", classes) if words.get(c) is not None)
    offered = offered_of(recipe, numbering, classes, rivals)
    added = [*added_to(vocabularies.load(words.name), words), *ordinary(words, offered)]
    spec = ModelSpec(
        name=recipe.name,
        vocabulary=kept(with_structures(words, added), offered),
        spacing_mm=preparation.spacing_mm,
        patch=shape.window,
        intensity=preparation.intensity,
        exclusive=rivals,
        largest_ml={c: ml for c, ml in volumes.items() if c in offered},
        licence=recipe.licence,
        click_patch=shape.click_patch,
        base="vista3d",
        one_piece=tuple(c for c in single if c in offered),
    )
    return metadata_of(spec, added, history)


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
    idle = [words[index].name for index in offered if index not in classes]
    if idle:
        raise RecipeError(f"`offered` of [shape] names {', '.join(idle)}, which is not among the classes.")
    lost = [words[index].name for index in classes if index not in (*offered, *rivals)]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise RecipeError(
            "Only classes that compete can be left out of `offered`: those that contain no others, where the last "
            f'automatic stage has loss = "exclusive". Not so: {", ".join(lost[:3])}{more}. Name them in `offered`, or '
            "name `classes` without them."
        )
    return offered


def ordinary(words: Vocabulary, classes: Sequence[int]) -> list[Structure]:
    """Return the classes as structures that lie in no other, where all are known as such that do.

    A tumour alone has no host to lie in, and without it nothing would be left to segment when no class is named.
    """
    own = [words[index] for index in classes]
    if not all(structure.overlapping for structure in own):
        return []
    return [replace(structure, overlapping=False) for structure in own]


def kept(words: Vocabulary, offered: Sequence[int]) -> Vocabulary:
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
