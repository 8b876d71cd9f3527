"""The surface of a mask in small pieces: one piece for every cell of eight voxels that are not all alike.

The area of a piece is that of the marching-cubes surface in the cell, halfway between voxels inside and outside. It is
the measure that DeepMind's `surface-distance` introduced and MONAI and the segmentation challenges use; their table of
areas is not repeated here but follows from one rule: of the eight corners the fewer are taken, each group of them that
hangs together along edges is cut off, and the rim of the cut, which is not always flat, is spanned by the triangles
with the largest area. A test compares all 256 cells with MONAI's table.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["areas_mm2", "cell_codes"]

Corner = tuple[int, int, int]
Triangle = tuple[int, int, int]
Vectors = NDArray[np.float64]

CORNERS: tuple[Corner, ...] = tuple(itertools.product((0, 1), (0, 1), (0, 1)))


def cell_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return for every cell of eight neighbouring voxels which of them are set: 0 for none, 255 for all.

    Args:
        mask: (i j k); beyond it nothing is set.

    Returns:
        Codes (i+1 j+1 k+1); bit n tells of the corner `CORNERS[n]`. Cell (0, 0, 0) ends at voxel (0, 0, 0).
    """
    padded = np.pad(mask, 1).view(np.uint8)
    codes = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.uint8)
    for bit, corner in enumerate(CORNERS):
        i, j, k = (slice(c, c + n + 1) for c, n in zip(corner, mask.shape, strict=True))
        codes |= padded[i, j, k] << np.uint8(bit)
    return codes


def areas_mm2(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return the area of the surface in a cell, by code (256)."""
    x, y, z = spacing_mm
    # An area vector points along its normal: its part along x is the area that is seen along x, of edges y and z.
    scaled = area_vectors() * np.array([y * z, x * z, x * y])
    return np.asarray(np.sqrt((scaled**2).sum(axis=2)).sum(axis=1))


@functools.cache
def area_vectors() -> Vectors:
    """Return the area vectors (256 4 3) of up to four triangles in a cell with edges of 1, by code."""
    vectors = np.zeros((256, 4, 3))
    for code in range(256):
        pieces: list[Vectors] = []
        for group in groups_to_cut(code):
            pieces += largest_span(rim(group))
        vectors[code, : len(pieces)] = np.reshape(pieces, (-1, 3))
    vectors.setflags(write=False)
    return vectors


def groups_to_cut(code: int) -> list[frozenset[Corner]]:
    """Return the groups of corners that the surface cuts off: of the corners set and not set, the fewer."""
    inside = set()
    for bit, corner in enumerate(CORNERS):
        if code >> bit & 1:
            inside.add(corner)
    outside = set(CORNERS) - inside
    return edge_groups(inside if len(inside) <= len(outside) else outside)


def edge_groups(corners: Iterable[Corner]) -> list[frozenset[Corner]]:
    """Return the groups of corners that hang together along edges of the cell."""
    left, groups = set(corners), []
    while left:
        todo = [left.pop()]
        group = set(todo)
        while todo:
            corner = todo.pop()
            beside = set()
            for other in left:
                if distance(corner, other) == 1:
                    beside.add(other)
            left -= beside
            group |= beside
            todo += beside
        groups.append(frozenset(group))
    return groups


def distance(a: Corner, b: Corner) -> int:
    """Return how many edges lie between two corners."""
    return sum(x != y for x, y in zip(a, b, strict=True))


def rim(group: frozenset[Corner]) -> Vectors:
    """Return the points (n 3), in order, where the surface around a group of corners crosses edges of the cell."""
    left = []
    for corner in group:
        left += [(corner, other) for other in CORNERS if other not in group and distance(corner, other) == 1]
    order = [left.pop(0)]
    while left:
        following = next(edge for edge in left if follows(order[-1], edge, group))
        order.append(following)
        left.remove(following)
    return np.asarray(np.array(order).mean(axis=1))


def follows(edge: tuple[Corner, Corner], other: tuple[Corner, Corner], group: frozenset[Corner]) -> bool:
    """Return whether the surface runs from one crossed edge to another across a face of the cell."""
    for axis in range(3):
        face = {corner[axis] for corner in (*edge, *other)}
        if len(face) > 1:
            continue
        # Two edges of a face belong together where their inner corners hang together on that face.
        on_face = []
        for corner in group:
            if corner[axis] in face:
                on_face.append(corner)
        return any(edge[0] in part and other[0] in part for part in edge_groups(on_face))
    return False


def largest_span(points: Vectors) -> list[Vectors]:
    """Return the area vectors of the triangles that span a rim, of all ways to span it the one with the most area."""
    best: list[Vectors] = []
    most = -1.0
    for way in triangulations(0, len(points) - 1):
        vectors = [span(points, triangle) for triangle in way]
        area = round(sum(map(float, map(np.linalg.norm, vectors))), 9)  # equal areas must not differ by rounding
        if area > most:
            best, most = vectors, area
    return best


def span(points: Vectors, triangle: Triangle) -> Vectors:
    """Return the area vector of a triangle."""
    a, b, c = (points[n] for n in triangle)
    return np.asarray(np.cross(b - a, c - a) / 2)


def triangulations(first: int, last: int) -> list[list[Triangle]]:
    """Return every way to cut the polygon of the points `first` to `last` into triangles."""
    if last - first < 2:
        return [[]]
    ways = []
    # The triangle on the side from `first` to `last` leaves a polygon on either side of its third point.
    for middle in range(first + 1, last):
        for before, after in itertools.product(triangulations(first, middle), triangulations(middle, last)):
            ways.append([*before, *after, (first, middle, last)])
    return ways
