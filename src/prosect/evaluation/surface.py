"""Normalised surface Dice: how much of two surfaces lies near the other (Nikolov et al., 2018)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
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
    No distance map is made: which cells are near enough follows from a few steps that are tried in turn, nearest first,
    and only for cells that are not settled yet. The work grows with the surfaces, not with the box around them.

    Args:
        found: A mask (i j k).
        truth: Another of the same shape.
        grid: Where both lie; its axes are taken as orthogonal.
        tolerance_mm: How far is near; 0 asks for the same cell.
    """
    box = Box.of(found) | Box.of(truth)
    if not box.size:
        return None
    areas = areas_mm2(grid.spacing_mm)
    steps = steps_within(np.asarray(grid.spacing_mm), tolerance_mm)
    first, second = cell_codes(found[box.slices]), cell_codes(truth[box.slices])
    # Code 0 is a cell outside, 255 one inside; the surface runs through all others.
    on_first, on_second = (first != 0) & (first != 255), (second != 0) & (second != 255)
    far = total = 0.0
    for codes, own, other in ((first, on_first, on_second), (second, on_second, on_first)):
        total += float(areas[codes[own]].sum())
        apart = own & ~other
        far += float(areas[codes[apart]][~reachable(apart, other, steps)].sum())
    return 1 - far / total


def steps_within(spacing: NDArray[np.float64], tolerance_mm: float) -> NDArray[np.int64]:
    """Return the steps (n 3) from a cell to all others within a distance, nearest first."""
    most_mm = tolerance_mm + ROUNDING_MM
    reach = np.floor(most_mm / spacing).astype(int)
    along_axes = [range(-n, n + 1) for n in reach]
    steps = np.array(list(itertools.product(*along_axes)))
    distance_mm = np.sqrt(((steps * spacing) ** 2).sum(axis=1))
    # Most cells have another close by, and one that is settled is not asked about again.
    order = np.argsort(distance_mm, kind="stable")
    is_near = distance_mm[order] <= most_mm
    return np.asarray(steps[order][is_near])


def reachable(cells: Mask, others: Mask, steps: NDArray[np.int64]) -> Mask:
    """Return for each (n) of some cells (i j k), in the order of memory, whether a step leads to one of the others."""
    reach = np.abs(steps).max(axis=0)
    # Padded as far as any step leads, so that a flat index plus a step never runs into the next row.
    field = np.pad(others, [(n, n) for n in reach])
    strides = np.array([field.shape[1] * field.shape[2], field.shape[2], 1])
    places = (np.argwhere(cells) + reach) @ strides
    flat = field.ravel()
    found = np.zeros(len(places), dtype=np.bool_)
    left = np.arange(len(places))  # numbers of the cells that are not settled yet
    for step in steps @ strides:
        hit = flat[places[left] + step]
        found[left[hit]] = True
        left = left[~hit]
    return found
