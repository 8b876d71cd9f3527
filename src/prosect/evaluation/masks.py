"""Judge label files that exist, whoever made them, by label files that are the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.data.labels import TOLERANCE_MM, refuse_other_grid, values_in
from prosect.data.mapping import LabelMapping
from prosect.errors import ProsectError
from prosect.evaluation.ledger import Refused
from prosect.evaluation.mask_pairs import MaskPair, read_pair
from prosect.evaluation.report import Evaluation
from prosect.evaluation.running import section
from prosect.evaluation.scores import Row, Target, row_between
from prosect.io.paths import file_name
from prosect.io.stored import StoredLabels
from prosect.vocabulary import Structure, Vocabulary
from prosect.vocabulary.matching import spelling

__all__ = ["evaluate_masks"]

Mask = NDArray[np.bool_]
# By the spelling of the structure's name.
Masks: TypeAlias = dict[str, tuple[Target, Mask]]

RULE = (
    "Distances are between surfaces, in mm, where truth and result both show the structure. A structure that was "
    "missed has no distance: it counts in `missed`, and its Dice and NSD are 0. A structure found where there is none "
    "has a Dice of 0. So no mean holds a value that is no number; read the distances beside `missed`."
)


def evaluate_masks(
    pairs: Sequence[MaskPair],
    mapping: LabelMapping | None,
    vocabulary: Vocabulary,
    nsd_mm: float,
    settings: Mapping[str, Any],
    tolerance_mm: float = TOLERANCE_MM,
    seed: int = 0,
) -> Evaluation:
    """Return how well results agree with truths; a pair that cannot be read is noted, and the others go on.

    Args:
        pairs: The files.
        mapping: What label values or names mean, in truths and results alike; None where the names in the files say it,
            and values without a name are what they are. What a pair brings itself is about its truth and comes first.
        vocabulary: Names the structures of the mapping.
        nsd_mm: Tolerance of the surface Dice.
        settings: What is said of the evaluation.
        tolerance_mm: How far the voxels of the two may lie apart.
        seed: Of the intervals.
    """
    rows: list[Row] = []
    refused: list[Refused] = []
    for pair in pairs:
        try:
            rows += judge_pair(pair, mapping, vocabulary, nsd_mm, tolerance_mm)
        except ProsectError as error:
            refused.append(Refused(pair.name, error.code, str(error)))
    sections = []
    if rows:
        sections.append(section("Masks", "masks", rows, 0, np.random.default_rng(seed)))
    return Evaluation(settings=settings, rows=rows, sections=sections, refused=refused, notes=[RULE])


def judge_pair(
    pair: MaskPair, mapping: LabelMapping | None, vocabulary: Vocabulary, nsd_mm: float, tolerance_mm: float
) -> list[Row]:
    """Return a row for every structure that the truth or the result of one pair shows.

    Raises:
        ProsectError: A file cannot be read, lies elsewhere than the other, or holds values that the mapping lacks.
    """
    truth, result = read_pair(pair)
    refuse_other_grid(result.grid, truth.grid, file_name(pair.result), tolerance_mm)
    if pair.mapping is not None:
        own = by_list(truth, result, pair.mapping, vocabulary, pair)
    elif mapping is None:
        own = by_own_names(truth, result.names), by_own_names(result, truth.names)
    else:
        own = (
            by_mapping(truth, mapping, vocabulary, pair.truth.name),
            by_mapping(result, mapping, vocabulary, pair.result.name),
        )
    nothing = np.zeros(truth.grid.shape, dtype=np.bool_)
    targets = {key: target for masks in reversed(own) for key, (target, _) in masks.items()}
    rows: list[Row] = []
    for key, target in targets.items():
        # What one of the two does not show is empty there: a miss, or a finding where there is nothing.
        _, actual = own[0].get(key, (target, nothing))
        _, found = own[1].get(key, (target, nothing))
        rows.append(row_between(pair.name, "", target, found, actual, truth.grid, 0, 0.0, nsd_mm, distances=True))
    return rows


def by_own_names(stored: StoredLabels, other: Mapping[int, str]) -> Masks:
    """Return the masks of a file by the spelling of their names; a value without one has that of the other file."""
    found: Masks = {}
    for value in values_in(stored):
        name = stored.names.get(value) or other.get(value) or f"label {value}"
        add(found, spelling(name), Target(value, name, name), mask_of(stored, value))
    return found


def by_list(
    truth: StoredLabels, result: StoredLabels, mapping: LabelMapping, vocabulary: Vocabulary, pair: MaskPair
) -> tuple[Masks, Masks]:
    """Return the masks of truth and result as a list says what the truth means.

    A result that names its values is read by these names, whatever their numbers. Of it only those structures count
    that the truth was labelled for: about the others the truth says nothing.

    Raises:
        RecipeError: As in `by_mapping`.
    """
    actual = by_mapping(truth, mapping, vocabulary, file_name(pair.truth))
    if not result.names:
        return actual, by_mapping(result, mapping, vocabulary, file_name(pair.result))
    found: Masks = {}
    for value in values_in(result):
        structure = vocabulary.get(result.names.get(value, ""))
        if structure is not None and structure.index in mapping.known():
            add(found, spelling(structure.name), target_of(structure), mask_of(result, value))
    return actual, found


def target_of(structure: Structure) -> Target:
    """Return a structure as what is judged."""
    return Target(structure.index, structure.name, structure.name)


def by_mapping(stored: StoredLabels, mapping: LabelMapping, vocabulary: Vocabulary, file: str) -> Masks:
    """Return the masks of a file by the structures that a mapping says they are.

    Raises:
        RecipeError: Values are not in it (`LABELS_UNMAPPED`), or names contradict it (`LABELS_CONTRADICTED`).
    """
    present = values_in(stored)
    own = mapping.in_file(stored.names, present, vocabulary, file)
    own.require(present, file)
    found: Masks = {}
    for value in present:
        index = own.meaning(value)
        if index is not None:
            structure = vocabulary[index]
            add(found, spelling(structure.name), target_of(structure), mask_of(stored, value))
    for index, values in own.regions.items():
        structure = vocabulary[index]
        for value in set(values) & set(present):
            add(found, spelling(structure.name), target_of(structure), mask_of(stored, value))
    return found


def add(found: Masks, key: str, target: Target, mask: Mask) -> None:
    """Add a mask; several values that mean one structure are united."""
    if key in found:
        target, mask = found[key][0], found[key][1] | mask
    found[key] = (target, mask)


def mask_of(stored: StoredLabels, value: int) -> Mask:
    """Return where a file has a label value (i j k)."""
    if not stored.layers:
        return np.asarray(stored.array == value)
    own = []
    for n, label in enumerate(stored.layers):
        if label == value:
            own.append(n)
    return np.asarray(stored.array[own].any(axis=0))
