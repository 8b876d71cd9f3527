"""Solids in world millimetres (RAS) that can be asked at any point how deep inside it lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Both", "Box", "Capsule", "Ellipsoid", "HalfSpace", "Loft", "Shape", "Without", "tube"]

Point = tuple[float, float, float]
Array = NDArray[np.floating]


class Shape(Protocol):
    """A solid."""

    def bounds(self) -> NDArray[np.float64]:
        """Return the lowest and highest corner (2, 3) of a box that holds the solid."""

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return how deep each point lies: positive inside, 0 on the surface, in mm near the surface."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, turned about the superior axis and then about the anterior axis.

    Attributes:
        center: World position of its middle.
        radii_mm: Half axes.
        turn_z: Degrees about S, counted from R to A.
        turn_y: Degrees about A, counted from S to R.
    """

    center: Point
    radii_mm: Point
    turn_z: float = 0.0
    turn_y: float = 0.0

    @property
    def volume_ml(self) -> float:
        """Exact volume."""
        a, b, c = self.radii_mm
        return float(4.0 / 3.0 * np.pi * a * b * c / 1000.0)

    def axes(self) -> NDArray[np.float64]:
        """Return the directions of the three half axes as columns (3, 3)."""
        angle_z, angle_y = np.deg2rad(self.turn_z), np.deg2rad(self.turn_y)
        cos, sin = np.cos(angle_z), np.sin(angle_z)
        about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        cos, sin = np.cos(angle_y), np.sin(angle_y)
        about_y = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        return np.asarray(about_y @ about_z)

    def bounds(self) -> NDArray[np.float64]:
        """Return the tight axis-aligned box."""
        reach = np.sqrt(((self.axes() * np.asarray(self.radii_mm)) ** 2).sum(axis=1))
        return np.stack([np.asarray(self.center) - reach, np.asarray(self.center) + reach])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth, exact on the surface and to first order near it."""
        d = (x - self.center[0], y - self.center[1], z - self.center[2])
        first: Array = np.zeros((1, 1, 1), dtype=np.float32)
        second = first
        for axis, radius in zip(self.axes().T, self.radii_mm, strict=True):
            along = weighted_sum(d, axis)
            first = first + (along / radius) ** 2
            second = second + (along / radius**2) ** 2
        rho = np.maximum(np.sqrt(first), 1e-3)
        return np.asarray((1.0 - rho) * rho / np.maximum(np.sqrt(second), 1e-6))


@dataclass(frozen=True)
class Capsule:
    """A rod with round ends whose radius changes evenly from `start` to `stop`."""

    start: Point
    stop: Point
    start_radius_mm: float
    stop_radius_mm: float

    def bounds(self) -> NDArray[np.float64]:
        """Return the box around both balls."""
        start, stop = np.asarray(self.start, dtype=np.float64), np.asarray(self.stop, dtype=np.float64)
        low = np.minimum(start - self.start_radius_mm, stop - self.stop_radius_mm)
        high = np.maximum(start + self.start_radius_mm, stop + self.stop_radius_mm)
        return np.stack([low, high])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the radius at the nearest point of the axis minus the distance to it."""
        rod = np.subtract(self.stop, self.start)
        d = (x - self.start[0], y - self.start[1], z - self.start[2])
        part = np.clip(weighted_sum(d, rod / max(float(rod @ rod), 1e-9)), 0.0, 1.0)
        square = sum((d[n] - part * rod[n]) ** 2 for n in range(3))
        radius = self.start_radius_mm + part * (self.stop_radius_mm - self.start_radius_mm)
        return np.asarray(radius - np.sqrt(square))

    def share(self, edge_mm: float) -> float:
        """Return by how much a painter with soft edges of this width must fade the rod to keep its true mass.

        A ramp of width e about radius r covers pi (r^2 + e^2 / 12) of a cross-section, and pi (r + e / 2)^3 / (3 e)
        where the rod is thinner than the ramp, instead of pi r^2.
        """
        radius = (self.start_radius_mm + self.stop_radius_mm) / 2
        if radius >= edge_mm / 2:
            return radius**2 / (radius**2 + edge_mm**2 / 12)
        return 3 * edge_mm * radius**2 / (radius + edge_mm / 2) ** 3


