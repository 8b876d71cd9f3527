"""Many rods at once: vessels, airways, bowel and ribs are thousands of them, each far smaller than the scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.anatomy import Part
from prosect.phantom.shapes import Capsule
from prosect.phantom.view import View

__all__ = ["paint_rods"]

CHUNK_VOXELS = 1 << 20
Values = NDArray[np.float32]


def paint_rods(
    part: Part,
    rods: Sequence[Capsule],
    view: View,
    hu: Values,
    labels: NDArray[np.uint16],
    value: int | None,
    free: NDArray[np.bool_] | None,
) -> None:
    """Paint the rods of a part in place, as one solid: each voxel takes the rod that fills it most.

    Args:
        part: What they are; its shapes are not looked at.
        rods: Its rods.
        view: Where the voxels lie.
        hu: Attenuation (i j k), contiguous.
        labels: Label values (i j k), contiguous.
        value: Label value of the part; None leaves the labels.
        free: Which label values may be covered; None for all.
    """
    table = rod_table(rods)
    start, stop = view.boxes(rod_bounds(table), view.edge_mm)
    seen = (start < stop).all(axis=1)
    shares = np.array([rod.share(view.edge_mm) for rod in rods], dtype=np.float32)
    found = []
    for piece in pieces(table[seen], shares[seen], start[seen], stop[seen], view):
        found.append(fullest(*piece))
    if not found:
        return
    place, cover, depth = fullest(*(np.concatenate(column) for column in zip(*found, strict=True)))
    flat_hu, flat_labels = hu.reshape(-1), labels.reshape(-1)
    if free is not None:
        allowed = free[flat_labels[place]]
        place, cover, depth = place[allowed], cover[allowed], depth[allowed]
    if part.hu is not None:
        own = np.full(len(place), part.hu, dtype=np.float32)
        if part.texture_hu:
            own += np.float32(part.texture_hu) * view.pattern(part.grain).reshape(-1)[place]
        if part.slope_hu_mm:
            own -= np.float32(part.slope_hu_mm) * view.bent[1].reshape(-1)[place]
        flat_hu[place] += cover * (own - flat_hu[place])
    if value is not None:
        flat_labels[place[depth >= 0]] = value


def rod_table(rods: Sequence[Capsule]) -> NDArray[np.float64]:
    """Return rows of start, stop and both radii (n, 8)."""
    return np.array([[*r.start, *r.stop, r.start_radius_mm, r.stop_radius_mm] for r in rods], dtype=np.float64)


def rod_bounds(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lowest and the highest corner (n, 2, 3) of the boxes around rods (n, 8)."""
    begin, end, begin_mm, end_mm = table[:, :3], table[:, 3:6], table[:, 6:7], table[:, 7:8]
    low = np.minimum(begin - begin_mm, end - end_mm)
    high = np.maximum(begin + begin_mm, end + end_mm)
    return np.stack([low, high], axis=1)


def pieces(
    table: NDArray[np.float64],
    shares: Values,
    start: NDArray[np.intp],
    stop: NDArray[np.intp],
    view: View,
) -> Iterator[tuple[NDArray[np.intp], Values, Values]]:
    """Yield flat voxel indices, covers and depths of rods with boxes, a bounded number of voxels at a time."""
    sizes = stop - start
    ends = np.cumsum(sizes.prod(axis=1))
    first = 0
    while first < len(table):
        done = 0
        if first:
            done = ends[first - 1]
        last = max(int(np.searchsorted(ends, done + CHUNK_VOXELS, side="right")), first + 1)
        some = slice(first, last)
        which, place = voxels(start[some], sizes[some], view.grid.shape)
        depth = rod_depth(table[some].astype(np.float32), which, place, view)
        cover = np.clip(depth / np.float32(view.edge_mm) + np.float32(0.5), 0, 1) * shares[some][which]
        near = cover > 0
        yield place[near], cover[near], depth[near]
        first = last


def voxels(
    start: NDArray[np.intp], sizes: NDArray[np.intp], shape: tuple[int, int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return for every voxel of every box which box it is of, and its flat index in an array of `shape`."""
    counts = sizes.prod(axis=1)
    which = np.repeat(np.arange(len(counts)), counts)
    # All voxels of all boxes in a row: less where its box begins in that row, each has its number within the box.
    first = np.cumsum(counts) - counts
    number = np.arange(int(counts.sum())) - np.repeat(first, counts)
    # k runs fastest in a box, as in the array.
    rest, k = np.divmod(number, sizes[which, 2])
    i, j = np.divmod(rest, sizes[which, 1])
    i, j, k = i + start[which, 0], j + start[which, 1], k + start[which, 2]
    return which, (i * shape[1] + j) * shape[2] + k


def rod_depth(table: Values, which: NDArray[np.intp], place: NDArray[np.intp], view: View) -> Values:
    """Return how deep in its rod each voxel lies: `Capsule.depth_mm` for many of them."""
    begin, begin_mm, end_mm = table[:, :3], table[:, 6], table[:, 7]
    along = table[:, 3:6] - begin
    # Divided by the squared length: the product with a vector is then a share of the rod, 0 at its begin, 1 at its end.
    share_of = along / np.maximum((along**2).sum(axis=1, keepdims=True), 1e-9)
    x, y, z = (axis.reshape(-1)[place] for axis in view.bent)
    dx, dy, dz = x - begin[which, 0], y - begin[which, 1], z - begin[which, 2]
    part = np.clip(dx * share_of[which, 0] + dy * share_of[which, 1] + dz * share_of[which, 2], 0, 1)
    # From the nearest point of the axis, no longer from its begin.
    dx -= part * along[which, 0]
    dy -= part * along[which, 1]
    dz -= part * along[which, 2]
    radius = begin_mm[which] + part * (end_mm[which] - begin_mm[which])
    return np.asarray(radius - np.sqrt(dx * dx + dy * dy + dz * dz), dtype=np.float32)


def fullest(place: NDArray[np.intp], cover: Values, depth: Values) -> tuple[NDArray[np.intp], Values, Values]:
    """Return every place once, with its greatest cover and depth."""
    if not len(place):
        return place, cover, depth
    order = np.argsort(place, kind="stable")
    place, cover, depth = place[order], cover[order], depth[order]
    heads = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
    return place[heads], np.maximum.reduceat(cover, heads), np.maximum.reduceat(depth, heads)
