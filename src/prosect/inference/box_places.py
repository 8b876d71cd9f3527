"""Where in a drawn box the network is asked: the middle of a box need not lie in the structure.

The middle of a box around a vertebra is its canal, and a heart's middle may be the wall between two chambers. What
lies in a box that a person drew touches all its sides and does not leave it. So where the answer to a click in the
middle does neither, places nearer to the sides are tried, and the one whose answer fits the box best is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.places import Point

__all__ = ["ENOUGH", "MARGIN", "best_place", "box_fit", "places_in"]

# Chosen on necks that the shipped model was trained on and on organs of abdomens that it was not.
# An answer to the middle that fits this well is taken without trying other places.
ENOUGH = 0.6
# Another place is taken where its answer fits better by this much.
MARGIN = 0.1
# How far from the middle other places lie, as a share of half of the box.
ASIDE = 0.45


def places_in(drawn: Box, grid: Grid) -> list[Point]:
    """Return where in a box the network may be asked, in mm: in the middle, or nearer to one of the six sides.

    Args:
        drawn: In voxels of the scan.
        grid: The scan's grid.
    """
    middle = (np.asarray(drawn.start, dtype=np.float64) + np.asarray(drawn.stop) - 1) / 2
    voxels = [middle]
    for axis in range(3):
        for side in (-1, 1):
            place = middle.copy()
            place[axis] += side * ASIDE * drawn.shape[axis] / 2
            voxels.append(place)
    return [(x, y, z) for x, y, z in np.asarray(grid.to_world(voxels)).tolist()]


def best_place(places: Sequence[Point], fit_at: Callable[[Point], float]) -> int:
    """Return which place in a box is taken: the first, or the one whose answer fits the box clearly better.

    Args:
        places: See `places_in`.
        fit_at: Returns how well the answer to a click at a place fits the box; see `box_fit`.
    """
    fit_of_middle = fit_at(places[0])
    if fit_of_middle >= ENOUGH:
        return 0
    best, taken = fit_of_middle + MARGIN, 0
    for number, place in enumerate(places[1:], 1):
        fit = fit_at(place)
        if fit > best:
            best, taken = fit, number
    return taken


def box_fit(answer: NDArray[np.bool_], low: Sequence[float], high: Sequence[float]) -> float:
    """Return from 0 to 1 how well an answer fits a box: it reaches from side to side, and does not leave it.

    Args:
        answer: Where the network says yes (i j k), on the voxels of a patch.
        low: Where the box begins along i, j, k, in voxels of the patch; the middle of a voxel is a whole number.
        high: Where it ends.
    """
    places = np.nonzero(answer)
    if not len(places[0]):
        return 0.0
    inside = np.ones(len(places[0]), dtype=bool)
    for along, first, last in zip(places, low, high, strict=True):
        inside &= (along >= first - 0.5) & (along <= last + 0.5)
    if not inside.any():
        return 0.0
    reached = []
    for along, first, last in zip(places, low, high, strict=True):
        length = float(np.ptp(along[inside])) + 1
        reached.append(min(1.0, length / max(last - first, 1.0)))
    return float(np.prod(reached) ** (1 / 3) * inside.mean())
