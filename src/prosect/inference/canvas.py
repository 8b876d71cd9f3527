"""What labels are painted on before they are finished: one flat map, or one mask for each structure.

Whoever corrects painted labels, such as by leaving out crumbs, need not know which of the two they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap, count_values
from prosect.vocabulary import Vocabulary

__all__ = ["Canvas", "FlatCanvas", "LayeredCanvas", "Painting"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Painting:
    """One array that is to be painted.

    Attributes:
        shown: The structures that it shows.
        values: The value that each of them has in the array.
    """

    shown: tuple[int, ...]
    values: tuple[int, ...]


class Canvas(Protocol):
    """Painted labels that may still be changed."""

    @property
    def indices(self) -> tuple[int, ...]:
        """The structures that were asked for."""

    def counts(self) -> dict[int, int]:
        """Return how many voxels each structure has."""

    def box(self, index: int) -> Box:
        """Return the smallest box that holds a structure; an empty one where it was not found."""

    def mask(self, index: int, box: Box) -> Mask:
        """Return where a structure is in a box (i j k)."""

    def add(self, index: int, box: Box, voxels: Mask, over: int) -> int:
        """Give voxels to a structure, in place, and return how many it took.

        Args:
            index: The structure.
            box: Where.
            voxels: Which voxels of the box (i j k); none of them is the structure's.
            over: The structure that contains it. Where only one can have a voxel, it takes those of this one and of
                nobody's; 0 is none.
        """

    def drop(self, index: int, box: Box, voxels: Mask, fall_to: int) -> None:
        """Take voxels from a structure, in place.

        Args:
            index: The structure.
            box: Where.
            voxels: Which voxels of the box (i j k); all of them are the structure's.
            fall_to: The structure that contains them, which takes them over where only one can have a voxel; 0 is
                none.
        """

    def finish(self, grid: Grid, vocabulary: Vocabulary, provenance: Mapping[str, object]) -> LabelMap | LabelLayers:
        """Return the labels, which nobody changes any more."""


@dataclass(frozen=True, eq=False)
class FlatCanvas:
    """One label value per voxel.

    Attributes:
        array: Label values (i j k).
        indices: The structures that were asked for.
    """

    array: NDArray[Any]
    indices: tuple[int, ...]

    @classmethod
    def paintings(cls, indices: Sequence[int]) -> tuple[Painting, ...]:
        """Return what is to be painted: one array of all structures."""
        return (Painting(tuple(indices), tuple(indices)),)

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]], indices: Sequence[int]) -> FlatCanvas:
        """Return the canvas of the arrays that were painted."""
        (array,) = arrays
        return cls(array, tuple(indices))

    def counts(self) -> dict[int, int]:
        """Return how many voxels each structure has."""
        counts = count_values(self.array)
        found: dict[int, int] = {}
        for index in self.indices:
            found[index] = int(counts[index])
        return found

    def box(self, index: int) -> Box:
        """Return the smallest box that holds a structure."""
        return Box.of_value(self.array, index)

    def mask(self, index: int, box: Box) -> Mask:
        """Return where a structure is in a box (i j k)."""
        return np.asarray(self.array[box.slices] == index)

    def add(self, index: int, box: Box, voxels: Mask, over: int) -> int:
        """Give voxels of nobody, or of the structure that contains it, to a structure, in place."""
        view = self.array[box.slices]
        taken = voxels & ((view == 0) | (view == over))
        view[taken] = index
        return int(np.count_nonzero(taken))

    def drop(self, index: int, box: Box, voxels: Mask, fall_to: int) -> None:
        """Give voxels of a structure to the one that contains them, in place."""
        # A slice is a view, so this writes into the array itself.
        self.array[box.slices][voxels] = fall_to

    def finish(self, grid: Grid, vocabulary: Vocabulary, provenance: Mapping[str, object]) -> LabelMap:
        """Return the label map; the array becomes its own."""
        return LabelMap(self.array, grid, vocabulary, provenance)


@dataclass(frozen=True, eq=False)
class LayeredCanvas:
    """One mask for each structure; they may overlap.

    Attributes:
        masks: By index, each (i j k) of 0 and 1.
    """

    masks: Mapping[int, NDArray[Any]]

    @classmethod
    def paintings(cls, indices: Sequence[int]) -> tuple[Painting, ...]:
        """Return what is to be painted: an array for each structure."""
        return tuple(Painting((index,), (1,)) for index in indices)

    @classmethod
    def of(cls, arrays: Sequence[NDArray[Any]], indices: Sequence[int]) -> LayeredCanvas:
        """Return the canvas of the arrays that were painted."""
        return cls(dict(zip(indices, arrays, strict=True)))

    @property
    def indices(self) -> tuple[int, ...]:
        """The structures that were asked for."""
        return tuple(self.masks)

    def counts(self) -> dict[int, int]:
        """Return how many voxels each structure has."""
        found: dict[int, int] = {}
        for index, mask in self.masks.items():
            found[index] = int(np.count_nonzero(mask))
        return found

    def box(self, index: int) -> Box:
        """Return the smallest box that holds a structure."""
        return Box.of_value(self.masks[index], 1)

    def mask(self, index: int, box: Box) -> Mask:
        """Return where a structure is in a box (i j k)."""
        return np.asarray(self.masks[index][box.slices] != 0)

    def add(self, index: int, box: Box, voxels: Mask, over: int) -> int:
        """Give voxels to a structure, in place; what contains it keeps them in its own mask."""
        self.masks[index][box.slices][voxels] = 1
        return int(np.count_nonzero(voxels))

    def drop(self, index: int, box: Box, voxels: Mask, fall_to: int) -> None:
        """Take voxels from a structure, in place; what contains them has them in its own mask already."""
        self.masks[index][box.slices][voxels] = 0

    def finish(self, grid: Grid, vocabulary: Vocabulary, provenance: Mapping[str, object]) -> LabelLayers:
        """Return the layers."""
        return LabelLayers(np.stack(list(self.masks.values())), self.indices, grid, vocabulary, provenance)
