"""Dice overlap of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dice"]


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float | None:
    """Return the Dice overlap, 0 to 1; None where both masks are empty, for which Dice has no value.

    Differs from MONAI's `compute_dice`, which has no value either where only the truth is empty: there a structure was
    found that is not there, and the overlap is 0.

    Args:
        found: A mask of any shape.
        truth: Another of the same shape.
    """
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(truth))
    if total:
        return 2 * int(np.count_nonzero(found & truth)) / total
    return None
