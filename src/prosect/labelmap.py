"""The result: label values, or one mask per structure, on a grid, with the vocabulary that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.display import ShownLabels, in_words, sizes, spacings
from prosect.errors import FormatError, GeometryError
from prosect.geometry import Grid
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["HasVocabulary", "LabelLayers", "LabelMap", "Labels", "smallest_container"]

Mask: TypeAlias = NDArray[np.bool_]
LabelArray: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

# Voxels counted at a time: bincount widens each to eight bytes.
CHUNK = 1 << 22


class Labels(Protocol):
    """What was found in a scan, whether structures may overlap or not: a `LabelMap` or `LabelLayers`."""

    @property
    def grid(self) -> Grid:
        """The geometry of the voxels."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Names the structures."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """How the labels came about."""

    @property
    def voxel_counts(self) -> Mapping[int, int]:
        """Number of voxels by structure, ascending; structures without any are left out."""

    @property
    def present(self) -> tuple[int, ...]:
        """The structures that have a voxel, ascending."""

    @property
    def sought(self) -> tuple[int, ...]:
        """The structures that were looked for, found or not, ascending."""

    def mask(self, structure: str | int, *, whole: bool = False) -> Mask:
        """Return where a structure is (i j k), with its parts; see `LabelMap.mask`."""

    def own_mask(self, index: int) -> Mask:
        """Return the voxels that carry a structure's own label (i j k): those that statistics count."""

    def flat_parts(self) -> Iterator[tuple[tuple[int, ...], LabelArray]]:
        """Yield structures with label values (i j k), in which no two of them claim a voxel."""

    def flatten(self) -> LabelMap:
        """Return one label per voxel."""

    def crop(self, box: Box) -> Labels:
        """Return the labels in a box of their grid."""

    def name_of(self, index: int) -> str:
        """Return the name of a structure."""


class NamedLabels(ShownLabels):
    """What label maps and layers share: how much there is of each structure, and how that is shown."""

    def volumes(self) -> dict[str, float]:
        """Return the volume in mL of each structure that was found, by name, the largest first."""
        labels = cast(Labels, self)
        counts = sorted(labels.voxel_counts.items(), key=lambda item: -item[1])
        voxel_ml = labels.grid.voxel_volume_ml
        return {labels.name_of(index): count * voxel_ml for index, count in counts}

    def _facts(self) -> tuple[str, ...]:
        grid = cast(Labels, self).grid
        return sizes(grid.shape), spacings(grid.spacing_mm), in_words(self.volumes())

    def _scene(self) -> tuple[None, Any]:
        return None, self


@dataclass(frozen=True, eq=False, repr=False)
class LabelMap(NamedLabels):
    """One label value per voxel.

    Args:
        array: Label values (i j k) of any integer type; kept read-only as the smallest of uint8 and uint16 that holds
            the largest value. 0 is background.
        grid: Its geometry.
        vocabulary: Names the values.
        provenance: How it came about.

    Raises:
        FormatError: Not three-dimensional (`LABELS_NOT_3D`), not of integer type (`LABELS_NOT_INTEGER`), or values
            below 0 or above 65535 (`LABELS_OUT_OF_RANGE`).
        GeometryError: Array and grid differ in shape.
    """

    array: LabelArray
    grid: Grid
    vocabulary: Vocabulary
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        check_shape(array, self.grid)
        if array.dtype.kind not in "iu":
            raise FormatError(
                f"Labels must be integers, not {array.dtype}; round and convert them first.", code="LABELS_NOT_INTEGER"
            )
        object.__setattr__(self, "array", smallest(array))
        object.__setattr__(self, "provenance", dict(self.provenance))

    @cached_property
    def voxel_counts(self) -> Mapping[int, int]:
        """Number of voxels by label value, ascending, without the background."""
        counts = count_values(self.array)
        counts[0] = 0
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}

    @property
    def present(self) -> tuple[int, ...]:
        """The label values that occur, ascending, without the background."""
        return tuple(self.voxel_counts)

    @property
    def sought(self) -> tuple[int, ...]:
        """The structures that were looked for, found or not, and all that occur, ascending."""
        return sought_structures(self.provenance, self.present)

    def mask(self, structure: str | int, *, whole: bool = False) -> Mask:
        """Return where a structure is (i j k).

        A structure that has parts, such as a group, is the union of itself and its parts.

        Args:
            structure: Its name or index.
            whole: Count what lies inside it as well: in a flat map the voxels of `body` are only those that no organ
                claims.

        Raises:
            VocabularyError: The vocabulary does not know it (`STRUCTURE_UNKNOWN`).
        """
        wanted = extent(self.vocabulary, structure, whole) & set(self.present)
        if len(wanted) == 1:  # a comparison is several times as fast as a look-up
            return np.asarray(self.array == wanted.pop())
        # One look-up for each voxel, however many structures the union has.
        table = np.zeros(np.iinfo(self.array.dtype).max + 1, dtype=bool)
        table[list(wanted)] = True
        return np.asarray(table[self.array])

    def own_mask(self, index: int) -> Mask:
        """Return the voxels that carry a label value (i j k), without those of its parts."""
        return np.asarray(self.array == index)

    def flat_parts(self) -> Iterator[tuple[tuple[int, ...], LabelArray]]:
        """Yield the label values that occur with the array (i j k); nothing where none occurs."""
        if self.present:
            yield self.present, self.array

    def flatten(self) -> LabelMap:
        """Return the label map itself."""
        return self

    def crop(self, box: Box) -> LabelMap:
        """Return the labels in a box of their grid."""
        return replace(self, array=self.array[box.slices], grid=self.grid.crop(box.start, box.stop))

    def name_of(self, index: int) -> str:
        """Return the name of a label value; 0 is `background`.

        Raises:
            VocabularyError: The vocabulary does not know it (`STRUCTURE_UNKNOWN`).
        """
        return "background" if index == 0 else self.vocabulary[index].name


