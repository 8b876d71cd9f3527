"""How far two correct computations in single precision may lie apart.

Processors add the terms of a sum in different orders and widths (AVX2, AVX-512 and AMX differ), so a recorded number is
never repeated to the last bit. A tolerance has to follow from the number of roundings, not from the machine that
recorded.
"""

from __future__ import annotations

import math

__all__ = ["spread"]

HALF_UNIT = 2.0**-24  # the relative error of one rounding in single precision is at most this


def spread(sums: int, terms: int) -> float:
    """Return the largest difference to expect between two orders of summation, relative to the values' scale.

    Each result passes `sums` sums one after the other, each of `terms` terms, hence `sums * terms` roundings. They are
    as often up as down: their total grows with the square root of their number. Two results err independently (the
    square root of two), and the largest of many values lies within four deviations.

    Args:
        sums: Sums that follow each other from input to result: layers, and several in a layer of attention.
        terms: Terms of the longest of these sums.
    """
    return 4 * math.sqrt(2 * sums * terms) * HALF_UNIT
