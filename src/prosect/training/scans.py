"""A list's scans as training sees them: on the network's grid, with local labels, whatever files they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.case import Case, Preparation
from prosect.data.datalist import DataList, Entry
from prosect.data.labels import TOLERANCE_MM, read_manual, read_pseudo, read_supervoxels
from prosect.errors import RecipeError
from prosect.io import read
from prosect.labelmap import LabelMap, extent
from prosect.training.patches import TrainingScan
from prosect.vocabulary import Vocabulary

__all__ = ["Numbering", "known_of", "numbering_of", "training_scan"]

MOST_NESTED = 16
LARGEST = 65535
PLACES = 2048  # voxels kept of each structure to draw patch centres from

Labels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Numbering:
    """How training numbers the structures of its scans.

    Attributes:
        vocabulary: Names the indices.
        classes: Structures of the automatic branch; the first has the local label 1.
        others: Structures that can only be clicked; their labels follow.
        bits: Structures that contain others, by the bit of the maps that hold them.
    """

    vocabulary: Vocabulary
    classes: tuple[int, ...]
    others: tuple[int, ...]
    bits: Mapping[int, int]

    @property
    def order(self) -> tuple[int, ...]:
        """All structures, in the order of their local labels."""
        return (*self.classes, *self.others)

    @property
    def nested(self) -> dict[int, int]:
        """Bit by position (q) of a structure in `order`."""
        found: dict[int, int] = {}
        for index, bit in self.bits.items():
            found[self.order.index(index)] = bit
        return found

    def table(self, wanted: Sequence[int]) -> NDArray[np.uint16]:
        """Return the local label of every vocabulary index; 0 for what is not wanted or contains others."""
        table = np.zeros(max(s.index for s in self.vocabulary) + 1, dtype=np.uint16)
        for index in wanted:
            if index in self.order and index not in self.bits:
                table[index] = self.order.index(index) + 1
        return table


def numbering_of(datalist: DataList, classes: Sequence[str | int] | None = None) -> Numbering:
    """Return the numbering for a list.

    Args:
        datalist: The list.
        classes: Structures that the automatic branch is to learn; all that the list teaches by default.

    Raises:
        RecipeError: Nothing teaches a class (`CLASS_UNTAUGHT`), or more than 16 structures contain others
            (`CLASSES_NESTED`).
        VocabularyError: A class is unknown.
    """
    words = datalist.vocabulary
    named: set[int] = set()
    for mapping in datalist.mappings.values():
        named.update(mapping.taught)
    taught = sorted(named | set(datalist.pseudo_classes or ()))
    wanted = taught
    if classes is not None:
        wanted = [words[each].index for each in classes]
    untaught = []
    for index in wanted:
        if index not in taught:
            untaught.append(words[index].name)
    if untaught:
        raise RecipeError(f"No labels of the list teach {', '.join(untaught)}.", code="CLASS_UNTAUGHT")
    others = [index for index in taught if index not in wanted]
    # A structure that holds others cannot share their label value, so each of these gets a bit of its own.
    nested = []
    for index in (*wanted, *others):
        if extent(words, index, whole=True) & set(taught) - {index}:
            nested.append(index)
    if len(nested) > MOST_NESTED:
        raise RecipeError(
            f"{len(nested)} structures of the list contain others; {MOST_NESTED} can be trained together. "
            "Name fewer classes.",
            code="CLASSES_NESTED",
        )
    return Numbering(words, tuple(wanted), tuple(others), dict(zip(nested, range(len(nested)), strict=True)))


def known_of(entry: Entry, datalist: DataList, present: Sequence[int] = ()) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the structures that manual labels speak of, and those that only the pseudo-labels do.

    Args:
        entry: A scan.
        datalist: Its list.
        present: What occurs in the pseudo-labels, for lists that do not say what these were made for.
    """
    manual: tuple[int, ...] = ()
    if entry.label is not None:
        manual = datalist.known(entry)
    usable = entry.pseudo_label is not None and entry.reliability > 0
    if datalist.pseudo_classes is not None:
        made_for = datalist.pseudo_classes
    else:
        made_for = tuple(present)
    return manual, tuple(index for index in made_for if usable and index not in manual)


