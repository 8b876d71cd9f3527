"""Trees of vessels and airways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.shapes import Capsule, Point

__all__ = ["rod", "tree"]


def tree(
    generator: np.random.Generator,
    start: Point,
    toward: Sequence[Point],
    radius_mm: float,
    levels: int,
    shortening: float = 0.78,
) -> list[Capsule]:
    """Return the rods of a tree that forks at every level.

    Args:
        generator: Source of the angles and lengths.
        start: Where the stem begins.
        toward: Where its first branches end; each forks from there on.
        radius_mm: Of the first branches; every fork keeps the sum of the squared radii.
        levels: How often each branch forks.
        shortening: Length of a branch over that of the one before.
    """
    rods: list[Capsule] = []
    tips = []
    for goal in toward:
        end = np.asarray(goal) + generator.normal(0, 3.0, 3)
        rods.append(rod(np.asarray(start, dtype=np.float64), end, radius_mm * 1.25, radius_mm))
        tips.append((end, end - np.asarray(start), radius_mm))
    for _ in range(levels):
        following = []
        for at, way, radius in tips:
            for end, heading in forks(generator, at, way, shortening):
                thin = radius * float(generator.uniform(0.68, 0.86))
                rods.append(rod(at, end, radius * 0.9, thin))
                following.append((end, heading, thin))
        tips = following
    return rods


def forks(
    generator: np.random.Generator, at: NDArray[np.float64], way: NDArray[np.float64], shortening: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the ends and headings of two branches that leave `at`, where a branch along `way` ended."""
    (a, b, c), (x, y, z) = way, generator.normal(size=3)
    aside = np.array([b * z - c * y, c * x - a * z, a * y - b * x])
    # At right angles to the branch and as long as it, so that cosine and sine share out its length.
    aside *= np.linalg.norm(way) / max(float(np.linalg.norm(aside)), 1e-6)
    branches = []
    for sign in (1.0, -1.0):
        angle = generator.uniform(0.25, 0.75)
        heading = way * np.cos(angle) + sign * aside * np.sin(angle)
        heading *= shortening * generator.uniform(0.75, 1.25)
        branches.append((at + heading, heading))
    return branches


def rod(start: NDArray[np.float64], stop: NDArray[np.float64], first_mm: float, last_mm: float) -> Capsule:
    """Return a rod as plain numbers."""
    a, b = start.tolist(), stop.tolist()
    return Capsule((a[0], a[1], a[2]), (b[0], b[1], b[2]), first_mm, last_mm)
