"""Surface Dice by its definition, for cubic voxels: every cell, and every pair of cells. Slow on purpose."""

from __future__ import annotations

import itertools
import math

import numpy as np

Corner = tuple[int, int, int]
Cell = tuple[int, int, int]

# Area of the cut around a group of corners of a unit cell, by the number of its corners and of the edges between them.
TRIANGLE = math.sqrt(3) / 8  # one corner: three midpoints of edges, sides of sqrt(1/2)
RECTANGLE = math.sqrt(1 / 2)  # an edge: 1 by sqrt(1/2)
BEND = 1 / 2 + 3 * TRIANGLE  # an edge and the next: half a face, and a trapezium of three such triangles
FACE = 1.0
TRIPOD = 6 * TRIANGLE  # a corner with its three neighbours: a regular hexagon
CHAIN = TRIANGLE + 3 * TRIANGLE + math.sqrt(1 / 2)  # three edges in a row that do not close: a bent hexagon


def surface_dice(found: np.ndarray, truth: np.ndarray, spacing_mm: float, tolerance_mm: float) -> float | None:
    """Return the share of both surfaces that lies within a tolerance of the other; None where both are empty."""
    first, second = pieces(found), pieces(truth)
    if not first and not second:
        return None
    near = 0.0
    for own, other in ((first, second), (second, first)):
        for cell, area in own.items():
            distances = [spacing_mm * math.dist(cell, far) for far in other]
            if distances and min(distances) <= tolerance_mm + 1e-6:
                near += area
    return near / (sum(first.values()) + sum(second.values()))


def pieces(mask: np.ndarray) -> dict[Cell, float]:
    """Return the area of the surface in every cell that has any, in squares of a voxel's side."""
    padded = np.pad(mask, 1)
    found = {}
    for cell in itertools.product(*(range(n - 1) for n in padded.shape)):
        corners = {c for c in itertools.product((0, 1), repeat=3) if padded[tuple(np.add(cell, c))]}
        if 0 < len(corners) < 8:
            found[cell] = area(corners)
    return found


def area(corners: set[Corner]) -> float:
    """Return the area that cuts the fewer corners of a unit cell off from the others."""
    everything = set(itertools.product((0, 1), repeat=3))
    left = set(corners if len(corners) <= 4 else everything - corners)
    total = 0.0
    while left:
        group, todo = set(), [left.pop()]
        while todo:
            here = todo.pop()
            group.add(here)
            for other in [c for c in left if math.dist(here, c) == 1]:
                left.remove(other)
                todo.append(other)
        total += cut(group)
    return total


def cut(group: set[Corner]) -> float:
    """Return the area of the cut around a group of corners that hang together."""
    edges = [(a, b) for a, b in itertools.combinations(group, 2) if math.dist(a, b) == 1]
    if len(group) < 4:
        return {1: TRIANGLE, 2: RECTANGLE, 3: BEND}[len(group)]
    if len(edges) == 4:
        return FACE
    star = any(sum(corner in edge for edge in edges) == 3 for corner in group)
    return TRIPOD if star else CHAIN
