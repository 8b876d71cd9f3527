"""Judge label files that exist, whoever made them, by label files that are the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.data.labels import TOLERANCE_MM, refuse_other_grid, values_in
from prosect.data.mapping import LabelMapping
from prosect.data.pairs import label_files
from prosect.errors import GeometryError, ProsectError, RecipeError
from prosect.evaluation.ledger import Refused
from prosect.evaluation.report import Evaluation
from prosect.evaluation.running import section
from prosect.evaluation.scores import Row, Target, row_between
from prosect.io import read_labels
from prosect.io.formats import label_stem
from prosect.io.paths import file_name
from prosect.io.sniff import sniff
from prosect.io.stored import StoredLabels
from prosect.vocabulary import Vocabulary
from prosect.vocabulary.matching import spelling

__all__ = ["MaskPair", "evaluate_masks", "pair_masks"]

Mask = NDArray[np.bool_]

SHOWN = 3
DICOM = ("dicom", "zip")
RULE = (
    "Distances are between surfaces, in mm, where truth and result both show the structure. A structure that was "
    "missed has no distance: it counts in `missed`, and its Dice and NSD are 0. A structure found where there is none "
    "has a Dice of 0. So no mean holds a value that is no number; read the distances beside `missed`."
)


@dataclass(frozen=True)
class MaskPair:
    """A label file that is the truth and one that is judged by it."""

    name: str
    truth: Path
    result: Path


def pair_masks(truths: Path, results: Path) -> tuple[MaskPair, ...]:
    """Return the pairs of two files, or of the label files in two folders whose names are one but for their endings.

    Raises:
        RecipeError: A truth has no result, a result no truth, two files have one name, or there are none
            (`DATALIST_INVALID`).
    """
    if truths.is_file() and results.is_file():
        return (MaskPair(label_stem(truths.name), truths, results),)
    first, second = label_files(truths), label_files(results)
    for here, there, what in ((first, second, "result for the truth"), (second, first, "truth for the result")):
        alone = sorted(here.keys() - there.keys())
        if alone:
            names = ", ".join(here[stem].name for stem in alone[:SHOWN])
            more = ""
            if len(alone) > SHOWN:
                more = f" and {len(alone) - SHOWN} more"
            raise RecipeError(
                f"There is no {what} {names}{more}. Files of one name belong together; a missing result must not go "
                "uncounted. Add what is missing, or take these out of the folder.",
                code="DATALIST_INVALID",
            )
    if not first:
        raise RecipeError(f"{file_name(truths)}: no label file is in the folder.", code="DATALIST_INVALID")
    return tuple(MaskPair(stem, first[stem], second[stem]) for stem in sorted(first))


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
            and values without a name are what they are.
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
    if mapping is None:
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


def read_pair(pair: MaskPair) -> tuple[StoredLabels, StoredLabels]:
    """Return truth and result; DICOM labels are put on the voxels of the other, for a SEG holds labelled slices alone.

    Raises:
        ProsectError: A file cannot be read, or does not lie where the other does.
    """
    if sniff_content(pair.truth) not in DICOM:
        truth = read_labels(pair.truth)
        return truth, read_labels(pair.result, like=truth.grid)
    result = read_labels(pair.result)
    try:
        return read_labels(pair.truth, like=result.grid), result
    except GeometryError:
        # Of two SEGs either can hold more slices than the other.
        if sniff_content(pair.result) not in DICOM:
            raise
        truth = read_labels(pair.truth)
        return truth, read_labels(pair.result, like=truth.grid)


def sniff_content(path: Path) -> str:
    """Return what the bytes of a file are; a folder can hold DICOM alone."""
    return "dicom" if path.is_dir() else sniff(path).kind


def by_own_names(stored: StoredLabels, other: Mapping[int, str]) -> dict[str, tuple[Target, Mask]]:
    """Return the masks of a file by the spelling of their names; a value without one has that of the other file."""
    found: dict[str, tuple[Target, Mask]] = {}
    for value in values_in(stored):
        name = stored.names.get(value) or other.get(value) or f"label {value}"
        add(found, spelling(name), Target(value, name, name), mask_of(stored, value))
    return found


def by_mapping(
    stored: StoredLabels, mapping: LabelMapping, vocabulary: Vocabulary, file: str
) -> dict[str, tuple[Target, Mask]]:
    """Return the masks of a file by the structures that a mapping says they are.

    Raises:
        RecipeError: Values are not in it (`LABELS_UNMAPPED`), or names contradict it (`LABELS_CONTRADICTED`).
    """
    present = values_in(stored)
    own = mapping.in_file(stored.names, present, vocabulary, file)
    own.require(present, file)
    found: dict[str, tuple[Target, Mask]] = {}
    for value in present:
        index = own.meaning(value)
        if index is not None:
            name = vocabulary[index].name
            add(found, spelling(name), Target(index, name, name), mask_of(stored, value))
    for index, values in own.regions.items():
        name = vocabulary[index].name
        for value in set(values) & set(present):
            add(found, spelling(name), Target(index, name, name), mask_of(stored, value))
    return found


def add(found: dict[str, tuple[Target, Mask]], key: str, target: Target, mask: Mask) -> None:
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
