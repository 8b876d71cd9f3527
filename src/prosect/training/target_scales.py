"""At which scale training shows an object, so that clicks are learnt on objects of every size.

A network of one working spacing answers what has the size of its training objects. Sessions answer other sizes on a
coarser or finer grid (see `prosect.inference.scales`), so training shows objects on such grids, too: each patch at the
scale at which the object that it is drawn around has a size that a session would give it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TargetScales", "extent_mm"]


@dataclass(frozen=True)
class TargetScales:
    """The scales that patches are drawn at.

    Attributes:
        finest: The smallest multiple of the working spacing.
        coarsest: The largest.
        own: Probability that a patch is drawn at the working spacing all the same.
        apparent_mm: From and to which longest side an object has on the grid of its patch, as if that were the working
            spacing; drawn evenly in the logarithm.
    """

    finest: float
    coarsest: float
    own: float
    apparent_mm: tuple[float, float]

    def draw(self, extent: float | None, generator: np.random.Generator) -> float:
        """Return the scale of one patch.

        Args:
            extent: Longest side in mm of the object that the patch is drawn around; None where it is drawn around
                none, and any scale will do.
            generator: Decides.
        """
        if generator.random() < self.own:
            return 1.0
        if not extent:
            return _log_uniform(self.finest, self.coarsest, generator)
        scale = extent / _log_uniform(*self.apparent_mm, generator)
        return min(max(scale, self.finest), self.coarsest)


def extent_mm(flat: NDArray[np.int64], shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> float:
    """Return the longest side in mm of the box around voxels.

    Args:
        flat: Their flat indices (n).
        shape: Of the scan (3).
        spacing_mm: Its voxel size.
    """
    sides = []
    for places, spacing in zip(np.unravel_index(flat, shape), spacing_mm, strict=True):
        sides.append((int(places.max()) - int(places.min()) + 1) * spacing)
    return max(sides)


def _log_uniform(low: float, high: float, generator: np.random.Generator) -> float:
    """Return a number between two, drawn evenly in the logarithm."""
    return math.exp(generator.uniform(math.log(low), math.log(high)))