@dataclass(frozen=True, eq=False, repr=False)
class LabelLayers(NamedLabels):
    """One mask per structure; they may overlap.

    Args:
        masks: Masks (c i j k), bool or uint8 of 0 and 1; kept read-only as bool.
        indices: The structure of each mask.
        grid: Their geometry.
        vocabulary: Names the indices.
        provenance: How they came about.

    Raises:
        FormatError: Not masks (`LABELS_NOT_MASKS`), or not one per structure (`LABELS_OUT_OF_RANGE`).
        GeometryError: Masks and grid differ in shape.
        VocabularyError: The vocabulary does not know a structure (`STRUCTURE_UNKNOWN`).
    """

    masks: Mask
    indices: tuple[int, ...]
    grid: Grid
    vocabulary: Vocabulary
    provenance: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        masks = np.asarray(self.masks)
        if masks.ndim != 4:
            raise FormatError(
                f"Layers must have the axes c i j k; the shape is {masks.shape}.", code="LABELS_NOT_MASKS"
            )
        # Without any layer there is nothing to compare with the grid.
        check_shape(masks[0] if len(masks) else np.empty(self.grid.shape, bool), self.grid)
        indices = tuple(self.vocabulary[index].index for index in self.indices)
        if len(indices) != len(masks) or len(set(indices)) != len(indices):
            raise FormatError(
                f"{len(masks)} masks need as many different structures, not {indices}.", code="LABELS_OUT_OF_RANGE"
            )
        object.__setattr__(self, "masks", as_masks(masks))
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "provenance", dict(self.provenance))

    @cached_property
    def voxel_counts(self) -> Mapping[int, int]:
        """Number of voxels by structure, ascending; structures without any are left out."""
        counts: dict[int, int] = {}
        for index, mask in sorted(zip(self.indices, self.masks, strict=True), key=lambda layer: layer[0]):
            count = int(np.count_nonzero(mask))
            if count:
                counts[index] = count
        return counts

    @property
    def present(self) -> tuple[int, ...]:
        """The structures that have a voxel, ascending."""
        return tuple(self.voxel_counts)

    @property
    def sought(self) -> tuple[int, ...]:
        """The structures that were looked for, found or not, ascending."""
        return sought_structures(self.provenance, self.indices)

    def mask(self, structure: str | int, *, whole: bool = False) -> Mask:
        """Return where a structure is (i j k); all False where it has no layer.

        Args:
            structure: Its name or index; parts and `whole` are as in `LabelMap.mask`.
            whole: Count what lies inside it as well.

        Raises:
            VocabularyError: The vocabulary does not know it (`STRUCTURE_UNKNOWN`).
        """
        wanted = extent(self.vocabulary, structure, whole)
        chosen = [mask for i, mask in zip(self.indices, self.masks, strict=True) if i in wanted]
        if not chosen:
            return np.zeros(self.grid.shape, dtype=bool)
        return np.asarray(chosen[0] if len(chosen) == 1 else np.logical_or.reduce(chosen))

    def own_mask(self, index: int) -> Mask:
        """Return the layer of a structure (i j k), without those of its parts; all False where it has none."""
        if index not in self.indices:
            return np.zeros(self.grid.shape, dtype=bool)
        return np.asarray(self.masks[self.indices.index(index)])

    def flat_parts(self) -> Iterator[tuple[tuple[int, ...], LabelArray]]:
        """Yield each structure, ascending, with its layer as label values (i j k)."""
        for index, mask in sorted(zip(self.indices, self.masks, strict=True), key=lambda layer: layer[0]):
            yield (index,), np.where(mask, np.uint16(index), np.uint16(0))

    def crop(self, box: Box) -> LabelLayers:
        """Return the layers in a box of their grid."""
        masks = self.masks[(slice(None), *box.slices)]
        return replace(self, masks=masks, grid=self.grid.crop(box.start, box.stop))

    def flatten(self, order: Sequence[str | int] | None = None) -> LabelMap:
        """Return one label per voxel; where masks overlap, all but one structure lose the voxel.

        Args:
            order: Every structure of these layers once, from the bottom to the top: a later one covers those before
                it. By default containers lie lowest and overlapping structures highest, and among equals a later
                layer covers an earlier one.

        Raises:
            FormatError: `order` does not name each structure of the layers exactly once (`LABELS_ORDER`).
        """
        stack = self._by_tier() if order is None else tuple(self.vocabulary[s].index for s in order)
        if sorted(stack) != sorted(self.indices):
            raise FormatError(
                f"The order {list(stack)} must name each of {list(self.indices)} exactly once.", code="LABELS_ORDER"
            )
        array = np.zeros(self.grid.shape, dtype=np.uint8 if max(stack, default=0) < 256 else np.uint16)
        for index in stack:
            array[self.masks[self.indices.index(index)]] = index
        names = [self.vocabulary[index].name for index in stack]
        return LabelMap(array, self.grid, self.vocabulary, {**self.provenance, "flattened_bottom_to_top": names})

    def name_of(self, index: int) -> str:
        """Return the name of a structure.

        Raises:
            VocabularyError: The vocabulary does not know it (`STRUCTURE_UNKNOWN`).
        """
        return self.vocabulary[index].name

    def _by_tier(self) -> tuple[int, ...]:
        tiers = dict(zip(self.indices, self.vocabulary.tiers(self.indices), strict=True))
        return tuple(sorted(self.indices, key=tiers.__getitem__))


