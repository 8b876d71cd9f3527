"""Boxes of voxels, and masks that are kept only where they are set.

A mask of one organ fills a few percent of a scan; a session holds several per structure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "SparseMask"]

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """The voxels from `start` up to, not including, `stop`."""

    start: Voxel
    stop: Voxel

    @property
    def shape(self) -> Voxel:
        """Voxels along i, j, k; 0 where the box is empty."""
        (i, j, k), (end_i, end_j, end_k) = self.start, self.stop
        return max(end_i - i, 0), max(end_j - j, 0), max(end_k - k, 0)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index."""
        i, j, k = map(slice, self.start, self.stop)
        return i, j, k

    def within(self, other: Box) -> tuple[slice, slice, slice]:
        """Return this box as an index into an array that holds `other`, which contains it."""
        i, j, k = other.start
        return self.shift((-i, -j, -k)).slices

    def shift(self, offset: Iterable[int]) -> Box:
        """Return the box shifted by whole voxels."""
        by_i, by_j, by_k = offset
        (i, j, k), (end_i, end_j, end_k) = self.start, self.stop
        return Box((i + by_i, j + by_j, k + by_k), (end_i + by_i, end_j + by_j, end_k + by_k))

    def grown(self, voxels: int) -> Box:
        """Return the box with so many voxels more on every side; it may then reach beyond its array."""
        i, j, k = self.start
        end_i, end_j, end_k = self.stop
        return Box((i - voxels, j - voxels, k - voxels), (end_i + voxels, end_j + voxels, end_k + voxels))

    def __and__(self, other: Box) -> Box:
        """Return what both hold; empty boxes may begin after their end."""
        i, j, k = map(max, self.start, other.start)
        end_i, end_j, end_k = map(min, self.stop, other.stop)
        return Box((i, j, k), (end_i, end_j, end_k))

    def __or__(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        # An empty box has a place, which must not stretch the other.
        if not self.size:
            return other
        if not other.size:
            return self
        i, j, k = map(min, self.start, other.start)
        end_i, end_j, end_k = map(max, self.stop, other.stop)
        return Box((i, j, k), (end_i, end_j, end_k))

    @classmethod
    def of(cls, mask: Mask) -> Box:
        """Return the smallest box that holds every voxel of a mask; an empty box for an empty mask."""
        axes = np.argsort(np.abs(mask.strides))[::-1]  # the last of them runs fastest in memory
        turned: NDArray[Any] = mask.transpose(axes)
        lines = np.any(turned, axis=2)
        if not lines.any():
            return EMPTY
        columns = np.any(turned.reshape(-1, turned.shape[2]), axis=0)
        found = []
        for each in (np.any(lines, axis=1), np.any(lines, axis=0), columns):
            found.append(np.flatnonzero(each))
        back = np.argsort(axes)
        i, j, k = (found[axis] for axis in back)
        return cls((int(i[0]), int(j[0]), int(k[0])), (int(i[-1]) + 1, int(j[-1]) + 1, int(k[-1]) + 1))

    @classmethod
    def of_value(cls, array: NDArray[Any], value: int) -> Box:
        """Return the smallest box that holds every voxel with a value (i j k); no mask of the whole array is made."""
        axes = np.argsort(np.abs(array.strides))[::-1]  # planes as they lie in memory
        found = []
        for n, plane in enumerate(array.transpose(axes)):
            inside = plane == value
            if len(rows := np.flatnonzero(inside.any(1))):
                columns = np.flatnonzero(inside.any(0))
                found.append(((n, rows[0], columns[0]), (n, rows[-1], columns[-1])))
        if not found:
            return EMPTY
        ends, back = np.array(found), np.argsort(axes)
        return cls(tuple(ends[:, 0].min(0)[back].tolist()), tuple((ends[:, 1].max(0) + 1)[back].tolist()))


EMPTY = Box((0, 0, 0), (0, 0, 0))


class SparseMask:
    """A mask on a grid of `shape` that is stored only in the box where voxels are set; it changes by exclusive or."""

    def __init__(self, shape: Voxel) -> None:
        self.shape = shape
        self.box = EMPTY
        self._bits: Mask = np.zeros((0, 0, 0), dtype=np.bool_)
        self._count: int | None = 0

    def __getitem__(self, voxel: Voxel) -> bool:
        i, j, k = voxel
        here = Box(voxel, (i + 1, j + 1, k + 1))
        if not (here & self.box).size:
            return False
        return bool(self._bits[here.within(self.box)].item())

    @property
    def count(self) -> int:
        """Number of voxels set; counted once after each change."""
        if self._count is None:
            self._count = int(np.count_nonzero(self._bits))
        return self._count

    def read(self, box: Box) -> Mask:
        """Return a copy (i j k) of what a box inside the grid holds."""
        out = np.zeros(box.shape, dtype=np.bool_)
        shared = box & self.box
        if shared.size:
            out[shared.within(box)] = self._bits[shared.within(self.box)]
        return out

    def toggle(self, box: Box, bits: Mask) -> None:
        """Flip the voxels of a box where `bits` is set; doing it again undoes it."""
        if not box.size:
            return
        self._count = None
        grown = self.box | box
        if grown != self.box:
            self._bits, self.box = self.read(grown), grown
        self._bits[box.within(self.box)] ^= bits
        kept = Box.of(self._bits)
        # Shrinking copies, so it waits until half of the box is empty.
        if kept.size * 2 < self.box.size:
            self._bits = self._bits[kept.slices].copy()
            if kept.size:
                self.box = kept.shift(self.box.start)
            else:
                self.box = EMPTY

    def full(self) -> Mask:
        """Return the mask (i j k) on the whole grid."""
        out = np.zeros(self.shape, dtype=np.bool_)
        out[self.box.slices] = self._bits
        return out
