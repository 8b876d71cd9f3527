"""Normalised surface Dice: how much of two surfaces lies near the other (Nikolov et al., 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.evaluation.distances import near
from prosect.evaluation.surfels import areas_mm2, cell_codes
from prosect.geometry import Grid

__all__ = ["TOLERANCE_MM", "surface_dice"]

Mask = NDArray[np.bool_]

TOLERANCE_MM = 2.0  # of the CVPR 2025 challenge; TotalSegmentator reports at 3
# Distances are sums of squares; at exactly the tolerance rounding must not decide.
ROUNDING_MM = 1e-6


def surface_dice(found: Mask, truth: Mask, grid: Grid, tolerance_mm: float = TOLERANCE_MM) -> float | None:
    """Return the share of both surfaces that lies within a tolerance of the other, 0 to 1; None where both are empty.

    The same measure as MONAI's `compute_surface_dice(use_subvoxels=True)` and `surface-distance`, to the last digit.
    No distance map is made: the cells that both surfaces share need none, and for the few others the nearest cell is
    found in a tree. The work grows with the surfaces, not with the box around them.

    Args:
        found: A mask (i j k).
        truth: Another of the same shape.
        grid: Where both lie; its axes are taken as orthogonal.
        tolerance_mm: How far is near; 0 asks for the same cell.
    """
    box = Box.of(found) | Box.of(truth)
    if not box.size:
        return None
    spacing = np.asarray(grid.spacing_mm)
    areas = areas_mm2(grid.spacing_mm)
    first, second = (cell_codes(mask[box.slices]) for mask in (found, truth))
    on_first, on_second = ((codes != 0) & (codes != 255) for codes in (first, second))
    places = [np.argwhere(on) * spacing for on in (on_first, on_second)]
    far = total = 0.0
    for codes, own, other, others in (
        (first, on_first, on_second, places[1]),
        (second, on_second, on_first, places[0]),
    ):
        total += float(areas[codes[own]].sum())
        apart = own & ~other
        reached = near(np.argwhere(apart) * spacing, others, tolerance_mm + ROUNDING_MM)
        far += float(areas[codes[apart]][~reached].sum())
    return 1 - far / total
