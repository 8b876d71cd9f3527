"""Which labelled scans a job works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.data.datalist import DataList, Roots, read_datalist
from prosect.data.labels import TOLERANCE_MM
from prosect.data.mapping_files import read_mappings
from prosect.data.mapping_pairs import parse_pair
from prosect.vocabulary import Vocabulary

__all__ = ["ListInput"]


@dataclass(frozen=True)
class ListInput:
    """A data list, and how it is read.

    Attributes:
        path: The list, or a folder with images and labels.
        root: Where its paths start; by default its own folder.
        pseudo_root: The same for pseudo-labels.
        supervoxel_root: The same for supervoxels.
        dataset: Name of the data set; by default that of the list.
        pairs: What its label values mean, such as `1=liver`.
        mapping: A file that says the same; pairs come first.
        tolerance_mm: How far label voxels may lie from the scan's.
    """

    path: Path
    root: Path | None = None
    pseudo_root: Path | None = None
    supervoxel_root: Path | None = None
    dataset: str | None = None
    pairs: tuple[str, ...] = ()
    mapping: Path | None = None
    tolerance_mm: float = TOLERANCE_MM

    def read(self, vocabulary: Vocabulary | None = None) -> DataList:
        """Return the list; its structures are found in a vocabulary, or in its own.

        Raises:
            FormatError: There is no such file.
            RecipeError: It is no list, or nothing says what its labels mean.
            VocabularyError: A structure is unknown.
        """
        mappings: Mapping[str, Any] = {}
        if self.mapping is not None:
            mappings = read_mappings(self.mapping)
        if self.pairs:
            mappings = {"default": [parse_pair(text) for text in self.pairs]}
        roots = Roots(self.root, self.pseudo_root, self.supervoxel_root)
        return read_datalist(self.path, roots, self.dataset, mappings, vocabulary)
