"""Spine and rib cage, placed by tables of heights, for the torso and the neck alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from prosect.phantom.scanner import Part
from prosect.phantom.shapes import Both, Ellipsoid, Loft, Point, Shape, Without, tube

__all__ = ["rib_cage_bones", "spine"]

CORTEX_HU, MARROW_HU, ARCH_HU, CARTILAGE_HU = 430.0, 195.0, 380.0, 95.0
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
    line = [p for p in ends if p[2] > cord_end]
    if len(line) > 1:
        parts.append(Part("spinal cord", CORD_HU, tube([(0.0, line[0][1], cord_end), *line], 5.4)))
    return parts


def vertebra(name: str, z: float, y: float, width: float, pitch: float) -> list[Part]:
    """Return body, arch and processes of one vertebra."""
    half = 0.39 * pitch
    rows = [(z - half, width), (z - half / 3, 0.9 * width), (z + half / 3, 0.9 * width), (z + half, width)]
    body = Loft(tuple((h, 0.0, y, w, 0.74 * w) for h, w in rows), 2.4)
    inner = Loft(tuple((h, 0.0, y, w - 2.2, 0.74 * w - 2.2) for h, w in [(z - half + 2, width), (z + half - 2, width)]))
    back = y - BACK_OF_BODY_MM * width / 20
    ring = Loft(tuple((z + d, 0.0, back, 13.5, 12.5) for d in (-half * 0.8, half * 0.5)))
    hole = Loft(tuple((z + d, 0.0, back, 8.5, 8.5) for d in (-pitch, pitch)))
    spike = tube([(0, back - 10, z - 2), (0, back - 20, z - half)], (4.0, 3.0))
    wings = [tube([(s * 11, back - 3, z), (s * (width + 15), back - 9, z)], (4.5, 3.2)) for s in (1, -1)]
    return [
        Part(name, CORTEX_HU, (body,), 10),
        Part(None, MARROW_HU, (inner,), 25),
        Part(name, ARCH_HU, (Without(ring, hole), *spike, *wings[0], *wings[1]), 20),
    ]


def rib_cage_bones(heights: Mapping[str, float], cage: Loft, curve: Iterable[tuple[float, float]]) -> list[Part]:
    """Return ribs with their cartilage, breastbone, shoulder blades and collar bones."""
    table = np.asarray(tuple(curve), dtype=np.float64)
    parts = []
    for number in range(1, 13):
        start = heights.get(f"T{number}")
        if start is None:
            continue
        back = float(np.interp(start, table[:, 0], table[:, 1])) - 16
        for name, side in (("right", 1), ("left", -1)):
            bone, cartilage = rib(number, side, start, back, cage)
            if cartilage:
                parts.append(Part("costal cartilages", CARTILAGE_HU, tube(cartilage, 4.2)))
            parts.append(Part(f"{name} rib {number}", CORTEX_HU, tube(bone, 4.6), 15))
            parts.append(Part(None, MARROW_HU, tube(bone, 2.3)))
    return parts + breast_and_shoulder(cage)


def rib(number: int, side: int, start: float, back: float, cage: Loft) -> tuple[list[Point], list[Point]]:
    """Return the path of one rib and of its cartilage along the cage, from the spine forwards and down."""
    until = {10: 25.0, 11: -15.0, 12: -38.0}.get(number, 62.0)
    fall = 22.0 + 5.5 * min(number, 9)
    path: list[Point] = [(side * 24.0, back, start)]
    path += [along(cage, angle, side, start - fall * share(angle)) for angle in np.linspace(-66, until, 14)]
    if number > 7:
        return path, []
    return path, [path[-1]] + [along(cage, a, side, path[-1][2] + (a - until) * 0.6) for a in (70.0, 78.0, 86.0)]


def share(angle: float) -> float:
    """Return which part of its fall a rib has made at an angle (degrees, -90 behind, 90 in front)."""
    return float((angle + 80) / 150)


def along(cage: Loft, angle: float, side: int, z: float) -> Point:
    """Return the point of the cage wall at an angle and a height."""
    _, cy, rx, ry = (float(v) for v in cage.at(np.asarray(z)))
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    power = 2.0 / cage.power
    return float(side * rx * c**power), float(cy + ry * np.sign(s) * abs(s) ** power), float(z)


def breast_and_shoulder(cage: Loft) -> list[Part]:
    """Return breastbone, shoulder blades and collar bones."""
    front = [(float(z), along(cage, 90, 1, z)[1]) for z in (66.0, 120.0, 168.0, 196.0)]
    sternum = Loft(tuple((z, 0.0, y + 3, w, 6.0) for (z, y), w in zip(front, (12, 17, 16, 25), strict=True)), 2.5)
    inner = Loft(tuple((z, 0.0, y + 3, w - 3, 3.5) for (z, y), w in zip(front, (12, 17, 16, 25), strict=True)), 2.5)
    parts = [Part("sternum", 330, (sternum,), 10), Part(None, 150, (inner,), 15)]
    for name, side in (("right", 1), ("left", -1)):
        blade: Shape = Ellipsoid((side * 96, -72, 158), (40, 4.2, 52), turn_z=side * 28.0)
        path: Sequence[Point] = [(side * 18.0, 58.0, 197.0), (side * 60.0, 55.0, 212.0), (side * 104.0, 10.0, 226.0)]
        parts.append(Part(f"{name} scapula", 360, (Both(blade, cage_outside(cage)),), 20))
        parts.append(Part(f"{name} clavicula", 400, tube(path, 5.5), 15))
    return parts


def cage_outside(cage: Loft) -> Shape:
    """Return everything around the cage."""
    room = Loft(((-400, 0, 0, 400, 400), (600, 0, 0, 400, 400)))
    return Without(room, cage.shrunk(-7))
