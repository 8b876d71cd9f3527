"""Colours of a picture: as few structures look alike as possible, left and right never do."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PALETTE", "colors_of"]

HUES = 12
# Saturation and value of three tones of each hue; dark orange, which reads as brown, is in none of them.
TONES = ((0.85, 1.0), (0.45, 1.0), (1.0, 0.72))
BROWN_HUES = (1, 2)
OUTLINE = (0.95, 0.95, 0.9)


def palette() -> tuple[tuple[float, float, float], ...]:
    """Return colours (red, green, blue from 0 to 1), neighbours far apart in hue."""
    colors: list[tuple[float, float, float]] = []
    for saturation, value in TONES:
        for step in range(HUES):
            hue = step * 5 % HUES  # five and twelve have no divisor in common, so each hue comes once
            if value < 1.0 and hue in BROWN_HUES:
                continue
            colors.append(colorsys.hsv_to_rgb(hue / HUES, saturation, value))
    return tuple(colors)


PALETTE = palette()


def colors_of(indices: Sequence[int], around: Sequence[int], largest: int) -> NDArray[np.float64]:
    """Return a row of red, green, blue (0 to 1) for each label value up to the largest.

    The structures found take the colours in the order of their indices, each its own as long as there are enough;
    those that are drawn as lines only are nearly white.
    """
    colors = np.zeros((largest + 1, 3))
    place = 0
    for index in sorted(indices):
        if index in around:
            colors[index] = OUTLINE
            continue
        colors[index] = PALETTE[place % len(PALETTE)]
        place += 1
    return colors
