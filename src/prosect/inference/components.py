"""Connected components of masks, from runs of voxels.

A mask is cut into runs along one axis; runs that touch are joined until nothing changes. The work grows with the
number of runs, not of voxels, so a large organ is as cheap as its surface.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "inner_distance", "innermost"]

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Voxel = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Components:
    """The connected components of a mask of two or more axes.

    Attributes:
        shape: Shape of the mask.
        lines: Line of each run (r): the flat index over all axes but the last.
        starts: First voxel of each run along the last axis (r).
        stops: Voxel after its last (r).
        labels: Component of each run (r), from 0, in the order of their first voxels.
    """

    shape: tuple[int, ...]
    lines: Indices
    starts: Indices
    stops: Indices
    labels: Indices

    @classmethod
    def of(cls, mask: Mask, connectivity: int | None = None) -> Components:
        """Return the components of a mask.

        Args:
            mask: Two or more axes.
            connectivity: Along how many axes at once neighbours may differ; by default all (26 neighbours in 3D).
        """
        lines, starts, stops = _runs(mask)
        first, second = _touching(mask.shape, lines, starts, stops, connectivity or mask.ndim)
        return cls(mask.shape, lines, starts, stops, _joined(len(lines), first, second))

    @property
    def count(self) -> int:
        """Number of components."""
        return int(self.labels.max()) + 1 if len(self.labels) else 0

    @property
    def sizes(self) -> Indices:
        """Voxels of each component."""
        return np.bincount(self.labels, self.stops - self.starts, minlength=self.count).astype(np.int64)

    def at(self, voxel: Sequence[int]) -> int | None:
        """Return the component at a voxel; None where the mask is not set."""
        line = int(np.ravel_multi_index(tuple(voxel[:-1]), self.shape[:-1]))
        low, high = (int(n) for n in np.searchsorted(self.lines, (line, line + 1)))
        run = low + int(np.searchsorted(self.starts[low:high], voxel[-1], side="right")) - 1
        return int(self.labels[run]) if run >= low and voxel[-1] < self.stops[run] else None

    def mask(self, chosen: Iterable[int]) -> Mask:
        """Return the voxels of some components."""
        runs = np.isin(self.labels, list(chosen))
        width = self.shape[-1] + 1
        steps = np.zeros(math.prod(self.shape[:-1]) * width, dtype=np.int8)
        steps[self.lines[runs] * width + self.starts[runs]] = 1
        steps[self.lines[runs] * width + self.stops[runs]] = -1
        inside = np.cumsum(steps, dtype=np.int8, out=steps).view(np.bool_)
        return inside.reshape(*self.shape[:-1], width)[..., :-1]


def _runs(mask: Mask) -> tuple[Indices, Indices, Indices]:
    """Return line, start and stop of each run, in the order of their voxels."""
    flat = mask.reshape(-1, mask.shape[-1])
    padded = np.zeros((flat.shape[0], flat.shape[1] + 1), dtype=np.bool_)  # one gap ends every line
    padded[:, :-1] = flat
    changes = np.flatnonzero(np.diff(padded.ravel(), prepend=False))
    lines, starts = np.divmod(changes[0::2], padded.shape[1])
    return lines, starts, changes[1::2] - lines * padded.shape[1]


def _touching(
    shape: tuple[int, ...], lines: Indices, starts: Indices, stops: Indices, connectivity: int
) -> tuple[Indices, Indices]:
    """Return pairs of runs, in neighbouring lines, that touch."""
    step = shape[-1] + 2
    ends, begins = lines * step + stops, lines * step + starts
    place = np.unravel_index(lines, shape[:-1])
    pairs: list[tuple[Indices, Indices]] = []
    for offset in itertools.product((-1, 0, 1), repeat=len(shape) - 1):
        hops = sum(map(abs, offset))
        if offset <= (0,) * len(offset) or hops > connectivity:
            continue
        reach = int(hops < connectivity)  # whether one more hop, along the run, is allowed
        moved = [p + o for p, o in zip(place, offset, strict=True)]
        there = [(m >= 0) & (m < n) for m, n in zip(moved, shape[:-1], strict=True)]
        own = np.flatnonzero(np.logical_and.reduce(there))
        line = np.ravel_multi_index([m[own] for m in moved], shape[:-1]) * step
        low = np.searchsorted(ends, line + starts[own] + (1 - reach), side="left")
        high = np.searchsorted(begins, line + stops[own] - (1 - reach), side="right")
        count = np.maximum(high - low, 0)
        ordinal = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pairs.append((np.repeat(own, count), np.repeat(low, count) + ordinal))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _joined(count: int, first: Indices, second: Indices) -> Indices:
    """Return for each of `count` runs the number of its component, numbered by first run."""
    parent = np.arange(count)
    while len(first):
        a, b = parent[first], parent[second]
        apart = a != b
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
    return np.asarray(np.unique(parent, return_inverse=True)[1], dtype=np.int64)


def inner_distance(mask: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Return for each voxel how far it is from leaving the mask, in mm along the axes; beyond the array is outside.

    The city-block distance: exact in two passes per axis, and enough to say which voxel lies deepest.
    """
    distance = np.where(mask, np.float32(np.inf), np.float32(0))
    for axis, step in enumerate(spacing_mm):
        for planes in (np.moveaxis(distance, axis, 0), np.moveaxis(distance, axis, 0)[::-1]):
            before: Any = np.float32(0)
            for plane in planes:
                np.minimum(plane, before + np.float32(step), out=plane)
                before = plane
    return distance


def innermost(mask: Mask, spacing_mm: Sequence[float]) -> Voxel:
    """Return the voxel that lies deepest in a mask; among equals the nearest to the centroid, then the first.

    Raises:
        ValueError: The mask is empty.
    """
    voxels = np.argwhere(mask)
    if not len(voxels):
        raise ValueError("an empty mask has no innermost voxel")
    start, stop = voxels.min(axis=0), voxels.max(axis=0) + 1
    inner = mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    distance = inner_distance(inner, spacing_mm)
    deepest = np.argwhere(distance == distance.max()) + start
    offset = (deepest - voxels.mean(axis=0)) * np.asarray(spacing_mm)
    return tuple(deepest[int(np.argmin((offset**2).sum(axis=1).round(6)))].tolist())
