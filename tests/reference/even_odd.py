"""Which pixels lie inside outlines, one pixel and one edge at a time: the slow twin of `contours.fill`."""

from __future__ import annotations

import numpy as np

__all__ = ["inside"]


def inside(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels (row, column) whose ray to the right crosses the rings (n, 2) an odd number of times."""
    mask = np.zeros(shape, bool)
    for row in range(shape[0]):
        for column in range(shape[1]):
            crossings = 0
            for ring in rings:
                for (y0, x0), (y1, x1) in zip(ring, [*ring[1:], ring[0]], strict=True):
                    if (y0 <= row) != (y1 <= row) and x0 + (row - y0) / (y1 - y0) * (x1 - x0) > column:
                        crossings += 1
            mask[row, column] = crossings % 2
    return mask
