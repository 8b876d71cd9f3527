"""Distances of surfaces, straight from their definition: every voxel of one to every voxel of the other."""

from __future__ import annotations

import itertools
import math

import numpy as np

Place = tuple[int, int, int]


def surface(mask: np.ndarray) -> list[Place]:
    """Return the voxels of a mask (i j k) one of whose six neighbours is outside."""
    inside = {tuple(map(int, place)) for place in np.argwhere(mask)}
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    found = []
    for i, j, k in sorted(inside):
        if any((i + a, j + b, k + c) not in inside for a, b, c in steps):
            found.append((i, j, k))
    return found


def nearest(places: list[Place], others: list[Place], spacing: tuple[float, float, float]) -> list[float]:
    """Return the distance from each place to the nearest of the others, in mm."""
    found = []
    for place in places:
        gaps = []
        for other in others:
            steps = [(a - b) * mm for a, b, mm in zip(place, other, spacing, strict=True)]
            gaps.append(math.hypot(*steps))
        found.append(min(gaps))
    return found


def hd95_and_mean(found: np.ndarray, truth: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Return the larger 95th percentile, between the two nearest values, and the mean of all distances."""
    first, second = surface(found), surface(truth)
    forth, back = nearest(first, second, spacing), nearest(second, first, spacing)
    percentiles = []
    for values in (sorted(forth), sorted(back)):
        at = 0.95 * (len(values) - 1)
        low, high = values[math.floor(at)], values[math.ceil(at)]
        percentiles.append(low + (high - low) * (at - math.floor(at)))
    return max(percentiles), sum(forth + back) / len(forth + back)
