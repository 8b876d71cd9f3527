"""Which structure a mirror turns each into, so that scans of a symmetric region count twice."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from prosect.errors import RecipeError
from prosect.training.scans import Numbering
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["other_sides"]

SIDE = re.compile(r"left|right", re.IGNORECASE)


def other_sides(numbering: Numbering) -> NDArray[np.int64]:
    """Return for every local label (n) that of the same structure on the other side; 0 where there is none.

    What has no side stays what it is.

    Raises:
        RecipeError: A structure that contains others has a side (`RECIPE_INVALID`): maps of bits are not exchanged.
    """
    table = np.zeros(len(numbering.order) + 1, dtype=np.int64)
    for number, index in enumerate(numbering.order, 1):
        other = other_side(numbering.vocabulary[index], numbering.vocabulary)
        if other != index and index in numbering.bits:
            raise RecipeError(f"Scans with {numbering.vocabulary[index].name} cannot be mirrored: it contains others.")
        if other in numbering.order:
            table[number] = numbering.order.index(other) + 1
        else:
            table[number] = 0
    return table


def other_side(structure: Structure, words: Vocabulary) -> int | None:
    """Return the index of the same structure on the other side, or its own; None where the vocabulary lacks that."""
    if structure.laterality is None:
        return structure.index
    name = SIDE.sub(lambda found: {"left": "right", "right": "left"}[found[0].lower()], structure.name)
    found = words.get(name)
    if found is None:
        return None
    return found.index
