"""How probable each structure is, voxel by voxel, on the scan's own grid: what labels are decided from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.case import Case, Placement
from prosect.geometry import Grid
from prosect.inference.accumulate import Slab
from prosect.resample import interpolate_along

__all__ = ["Probabilities", "ProbabilityPainter"]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Probabilities:
    """The probability of structures in a scan.

    Each is that of a structure against everything else, the sigmoid of its logit, so they need not add up to 1: a
    voxel of the liver is one of the body, too. A label is the most probable structure of more than 0.5, where what
    lies inside another structure goes before it; crumbs and what was withheld are left out of labels only.

    They are kept on the network's grid and brought to the scan's one by one: there all of them may need more memory
    than the scan itself many times over.

    Attributes:
        grid: The geometry of the scan.
        makers: By the structure's index, what returns its probabilities.
    """

    grid: Grid
    makers: Mapping[int, Callable[[], FloatArray]]

    @property
    def indices(self) -> tuple[int, ...]:
        """The structures."""
        return tuple(self.makers)

    def array(self, index: int) -> FloatArray:
        """Return the probability of a structure on the scan's voxels (i j k), from 0 to 1."""
        return self.makers[index]()

    @classmethod
    def zero(cls, indices: Sequence[int], grid: Grid) -> Probabilities:
        """Return those of a scan that shows nothing."""
        return cls(grid, dict.fromkeys(indices, partial(zeros, grid)))


class ProbabilityPainter:
    """Gathers logits on the network's grid, slab by slab beside the painters of labels.

    Args:
        case: The scan as the network sees it.
        axis: Along which slabs come.
        vectors: Class vectors (q c).
        indices: The structure of each.
        linear: Interpolate logits on the scan's voxels, as labels are; else take the nearest network voxel.
    """

    def __init__(self, case: Case, axis: int, vectors: Tensor, indices: Sequence[int], linear: bool) -> None:
        self._place, self._vectors, self._linear = case, vectors, linear
        self._logits = {index: np.zeros(case.grid.shape, np.float32) for index in indices}
        self._axis = axis

    def add(self, slab: Slab) -> None:
        """Take the finished planes."""
        shape = slab.features.shape[:3]
        logits = self._vectors @ slab.features.reshape(-1, slab.features.shape[3]).T
        for array, row in zip(self._logits.values(), logits, strict=True):
            planes = np.moveaxis(array, self._axis, 0)
            planes[slab.start : slab.start + shape[0]] = row.view(shape).cpu().numpy()

    def result(self) -> Probabilities:
        """Return the probabilities; voxels of the scan that the network did not see have 0."""
        restore = restore_linear if self._linear else restore_nearest
        makers = {index: partial(restore, self._place, logits) for index, logits in self._logits.items()}
        return Probabilities(self._place.native, makers)


def zeros(grid: Grid) -> FloatArray:
    """Return 0 on every voxel (i j k)."""
    return np.zeros(grid.shape, np.float32)


def restore_nearest(place: Placement, logits: FloatArray) -> FloatArray:
    """Return probabilities on the scan's voxels (i j k) from logits on the network's (i j k) by nearest neighbour."""
    probabilities = torch.from_numpy(logits).sigmoid().numpy()
    return np.asarray(place.restore_nearest(probabilities), np.float32)


def restore_linear(place: Placement, logits: FloatArray) -> FloatArray:
    """Return probabilities on the scan's voxels (i j k) from linearly interpolated logits on the network's (i j k)."""
    stored, canvas = place.native_canvas(np.float32)
    values, inside = torch.from_numpy(logits), []
    for axis in range(3):
        positions, size = place.native_positions(axis), logits.shape[axis]
        # Voxels of the scan beyond the prepared box stay 0; within it, those nearer than half a voxel to its end count.
        within = np.flatnonzero((positions >= -0.5) & (positions <= size - 0.5))
        values = interpolate_along(values, axis, positions[within])
        inside.append(within)
    canvas[np.ix_(*inside)] = values.sigmoid().numpy()
    return stored
