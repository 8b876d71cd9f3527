"""How sure a network is of what it decided: the mean probability of each structure over the voxels that it won."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from prosect.inference.accumulate import Slab
from prosect.inference.automatic import CHUNK, Classes, decide

__all__ = ["Gauge"]


class Gauge:
    """Gathers, slab by slab beside a painter, how probable each class was where it won (network voxels).

    The probability is that of the class against background, the sigmoid of its logit, whether or not classes compete.
    Classes that are decided on and not shown count, too: that a mandible was found says something of a larynx.

    Args:
        classes: What is decided between.
        indices: The structure of each class.
    """

    def __init__(self, classes: Classes, indices: Sequence[int]) -> None:
        self._classes, self._indices = classes, tuple(indices)
        # Every class is given a value of its own, so that rivals are told apart from background.
        self._values = tuple(range(1, len(self._indices) + 1))
        self._sums = np.zeros(len(self._indices))
        self._counts = np.zeros(len(self._indices), dtype=np.int64)

    def add(self, slab: Slab) -> None:
        """Take the finished planes."""
        rows = slab.features.reshape(-1, slab.features.shape[3])
        for first in range(0, rows.shape[0], CHUNK):
            self._take(self._classes.vectors @ rows[first : first + CHUNK].T)

    def _take(self, logits: Tensor) -> None:
        """Add logits (q m)."""
        code = decide(logits, self._classes.tiers, self._values)
        for row in range(len(self._indices)):
            mine = code == row + 1
            count = int(mine.sum())
            if count:
                self._counts[row] += count
                self._sums[row] += float(logits[row][mine].sigmoid().sum())

    def won(self) -> dict[int, tuple[int, float]]:
        """Return the voxels and the mean probability of each structure that won any, by index."""
        found: dict[int, tuple[int, float]] = {}
        for index, total, count in zip(self._indices, self._sums, self._counts, strict=True):
            if count:
                found[index] = (int(count), float(total / count))
        return found
