"""A scan with what is known about it, and about which structures nothing is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.errors import GeometryError
from prosect.labelmap import Labels
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["LabelledScan"]


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A scan and its labels, which may be partial.

    Attributes:
        name: The case.
        volume: The scan.
        labels: Labels by the vocabulary's indices, on the scan's grid.
        known: Structures that were looked for, ascending: where they are not labelled they are not there. Of any other
            structure the labels say nothing, neither that it is there nor that it is not.
        dataset: The set of scans it comes from.

    Raises:
        GeometryError: The labels lie on another grid.
    """

    name: str
    volume: Volume
    labels: Labels
    known: tuple[int, ...]
    dataset: str = ""

    def __post_init__(self) -> None:
        if self.labels.grid.shape != self.volume.grid.shape:
            raise GeometryError(
                f"{self.name}: the labels have shape {self.labels.grid.shape} but the scan {self.volume.grid.shape}."
            )
        object.__setattr__(self, "known", tuple(sorted(self.known)))

    @property
    def vocabulary(self) -> Vocabulary:
        """Names the indices."""
        return self.labels.vocabulary

    def truth(self, structure: str | int) -> NDArray[np.bool_]:
        """Return where a structure is (i j k), with all that lies inside it.

        Raises:
            VocabularyError: The vocabulary does not know it (`STRUCTURE_UNKNOWN`).
        """
        return self.labels.mask(structure, whole=True)
