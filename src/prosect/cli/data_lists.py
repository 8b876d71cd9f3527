"""Data lists as the flags name them, for the commands that take one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from prosect.data.datalist import DataList, Roots, read_datalist
from prosect.data.labels import TOLERANCE_MM
from prosect.data.mapping import parse_pair, read_mappings
from prosect.vocabulary import Vocabulary

__all__ = ["datalist_of", "tolerance_of"]


def datalist_of(args: argparse.Namespace, path: Any, vocabulary: Vocabulary | None = None) -> DataList:
    """Return the list at a path, read as the flags say; its structures are found in a vocabulary, or in its own.

    Raises:
        FormatError: There is no such file.
        RecipeError: It is no list, or nothing says what its labels mean.
        VocabularyError: A structure is unknown.
    """
    mappings: Mapping[str, Any] = {} if args.mapping is None else read_mappings(args.mapping)
    if args.map:
        mappings = {"default": [parse_pair(text) for text in args.map]}
    roots = Roots(args.root, args.pseudo_root, args.supervoxel_root)
    return read_datalist(path, roots, args.dataset, mappings, vocabulary)


def tolerance_of(args: argparse.Namespace) -> float:
    """Return how far label voxels may lie from the scan's."""
    return TOLERANCE_MM if args.tolerance_mm is None else float(args.tolerance_mm)
