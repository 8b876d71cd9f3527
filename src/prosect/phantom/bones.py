"""The spine of the head and neck phantom, placed by a table of heights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.shapes import Loft, Shape, Without, tube

__all__ = ["spine"]

CORTEX_HU, MARROW_HU, ARCH_HU = 430.0, 195.0, 380.0
DISC_HU, FLUID_HU, CORD_HU = 85.0, 14.0, 42.0
BACK_OF_BODY_MM = 25.0  # from the middle of a vertebral body to the middle of the canal


def spine(heights: Mapping[str, float], curve: Iterable[tuple[float, float]], cord_end: float) -> list[Part]:
    """Return discs, vertebrae and cord.

    Args:
        heights: Middle height of each vertebra, such as `T12`.
        curve: Rows of height and y of the middle of the vertebral bodies, rising.
        cord_end: Where the cord ends.
    """
    table = np.asarray(tuple(curve), dtype=np.float64)
    names = sorted(heights, key=lambda name: heights[name])
    z = np.array([heights[name] for name in names], dtype=np.float64)
    y = np.interp(z, table[:, 0], table[:, 1])
    pitch = np.gradient(z)
    width = np.array([16.0 + 4.0 * np.clip((h - 14) / 20, 0, 1.6) for h in pitch])
    column = Loft(tuple((h, 0.0, a, w - 1.5, 0.72 * w) for h, a, w in zip(z, y, width, strict=True)), 2.4)
    canal = [(0.0, float(a) - BACK_OF_BODY_MM * w / 20, float(h)) for h, a, w in zip(z, y, width, strict=True)]
    parts = [Part("body", DISC_HU, (column,), 4)]
    for name, h, a, w, step in zip(names, z, y, width, pitch, strict=True):
        parts += vertebra(f"vertebrae {name}", float(h), float(a), float(w), float(step))
    ends = [(0.0, canal[0][1], table[0, 0] - 20), *canal, (0.0, canal[-1][1], table[-1, 0] + 20)]
    parts.append(Part("body", FLUID_HU, tube(ends, 8.5)))
    line = []
    for p in ends:
        if p[2] > cord_end:
            line.append(p)
    if len(line) > 1:
        parts.append(Part("spinal cord", CORD_HU, tube([(0.0, line[0][1], cord_end), *line], 5.4)))
    return parts


def vertebra(name: str, z: float, y: float, width: float, pitch: float) -> list[Part]:
    """Return body, arch and processes of one vertebra."""
    half = 0.39 * pitch
    # The distance is stated for a body of 20 mm half width, and shrinks with it.
    back = y - BACK_OF_BODY_MM * width / 20
    # A body is waisted: 0.9 of its width between the ends.
    rows = ((z - half, width), (z - half / 3, 0.9 * width), (z + half / 3, 0.9 * width), (z + half, width))
    body = Loft(tuple((height, 0.0, y, w, 0.74 * w) for height, w in rows), 2.4)
    inner_size = (width - 2.2, 0.74 * width - 2.2)
    inner = Loft(((z - half + 2, 0.0, y, *inner_size), (z + half - 2, 0.0, y, *inner_size)))
    ring = Loft(((z - half * 0.8, 0.0, back, 13.5, 12.5), (z + half * 0.5, 0.0, back, 13.5, 12.5)))
    hole = Loft(((z - pitch, 0.0, back, 8.5, 8.5), (z + pitch, 0.0, back, 8.5, 8.5)))
    arch: list[Shape] = [Without(ring, hole), *tube([(0, back - 10, z - 2), (0, back - 20, z - half)], (4.0, 3.0))]
    for side in (1, -1):
        arch += tube([(side * 11, back - 3, z), (side * (width + 15), back - 9, z)], (4.5, 3.2))
    return [
        Part(name, CORTEX_HU, (body,), 10),
        Part(None, MARROW_HU, (inner,), 25),
        Part(name, ARCH_HU, tuple(arch), 20),
    ]
