"""At which working spacing a network answers clicks: as a multiple of the one that it was trained at.

A network of one working spacing sees targets of the sizes that it was trained on. A target of another size is answered
on a coarser or finer grid, on which it has such a size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prosect.inference.scale_choice import LabelledPoint, ScaleRule

__all__ = ["ClickScales", "Find", "Rescaled"]

STEPS = 2  # scales of sizes that are said, in one factor of two: near sizes share what is remembered of patches


@dataclass(frozen=True)
class ClickScales:
    """The scales of a model.

    Attributes:
        lowest: Finest scale.
        highest: Coarsest scale.
        extents_mm: Longest sides of the targets that are answered well at scale 1, from and to. Smaller and larger ones
            are scaled so that they come in between.
        rule: How the scale of a target of unknown size is found; None answers it at scale 1.
    """

    lowest: float = 0.125
    highest: float = 8.0
    extents_mm: tuple[float, float] = (15.0, 120.0)
    rule: ScaleRule | None = None

    def for_extent(self, extent_mm: float) -> float:
        """Return the scale for a target whose longest side is known, in steps of the square root of two."""
        least, most = self.extents_mm
        apparent = min(max(extent_mm, least), most)
        step = round(STEPS * math.log2(extent_mm / apparent))
        return self.bound(float(2 ** (step / STEPS)))

    def bound(self, scale: float) -> float:
        """Return the nearest scale that the model has."""
        return min(max(scale, self.lowest), self.highest)


R = TypeVar("R")
# Takes clicks in their order, and whether they are on an object of its own; returns the scale that they speak for.
Find = Callable[[Sequence[LabelledPoint], bool], float]


class Rescaled(Generic[R]):
    """Responders of one scan by their scale, each made when it is first needed.

    Args:
        scales: Those that the model has.
        make: Returns the responder of a scale.
        find: Finds the scale of a target of unknown size; None where the model has no rule.
    """

    def __init__(self, scales: ClickScales, make: Callable[[float], R], find: Find | None = None) -> None:
        self.scales, self.find = scales, find
        self._make = make
        self._made: dict[float, R] = {}

    def at(self, scale: float) -> R:
        """Return the responder of a scale."""
        if scale not in self._made:
            self._made[scale] = self._make(scale)
        return self._made[scale]
