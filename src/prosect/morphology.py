"""The shape of masks: connected components, erosion and dilation by boxes of voxels, and how deep a voxel lies.

Components are found from runs: a mask is cut into runs along one axis, and runs that touch are joined until nothing
changes. Work and memory grow with the number of runs, not of voxels, so a large organ is as cheap as its surface.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Components",
    "border_components",
    "city_block_depth",
    "dilate",
    "erode",
    "euclidean_depth",
    "innermost",
    "largest_component",
]

# A mask with a run for so few voxels is noise.
SHORT_RUN = 16

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
        hops = connectivity or mask.ndim
        lines, starts, stops = _runs(mask)
        if len(lines) * SHORT_RUN > mask.size:
            return cls(mask.shape, lines, starts, stops, _labelled(mask, lines, starts, hops))
        first, second = _touching(mask.shape, lines, starts, stops, hops)
        return cls(mask.shape, lines, starts, stops, _joined(len(lines), first, second))

    @property
    def count(self) -> int:
        """Number of components."""
        if len(self.labels):
            return int(self.labels.max()) + 1
        return 0

    @property
    def sizes(self) -> Indices:
        """Voxels of each component (n)."""
        return np.bincount(self.labels, self.stops - self.starts, minlength=self.count).astype(np.int64)

    def at(self, voxel: Sequence[int]) -> int | None:
        """Return the component at a voxel; None where the mask is not set."""
        line = int(np.ravel_multi_index(tuple(voxel[:-1]), self.shape[:-1]))
        place = voxel[-1]
        # Runs are in the order of their voxels: those of a line lie together, and rise along it.
        first, end = (int(n) for n in np.searchsorted(self.lines, (line, line + 1)))
        begun = int(np.searchsorted(self.starts[first:end], place, side="right"))
        last_begun = first + begun - 1
        if begun and place < self.stops[last_begun]:
            return int(self.labels[last_begun])
        return None

    def mask(self, chosen: Iterable[int]) -> Mask:
        """Return the voxels of some components, as a mask of the same shape."""
        runs = np.isin(self.labels, list(chosen))
        width = self.shape[-1] + 1
        line_starts = self.lines[runs] * width
        steps = np.zeros(math.prod(self.shape[:-1]) * width, dtype=np.int8)
        steps[line_starts + self.starts[runs]] = 1
        steps[line_starts + self.stops[runs]] = -1
        # Between a start and its stop the sum is 1; the gap at the end of each line keeps lines apart.
        inside = np.cumsum(steps, dtype=np.int8, out=steps).view(np.bool_)
        return inside.reshape(*self.shape[:-1], width)[..., :-1]


def _runs(mask: Mask) -> tuple[Indices, Indices, Indices]:
    """Return line, start and stop of each run (r), in the order of their voxels."""
    flat = mask.reshape(-1, mask.shape[-1])
    width = flat.shape[1] + 1  # one gap ends every line
    padded = np.zeros(1 + flat.shape[0] * width, dtype=np.bool_)  # and one lies before the first
    padded[1:].reshape(-1, width)[:, :-1] = flat
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    lines, starts = np.divmod(changes[0::2], width)
    return lines, starts, changes[1::2] - lines * width


def _touching(
    shape: tuple[int, ...], lines: Indices, starts: Indices, stops: Indices, connectivity: int
) -> tuple[Indices, Indices]:
    """Return pairs (p) of runs (r), in neighbouring lines, that touch."""
    # Lines one after another, with room between them, so that one sorted search finds runs of one line only.
    step = shape[-1] + 2
    ends, begins = lines * step + stops, lines * step + starts
    place = np.unravel_index(lines, shape[:-1])
    pairs: list[tuple[Indices, Indices]] = []
    for offset in itertools.product((-1, 0, 1), repeat=len(shape) - 1):
        hops = sum(map(abs, offset))
        # Half of the neighbours suffice: each pair is found from one of its two sides.
        if offset <= (0,) * len(offset) or hops > connectivity:
            continue
        reach = int(hops < connectivity)  # whether one more hop, along the run, is allowed
        moved, there = [], []
        for p, o, n in zip(place, offset, shape[:-1], strict=True):
            moved.append(p + o)
            there.append((p + o >= 0) & (p + o < n))
        own = np.flatnonzero(np.logical_and.reduce(there))
        line = np.ravel_multi_index([m[own] for m in moved], shape[:-1]) * step
        # Of the runs of that line, those from the first that does not end before this one begins, up to the last that
        # does not begin after it ends: they touch it, and lie in a row.
        low = np.searchsorted(ends, line + starts[own] + (1 - reach), side="left")
        high = np.searchsorted(begins, line + stops[own] - (1 - reach), side="right")
        count = np.maximum(high - low, 0)
        # How many of its row come before each: a number for every pair, less that of the first pair of its row.
        ordinal = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        pairs.append((np.repeat(own, count), np.repeat(low, count) + ordinal))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _joined(count: int, first: Indices, second: Indices) -> Indices:
    """Return for each of `count` runs the number of its component (r), numbered by first run."""
    parent = np.arange(count)
    while len(first):
        # Every root takes the smallest root that it touches; what is one component already needs no look any more.
        a, b = parent[first], parent[second]
        apart = a != b
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, shorter := parent[parent]):
            parent = shorter
    return np.asarray(np.unique(parent, return_inverse=True)[1], dtype=np.int64)


def _labelled(mask: Mask, lines: Indices, starts: Indices, connectivity: int) -> Indices:
    """Return for each run the number of its component (r), numbered by first run, from numbers of all voxels.

    Of noise, whose runs are a few voxels long, that is several times as fast as to join runs.
    """
    numbers, _ = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, connectivity))
    of_runs = numbers.reshape(-1, mask.shape[-1])[lines, starts]
    _, first, places = np.unique(of_runs, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[places], dtype=np.int64)


def largest_component(mask: Mask) -> Mask | None:
    """Return the largest component (i j k), all 26 neighbours counted; None for an empty mask."""
    parts = Components.of(mask)
    if parts.count:
        return parts.mask([int(parts.sizes.argmax())])
    return None


def border_components(mask: Mask, axes: Sequence[int]) -> Mask:
    """Return the components of a mask that reach the first or the last plane along some of its axes.

    Only voxels that share a face touch. For thresholds of noisy scans: there runs are nearly as many as voxels, and a
    label per voxel costs less than `Components`.

    Args:
        mask: A mask of any shape.
        axes: Along which the planes at both ends count.
    """
    labels, count = ndimage.label(mask)
    kept = np.zeros(count + 1, dtype=np.bool_)
    for axis in axes:
        for end in (0, -1):
            kept[np.take(labels, end, axis)] = True
    kept[0] = False  # the background is no component
    return np.asarray(kept[labels])


def dilate(mask: Mask, reach: int | Sequence[int] = 1, *, beyond: bool = False) -> Mask:
    """Return the voxels of which some neighbour in the box up to `reach` away along each axis is set.

    Args:
        mask: A mask of any shape.
        reach: Voxels, for all axes or for each.
        beyond: Whether everything beyond the array counts as set.
    """
    wide = [reach] * mask.ndim if isinstance(reach, int) else reach
    # A box is the product of its axes, so a pass along each is enough.
    for axis, most in enumerate(wide):
        before = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        after = np.moveaxis(mask, axis, 0)  # a view, through which the copy is written
        for step in range(1, most + 1):
            after[step:] |= before[:-step]
            after[:-step] |= before[step:]
            if beyond:
                after[:step] = True
                after[-step:] = True
    return mask


def erode(mask: Mask, reach: int | Sequence[int] = 1, *, beyond: bool = False) -> Mask:
    """Return the voxels whose neighbours in the box up to `reach` away along each axis are all set.

    Args:
        mask: A mask of any shape.
        reach: Voxels, for all axes or for each.
        beyond: Whether everything beyond the array counts as set.
    """
    return ~dilate(~mask, reach, beyond=not beyond)


def euclidean_depth(mask: Mask) -> NDArray[np.float64]:
    """Return for each voxel of a mask (i j k) its distance, in voxels, to the nearest that is not set.

    Beyond the array none is set.
    """
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1])


def city_block_depth(mask: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Return for each voxel how far it is from leaving the mask, in mm along the axes; beyond the array is outside.

    Exact in two passes per axis, and enough to say which voxel lies deepest.

    Args:
        mask: A mask of any shape.
        spacing_mm: Distance of voxels along each of its axes.
    """
    depth = np.where(mask, np.float32(np.inf), np.float32(0))
    for axis, step in enumerate(spacing_mm):
        planes = np.moveaxis(depth, axis, 0)
        for ordered in (planes, planes[::-1]):
            before = np.zeros_like(ordered[0])
            for plane in ordered:
                np.minimum(plane, before + np.float32(step), out=plane)
                before = plane
    return depth


def innermost(mask: Mask, spacing_mm: Sequence[float]) -> Voxel:
    """Return the voxel (i j k) that lies deepest in a mask; among equals the nearest to the centroid, then the first.

    Raises:
        ValueError: The mask is empty.
    """
    voxels = np.argwhere(mask)
    if not len(voxels):
        raise ValueError("an empty mask has no innermost voxel")
    start, stop = voxels.min(axis=0), voxels.max(axis=0) + 1
    inner = mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    depth = city_block_depth(inner, spacing_mm)
    deepest = np.argwhere(depth == depth.max()) + start
    offset = (deepest - voxels.mean(axis=0)) * np.asarray(spacing_mm)
    return tuple(deepest[int(np.argmin((offset**2).sum(axis=1).round(6)))].tolist())