def training_scan(
    entry: Entry,
    datalist: DataList,
    numbering: Numbering,
    preparation: Preparation,
    tolerance_mm: float = TOLERANCE_MM,
) -> TrainingScan:
    """Return one scan of a list, prepared as inference prepares it.

    Pseudo-labels fill in where manual labels say nothing.

    Args:
        entry: The scan.
        datalist: Its list.
        numbering: How structures are numbered.
        preparation: How the network sees a scan.
        tolerance_mm: How far label voxels may lie from the scan's.

    Raises:
        FormatError: A file is missing, damaged or no image.
        RecipeError: Labels do not belong to the scan, see `read_manual`.
    """
    volume = read(entry.image)
    case = Case.prepare(volume, preparation)
    manual = None
    if entry.label is not None:
        manual = read_manual(entry, datalist, volume.grid, tolerance_mm).flatten()
    pseudo = read_pseudo(entry, datalist, volume.grid, tolerance_mm)
    regions = read_supervoxels(entry, volume.grid, tolerance_mm)
    known, filled = known_of(entry, datalist, pseudo.present if pseudo is not None else ())
    # Manual labels come first, so what they say stays; others fill only what is free.
    labels, nested = _local_labels(case, numbering, ((manual, known), (pseudo, filled)))
    spoken = np.array([index in known or index in filled for index in numbering.order], dtype=bool)
    present = _present(labels, nested, numbering)
    places = {}
    for value in present:
        places[value] = _places(labels, nested, value)
    carried_regions = None
    if regions is not None:
        carried_regions = renumber(np.asarray(case.carry_nearest(regions)))
    intensities = case.image[0, 0].numpy().astype(np.float16)
    return TrainingScan(
        entry.name, intensities, _smallest(labels), _smallest(nested), case.grid.spacing_mm, present, spoken,
        carried_regions, places,
    )  # fmt: skip


def _local_labels(
    case: Case, numbering: Numbering, sources: Sequence[tuple[LabelMap | None, Sequence[int]]]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return local labels and bits of nested structures, both (i j k) on the network's grid.

    Args:
        case: The scan made ready.
        numbering: How structures are numbered.
        sources: Labels on the scan's voxels, each with the structures that it speaks of; an earlier one counts first.
    """
    labels = np.zeros(case.grid.shape, dtype=np.uint16)
    nested = np.zeros(case.grid.shape, dtype=np.uint16)
    for source, spoken_of in sources:
        if source is None or not spoken_of:
            continue
        carried = np.asarray(case.carry_nearest(source.array))
        labels = np.where(labels == 0, numbering.table(spoken_of)[carried], labels)
        for index, bit in numbering.bits.items():
            if index in spoken_of:
                nested |= _inside(carried, numbering.vocabulary, index).astype(np.uint16) << bit
    return labels, nested


def _inside(carried: Labels, words: Vocabulary, index: int) -> NDArray[np.bool_]:
    """Return where a structure or what it contains is labelled."""
    table = np.zeros(max(s.index for s in words) + 1, dtype=bool)
    table[list(extent(words, index, whole=True))] = True
    return np.asarray(table[carried])


def _present(labels: Labels, nested: Labels, numbering: Numbering) -> tuple[int, ...]:
    counts = np.bincount(labels.ravel(), minlength=len(numbering.order) + 1)
    found = []
    for value in range(1, len(counts)):
        if counts[value]:
            found.append(value)
    return (*found, *(-1 - bit for bit in numbering.bits.values() if ((nested >> bit) & 1).any()))


def _places(labels: Labels, nested: Labels, value: int) -> NDArray[np.int64]:
    """Return some voxels of a structure, the same ones for the same scan."""
    flat = np.flatnonzero(labels == value if value > 0 else (nested >> (-1 - value)) & 1)
    if len(flat) > PLACES:
        flat = np.sort(np.random.default_rng(len(flat)).choice(flat, PLACES, replace=False))
    return flat.astype(np.int64)


def renumber(regions: NDArray[Any]) -> NDArray[np.uint16]:
    """Return regions numbered from 1 without gaps, 0 staying 0."""
    values, inverse = np.unique(regions, return_inverse=True)
    if len(values) > LARGEST:
        raise RecipeError(
            f"{len(values)} supervoxels in one scan; {LARGEST} can be told apart. Make fewer (--segments).",
            code="DATALIST_UNFIT",
        )
    first = 1
    if len(values) and values[0] == 0:
        first = 0
    return (inverse.reshape(regions.shape) + first).astype(np.uint16)


def _smallest(values: NDArray[np.uint16]) -> Labels:
    if int(values.max(initial=0)) < 256:
        return values.astype(np.uint8)
    return values