def count_values(array: LabelArray) -> NDArray[np.int64]:
    """Return how many voxels of label values (i j k) have each value that their type can hold."""
    flat = array.ravel(order="K")
    counts = np.zeros(np.iinfo(array.dtype).max + 1, dtype=np.int64)
    for start in range(0, flat.size, CHUNK):
        counts += np.bincount(flat[start : start + CHUNK], minlength=counts.size)
    return counts


def sought_structures(provenance: Mapping[str, object], there: Sequence[int]) -> tuple[int, ...]:
    """Return the structures that provenance says were looked for (its `classes`), and those that are there."""
    classes = provenance.get("classes", ())
    looked_for = classes if isinstance(classes, list | tuple) else ()
    return tuple(sorted({*there, *map(int, looked_for)}))


def check_shape(array: NDArray[Any], grid: Grid) -> None:
    """Refuse an array (i j k) that does not fit its grid."""
    if array.ndim != 3:
        raise FormatError(f"An array of shape {array.shape} is not a 3D label map.", code="LABELS_NOT_3D")
    if array.shape != grid.shape:
        raise GeometryError(f"The labels have shape {array.shape} but their grid {grid.shape}.")


def smallest(array: NDArray[Any]) -> LabelArray:
    """Return a read-only view or copy of the array (i j k) in the smallest label type that holds its largest value."""
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise FormatError(f"Label values run from {low} to {high}; 0 to 65535 can be kept.", code="LABELS_OUT_OF_RANGE")
    kept: LabelArray = array.astype(np.uint8, copy=False) if high <= 255 else array.astype(np.uint16, copy=False)
    kept = kept.view()
    kept.setflags(write=False)
    return kept


def as_masks(array: NDArray[Any]) -> Mask:
    """Return a read-only bool view of masks (c i j k)."""
    if array.dtype != np.bool_ and (array.dtype != np.uint8 or (array.size and int(array.max()) > 1)):
        raise FormatError(f"Masks must be bool, or uint8 of 0 and 1; found {array.dtype}.", code="LABELS_NOT_MASKS")
    masks = array.view(np.bool_)
    masks.setflags(write=False)
    return masks


class HasVocabulary(Protocol):
    """Whatever names structures."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Names the structures."""


def smallest_container(index: int, asked: Sequence[int], names: HasVocabulary) -> int:
    """Return which of the structures asked for contains another and little else; 0 where none does."""
    contents = {other: extent(names.vocabulary, other, whole=True) for other in asked if other != index}
    around = [other for other, content in contents.items() if index in content]
    return min(around, key=lambda other: len(contents[other]), default=0)


def extent(vocabulary: Vocabulary, request: str | int, whole: bool) -> set[int]:
    """Return the label values that together are a structure."""
    found: set[int] = set()
    todo: list[Structure] = [vocabulary[request]]
    while todo:
        structure = todo.pop()
        if structure.index not in found:
            found.add(structure.index)
            todo += [vocabulary[i] for i in (*structure.parts, *(structure.contains if whole else ()))]
    return found
