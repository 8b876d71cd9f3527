"""Masks that a person brings along, as the drafts of a session: arrays, label maps and label files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.errors import GeometryError, PromptError, ProsectWarning
from prosect.geometry import Grid
from prosect.io import read_labels
from prosect.io.stored import StoredLabels
from prosect.label_values import own_values
from prosect.labelmap import LabelLayers, LabelMap, Labels
from prosect.prompts import Target, extend_vocabulary, target_of
from prosect.vocabulary import Vocabulary
from prosect.vocabulary.matching import is_background, spelling

__all__ = ["Draft", "Masks", "drafts_of"]

# How far labels may lie off the scan's voxels, in parts of the smallest spacing; from `TOLD` on it is told.
TOLD, REFUSED = 0.1, 0.25

Mask: TypeAlias = NDArray[np.bool_]
Masks: TypeAlias = Labels | StoredLabels | Mask | str | os.PathLike[str]


@dataclass(frozen=True)
class Draft:
    """The mask of one structure.

    Attributes:
        target: The structure.
        read: Returns its mask (i j k) on the scan's grid.
        value: Its label value in files, where the model that found it has values of its own.
    """

    target: Target
    read: Callable[[], Mask]
    value: int | None = None


def drafts_of(
    labels: Masks,
    structures: Sequence[str | int] | None,
    name: str | None,
    grid: Grid,
    vocabulary: Vocabulary,
    values: Mapping[str, int] | None = None,
) -> list[Draft]:
    """Return the drafts in masks of any kind.

    Args:
        labels: Masks on the scan's grid: a label map, layers, what `read_labels` returns, a label file, or a bool array
            (i j k) of one structure.
        structures: Which of them; all that occur by default.
        name: What the one structure is to be called.
        grid: The scan's grid.
        vocabulary: The structures known so far.
        values: Label value in files by name, where it is not the structure's index.

    Raises:
        GeometryError: The masks lie on another grid, or have another shape (`DRAFT_GRID`).
        PromptError: They are no masks (`DRAFT_INVALID`), hold no such structure, or several where one is meant
            (`DRAFT_MISSING`).
        FormatError: The file cannot be read as labels.
    """
    if isinstance(labels, str | os.PathLike):
        labels = read_labels(Path(labels), like=grid)
    if isinstance(labels, np.ndarray):
        return [of_array(labels, name, grid, vocabulary)]
    if not isinstance(labels, LabelMap | LabelLayers | StoredLabels):
        raise PromptError(
            f"A {type(labels).__name__} cannot be a draft; give a label map, a label file or a bool array.",
            code="DRAFT_INVALID",
        )
    require_grid(labels.grid, grid)
    if isinstance(labels, StoredLabels):
        return of_file(labels, structures, name, vocabulary, values or {})
    return of_labels(labels, structures, name, vocabulary)


def of_labels(
    labels: Labels, structures: Sequence[str | int] | None, name: str | None, vocabulary: Vocabulary
) -> list[Draft]:
    """Return the drafts in a label map or in layers."""
    chosen = labels.present if structures is None else [labels.vocabulary[each].index for each in structures]
    if name is not None:
        require_one(chosen)
    own = own_values(labels.provenance) if name is None else {}
    drafts = []
    for index in chosen:
        target = target_of(labels.name_of(index) if name is None else name, vocabulary)
        vocabulary = extend_vocabulary(vocabulary, target)
        drafts.append(Draft(target, reader(labels, index), own.get(index)))
    return drafts


def require_grid(found: Grid, scan: Grid) -> None:
    """Refuse masks on other voxels than the scan's, and warn where they lie a good way off.

    Raises:
        GeometryError: They lie more than a quarter of a voxel off (`DRAFT_GRID`).
    """
    finest = min(scan.spacing_mm)
    apart = found.distance_to(scan)
    if apart > REFUSED * finest:
        raise GeometryError(
            "The labels lie on another grid than the scan; resample them to it first.", code="DRAFT_GRID"
        )
    if apart > TOLD * finest:
        warnings.warn(
            f"The labels lie up to {apart:.2f} mm from the scan's voxels; they were put on the nearest. Were they "
            "drawn on another scan?",
            ProsectWarning,
            stacklevel=4,
        )


def of_array(array: NDArray[np.generic], name: str | None, grid: Grid, vocabulary: Vocabulary) -> Draft:
    """Return the draft in a bool array (i j k)."""
    if array.dtype != np.bool_:
        raise PromptError(
            f"An array of {array.dtype} cannot be a draft; give a bool mask of one structure, such as `labels == 3`.",
            code="DRAFT_INVALID",
        )
    if array.shape != grid.shape:
        raise GeometryError(
            f"The mask has shape {array.shape}, the scan {grid.shape}; give the mask on the scan's own voxels.",
            code="DRAFT_GRID",
        )
    if name is None:
        raise PromptError("Say by `name` which structure the mask is.", code="STRUCTURE_MISSING")
    return Draft(target_of(name, vocabulary), lambda: np.asarray(array, dtype=np.bool_))


def with_names(stored: StoredLabels, values: Mapping[str, int]) -> StoredLabels:
    """Return what a file without names holds, with the names that a model has for its values.

    Without them, value 1 of a finetuned model would be taken as the vocabulary's structure 1.
    """
    if stored.names or not values:
        return stored
    return replace(stored, names={value: name for name, value in values.items()})


def of_file(
    stored: StoredLabels,
    structures: Sequence[str | int] | None,
    name: str | None,
    vocabulary: Vocabulary,
    own: Mapping[str, int],
) -> list[Draft]:
    """Return the drafts in what a label file holds.

    Labels are found by the names in the file; those of one name are one structure. Those without a name are found by
    the model's own values, or else by the vocabulary's indices; a single one is the mask of the one structure that is
    asked for.
    """
    values = [value for value in (stored.layers or np.unique(stored.array).tolist()) if value]
    if len(values) > 1 or (structures is None and name is None):
        stored = with_names(stored, own)
    if name is not None:
        only = len(values) == 1 and structures is None
        wanted = name if structures is None else one_of(structures)
        found = values if only else values_of(wanted, values, stored, vocabulary, alone=True)
        chosen: list[tuple[str | int, list[int]]] = [(name, found)]
    elif structures is None:
        chosen = all_of(values, stored)
    else:
        alone = len(structures) == 1
        chosen = [(each, values_of(each, values, stored, vocabulary, alone)) for each in structures]
    drafts = []
    for structure, held in chosen:
        target = target_of(structure, vocabulary)
        vocabulary = extend_vocabulary(vocabulary, target)
        drafts.append(Draft(target, stored_reader(stored, held)))
    return drafts


def all_of(values: Sequence[int], stored: StoredLabels) -> list[tuple[str | int, list[int]]]:
    """Return every structure of a file with its label values.

    Raises:
        PromptError: A label has an empty name (`DRAFT_MISSING`).
    """
    together: dict[str | int, tuple[str | int, list[int]]] = {}
    for value in values:
        called = stored.names.get(value, value)
        if called == "":
            raise PromptError(
                f"The segment {value} of the file has no name. Name it where the file was made, or say by `structures` "
                "which of the others are meant.",
                code="DRAFT_MISSING",
            )
        # Some programs keep a segment for the background.
        if is_background(called):
            continue
        key = spelling(called) if isinstance(called, str) else called
        together.setdefault(key, (called, []))[1].append(value)
    return list(together.values())


def values_of(
    structure: str | int, values: Sequence[int], stored: StoredLabels, vocabulary: Vocabulary, alone: bool
) -> list[int]:
    """Return the label values of a structure in a file: several where the file gives its name to several.

    Args:
        structure: Its name or index.
        values: The label values in the file.
        stored: The file.
        vocabulary: The structures known so far.
        alone: Whether a single label is that structure, whatever the file calls it by number.

    Raises:
        PromptError: The file does not hold it (`DRAFT_MISSING`).
    """
    target = target_of(structure, vocabulary)
    named = [value for value in values if spelling(stored.names.get(value, "")) == spelling(target.name)]
    if named:
        return named
    unnamed = [value for value in values if value not in stored.names]
    if alone and len(values) == len(unnamed) == 1:
        return [values[0]]
    if target.index in unnamed:
        return [target.index]
    found = ", ".join(f"{value} '{stored.names[value]}'" if value in stored.names else f"{value}" for value in values)
    raise PromptError(f"The labels hold no '{target.name}'; they are: {found or 'none'}.", code="DRAFT_MISSING")


def one_of(structures: Sequence[str | int]) -> str | int:
    """Return the only structure of a list."""
    require_one(structures)
    return structures[0]


def require_one(structures: Sequence[object]) -> None:
    """Refuse a name for several structures.

    Raises:
        PromptError: There are several, or none (`DRAFT_MISSING`).
    """
    if len(structures) != 1:
        raise PromptError(
            f"One name is given, but the labels hold {len(structures)} structures; choose one by `structures`.",
            code="DRAFT_MISSING",
        )


def reader(labels: Labels, index: int) -> Callable[[], Mask]:
    """Return what reads the mask of a structure from labels."""
    return lambda: np.asarray(labels.mask(index))


def stored_reader(stored: StoredLabels, values: Sequence[int]) -> Callable[[], Mask]:
    """Return what reads the mask of one or several labels from a file's content."""
    if stored.layers:
        places = [stored.layers.index(value) for value in values]
        return lambda: np.asarray(stored.array[places].any(axis=0))
    if len(values) == 1:
        return lambda: np.asarray(stored.array == values[0])
    return lambda: np.isin(stored.array, values)