@dataclass(frozen=True)
class Loft:
    """A stack of superellipses along S, blended between stations.

    Attributes:
        stations: Rows of z, middle x, middle y, half width x, half width y, z rising.
        power: 2 for ellipses; more is squarer.
        shrink_mm: How far the wall is moved inwards (the flat ends stay).
    """

    stations: tuple[tuple[float, float, float, float, float], ...]
    power: float = 2.0
    shrink_mm: float = 0.0

    def shrunk(self, by_mm: float) -> Loft:
        """Return the loft with its wall moved inwards."""
        return Loft(self.stations, self.power, self.shrink_mm + by_mm)

    def at(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """Return middle x, middle y and both half widths at heights `z`."""
        heights, *columns = np.asarray(self.stations, dtype=np.float64).T
        cx, cy, rx, ry = (np.interp(z, heights, column) for column in columns)
        # However far a wall is moved inwards, something is left: a loft has an inside at every height.
        return cx, cy, np.maximum(rx - self.shrink_mm, 0.1), np.maximum(ry - self.shrink_mm, 0.1)

    def bounds(self) -> NDArray[np.float64]:
        """Return the box around all stations."""
        z, middle_x, middle_y, half_x, half_y = np.asarray(self.stations, dtype=np.float64).T
        low = np.array([(middle_x - half_x).min(), (middle_y - half_y).min(), z.min()])
        high = np.array([(middle_x + half_x).max(), (middle_y + half_y).max(), z.max()])
        return np.stack([low, high])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth along the ray from the middle of the slice, or to a flat end where that is nearer."""
        cx, cy, rx, ry = self.at(z)
        dx, dy = x - cx, y - cy
        # 0 in the middle of the slice, 1 at its wall.
        rho = ((np.abs(dx) / rx) ** self.power + (np.abs(dy) / ry) ** self.power) ** (1.0 / self.power)
        rho = np.maximum(rho, 1e-3)
        wall = np.sqrt(dx**2 + dy**2 + 1e-6) / rho * (1.0 - rho)
        ends = np.minimum(z - self.stations[0][0], self.stations[-1][0] - z)
        return np.asarray(np.minimum(wall, ends))


@dataclass(frozen=True)
class Box:
    """A box along the world axes."""

    low: Point
    high: Point

    def bounds(self) -> NDArray[np.float64]:
        """Return its corners."""
        return np.array([self.low, self.high], dtype=np.float64)

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the distance to the nearest face."""
        faces = []
        for p, a, b in zip((x, y, z), self.low, self.high, strict=True):
            faces.append(np.minimum(p - a, b - p))
        return np.asarray(np.minimum(np.minimum(faces[0], faces[1]), faces[2]))


@dataclass(frozen=True)
class HalfSpace:
    """Everything on the far side of a plane: `normal . p >= offset_mm`, with a unit normal."""

    normal: Point
    offset_mm: float

    def bounds(self) -> NDArray[np.float64]:
        """Return a box larger than any patient; meant to be combined with a bounded solid."""
        return np.array([[-1e4] * 3, [1e4] * 3])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the distance to the plane."""
        return weighted_sum((x, y, z), np.asarray(self.normal)) - self.offset_mm


@dataclass(frozen=True)
class Both:
    """What lies in `first` and in `second`."""

    first: Shape
    second: Shape

    def bounds(self) -> NDArray[np.float64]:
        """Return the overlap of both boxes."""
        a, b = self.first.bounds(), self.second.bounds()
        return np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the lesser depth."""
        return np.minimum(self.first.depth_mm(x, y, z), self.second.depth_mm(x, y, z))


@dataclass(frozen=True)
class Without:
    """What lies in `first` but not in `second`."""

    first: Shape
    second: Shape

    def bounds(self) -> NDArray[np.float64]:
        """Return the box of `first`."""
        return self.first.bounds()

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth in `first`, cut at the surface of `second`."""
        return np.minimum(self.first.depth_mm(x, y, z), -self.second.depth_mm(x, y, z))


def tube(points: Sequence[Point], radii_mm: float | Iterable[float]) -> tuple[Capsule, ...]:
    """Return rods that join `points`, with one radius for all or one for each."""
    if isinstance(radii_mm, int | float):
        radii = [float(radii_mm)] * len(points)
    else:
        radii = [float(r) for r in radii_mm]
    ends = itertools.pairwise(zip(points, radii, strict=True))
    return tuple(Capsule(a, b, ra, rb) for (a, ra), (b, rb) in ends)


def weighted_sum(d: tuple[Array, Array, Array], weights: NDArray[np.float64]) -> Array:
    """Return the sum of three coordinates times weights, leaving out zeros so that open grids stay open."""
    total: Array = np.zeros((1, 1, 1), dtype=np.float32)
    for coordinate, weight in zip(d, weights, strict=True):
        if weight:
            total = total + coordinate * np.float32(weight)
    return total
