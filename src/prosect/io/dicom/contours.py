"""Masks as outlines and back: half-way contours with keyholes, filled by the even-odd rule.

An outline runs half-way between the centres of a pixel inside and its neighbour outside, so that whoever fills it by
the definition of DICOM gets the mask back exactly. A hole is joined to the outline around it by a channel of no width
(a keyhole, PS3.3 C.8.8.6.3), because many readers unite the contours of one slice and would fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from prosect.geometry import FloatArray

__all__ = ["fill", "outlines"]

# Pixels this near to an outline, in parts of a pixel, are on it.
ON_EDGE = 1e-6
FEWEST_POINTS = 3
# Closed rings (n, 2) at a level, the first point repeated at the end; scikit-image does not say the types.
TRACE: Callable[[NDArray[np.float32], float], list[FloatArray]] = measure.find_contours


def outlines(
    mask: NDArray[np.bool_], tolerance_mm: float = 0.0, spacing_mm: Sequence[float] = (1.0, 1.0)
) -> list[FloatArray]:
    """Return the closed outlines (n, 2) of a mask (row, column), in row and column index, without the repeated end.

    Diagonal neighbours are apart. Islands within holes are outlines of their own.

    Args:
        mask: The mask.
        tolerance_mm: How far an outline may pass the points that are left out of it; 0 keeps the mask exactly.
        spacing_mm: Distance of rows and of columns.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    # One pixel of background around, so that outlines close at the edge of the slice.
    corner = np.array([rows[0] - 1, columns[0] - 1])
    cropped = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    rings: list[FloatArray] = []
    for ring in TRACE(cropped.astype(np.float32), 0.5):
        plain = straighten(ring[:-1])
        rings.append(simplify(plain, tolerance_mm, spacing_mm) if tolerance_mm > 0 else plain)
    areas = [signed_area(ring) for ring in rings]
    # The ring of the largest area has nothing around it, so its turn is that of all outer rings.
    outer_turn = np.sign(areas[int(np.argmax(np.abs(areas)))])
    outer = [(abs(area), ring) for area, ring in zip(areas, rings, strict=True) if np.sign(area) == outer_turn]
    outer.sort(key=lambda pair: pair[0])
    joined = [ring for _, ring in outer]
    for area, ring in zip(areas, rings, strict=True):
        if np.sign(area) != outer_turn:
            around = smallest_around([each for _, each in outer], ring[0])
            joined[around] = keyhole(joined[around], ring)
    return [ring + corner for ring in joined]


def straighten(ring: FloatArray) -> FloatArray:
    """Return a ring (n, 2) without the points that lie on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    bends = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return np.asarray(ring[bends])


def simplify(ring: FloatArray, tolerance_mm: float, spacing_mm: Sequence[float]) -> FloatArray:
    """Return a ring (n, 2) with as few of its points as a tolerance allows (Douglas and Peucker, 1973).

    A ring of which fewer than three points would be left stays as it is.

    Args:
        ring: In row and column index.
        tolerance_mm: How far a point that is left out may lie from the ring.
        spacing_mm: Distance of rows and of columns.
    """
    points = ring * np.asarray(spacing_mm)
    # A ring has no ends, so it is cut at its first point and at the one that lies farthest from it.
    farthest = int(((points - points[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([points, points[:1]])
    kept = np.zeros(len(closed), dtype=np.bool_)
    kept[[0, farthest, len(points)]] = True
    parts = [(0, farthest), (farthest, len(points))]
    while parts:
        start, stop = parts.pop()
        if stop - start < 2:
            continue
        away = distances_to_line(closed[start + 1 : stop], closed[start], closed[stop])
        worst = int(away.argmax())
        if away[worst] > tolerance_mm:
            middle = start + 1 + worst
            kept[middle] = True
            parts += [(start, middle), (middle, stop)]
    fewer = ring[kept[:-1]]
    return fewer if len(fewer) >= FEWEST_POINTS else ring


def distances_to_line(points: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    """Return how far points (n, 2) lie from the line between two points."""
    along = stop - start
    length = float(np.hypot(*along))
    if not length:
        return np.asarray(np.hypot(*(points - start).T))
    off = points - start
    share = np.clip(off @ along / length**2, 0, 1)
    return np.asarray(np.hypot(*(off - share[:, np.newaxis] * along).T))


def signed_area(ring: FloatArray) -> float:
    """Return the area of a ring (n, 2), negative where it turns the other way."""
    following = np.roll(ring, -1, axis=0)
    return float((ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]).sum() / 2)


def smallest_around(outer: Sequence[FloatArray], point: FloatArray) -> int:
    """Return which of the outer rings, smallest first, is the first to hold a point."""
    for number, ring in enumerate(outer):
        if holds(ring, point):
            return number
    return len(outer) - 1


def holds(ring: FloatArray, point: FloatArray) -> bool:
    """Return whether a point lies inside a ring (n, 2)."""
    following = np.roll(ring, -1, axis=0)
    crosses = (ring[:, 0] <= point[0]) != (following[:, 0] <= point[0])
    one, other = ring[crosses], following[crosses]
    where = one[:, 1] + (point[0] - one[:, 0]) * (other[:, 1] - one[:, 1]) / (other[:, 0] - one[:, 0])
    return bool(np.count_nonzero(where > point[1]) % 2)


def keyhole(ring: FloatArray, hole: FloatArray) -> FloatArray:
    """Return a ring with a hole joined to it through their two closest points."""
    a, b = closest(ring, hole)
    # Round the hole and back the same way: both ends of the channel stand twice.
    return np.concatenate([ring[: a + 1], hole[b:], hole[: b + 1], ring[a:]])


def closest(ring: FloatArray, hole: FloatArray) -> tuple[int, int]:
    """Return the indices of the two closest points of a ring and a hole."""
    best, pair = np.inf, (0, 0)
    for b, point in enumerate(hole):
        distances = ((ring - point) ** 2).sum(axis=1)
        a = int(distances.argmin())
        if distances[a] < best:
            best, pair = float(distances[a]), (a, b)
    return pair


def fill(rings: Sequence[FloatArray], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (row, column) whose centres lie inside an odd number of rings.

    Args:
        rings: Closed outlines (n, 2) in row and column index; the last point leads back to the first.
        shape: Rows and columns; what lies beyond is cut off.
    """
    rows, columns = shape
    # Every crossing of a row turns all pixels from there on; the sum over a row tells inside from outside.
    turns = np.zeros((rows, columns + 1), np.int64)
    for ring in rings:
        crossed, places = crossings(ring)
        seen = (crossed >= 0) & (crossed < rows)
        starts = np.clip(np.ceil(places[seen] - ON_EDGE), 0, columns).astype(np.intp)
        np.add.at(turns, (crossed[seen], starts), 1)
    return np.asarray(np.cumsum(turns[:, :columns], axis=1) % 2 == 1)


def crossings(ring: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the rows whose pixel centres a ring (n, 2) passes, and the column at which it does, for every passage."""
    following = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring[:, 0], following[:, 0]), np.maximum(ring[:, 0], following[:, 0])
    # Half-open, so that a corner on a row counts once.
    first, after = np.ceil(low).astype(np.intp), np.ceil(high).astype(np.intp)
    counts = after - first
    edge = np.repeat(np.arange(len(ring)), counts)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = first[edge] + step
    one, other = ring[edge], following[edge]
    places = one[:, 1] + (rows - one[:, 0]) / (other[:, 0] - one[:, 0]) * (other[:, 1] - one[:, 1])
    return rows, places
