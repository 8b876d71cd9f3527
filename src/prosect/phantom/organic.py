"""Solids of living shape: rounded unions, lumpy surfaces, fans of fibres, curved tubes and stacks along a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosect.phantom.bending import rotation
from prosect.phantom.shapes import Array, Capsule, Point, Shape, tube

__all__ = ["Blend", "Bulk", "Grown", "Rough", "Slab", "bent_tube", "curve", "fan", "roughen"]


# Farther outside than this (mm), how far does not matter.
NEARBY_MM = 22.0


@dataclass(frozen=True)
class Blend:
    """Everything in any of the shapes, with the creases between them filled.

    Attributes:
        shapes: What is joined.
        soft_mm: Over which difference in depth two of them flow together; 0 is the plain union.
    """

    shapes: tuple[Shape, ...]
    soft_mm: float = 0.0

    def bounds(self) -> NDArray[np.float64]:
        """Return the box around all of them."""
        boxes = np.stack([shape.bounds() for shape in self.shapes])
        return np.stack([boxes[:, 0].min(axis=0) - self.soft_mm / 2, boxes[:, 1].max(axis=0) + self.soft_mm / 2])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the greatest depth, raised by up to a quarter of `soft_mm` where two are alike."""
        total = self.shapes[0].depth_mm(x, y, z)
        for shape in self.shapes[1:]:
            if x.ndim == 1 and len(self.shapes) > 3:
                other = nearby_depth(shape, x, y, z)
            else:
                other = shape.depth_mm(x, y, z)
            if not self.soft_mm:
                total = np.maximum(total, other)
                continue
            near = np.maximum(self.soft_mm - np.abs(total - other), 0.0)
            total = np.maximum(total, other) + near * near * np.float32(0.25 / self.soft_mm)
        return total


def nearby_depth(shape: Shape, x: Array, y: Array, z: Array) -> Array:
    """Return the depth at points (n,); those far outside the box of the shape are only known to lie outside."""
    low, high = shape.bounds() + np.array([[-NEARBY_MM], [NEARBY_MM]])
    near = (x > low[0]) & (x < high[0])
    for axis, a in ((1, y), (2, z)):
        near &= (a > low[axis]) & (a < high[axis])
    depth = np.full(x.shape, -NEARBY_MM, dtype=np.float32)
    depth[near] = np.ravel(shape.depth_mm(x[near], y[near], z[near]))
    return depth


@dataclass(frozen=True)
class Grown:
    """A shape whose surface is moved outwards, or inwards where `by_mm` is negative."""

    shape: Shape
    by_mm: float

    def bounds(self) -> NDArray[np.float64]:
        """Return the box of the shape, moved likewise."""
        return np.asarray(self.shape.bounds() + np.array([[-self.by_mm], [self.by_mm]]))

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth in the shape and a constant."""
        return np.asarray(self.shape.depth_mm(x, y, z) + np.float32(self.by_mm))


@dataclass(frozen=True)
class Rough:
    """A shape with hills and hollows.

    Attributes:
        shape: What it is without them.
        waves: Wave vectors (1/mm), phases and heights in mm (n, 5), as a tuple so that the shape stays a value.
    """

    shape: Shape
    waves: tuple[tuple[float, float, float, float, float], ...]

    def bounds(self) -> NDArray[np.float64]:
        """Return the box of the shape and of its highest possible hill."""
        most = sum(abs(wave[4]) for wave in self.waves)
        return np.asarray(self.shape.bounds() + np.array([[-most], [most]]))

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth in the shape and the height of the hill."""
        depth = self.shape.depth_mm(x, y, z)
        for a, b, c, phase, height in self.waves:
            # The sine of a sum, so that open grids stay open.
            along = np.float32(a) * x + np.float32(phase)
            across = np.float32(b) * y + np.float32(c) * z
            wave = np.sin(along) * np.cos(across) + np.cos(along) * np.sin(across)
            depth = depth + wave * np.float32(height)
        return np.asarray(depth)


def roughen(shape: Shape, generator: np.random.Generator, height_mm: float, length_mm: float, count: int = 4) -> Rough:
    """Return the shape with random hills of about this height, this far apart."""
    waves = []
    for _ in range(count):
        direction = generator.normal(size=3)
        direction *= 2 * np.pi / (length_mm * generator.uniform(0.7, 1.4)) / np.linalg.norm(direction)
        height = height_mm * generator.uniform(0.5, 1.2) / np.sqrt(count)
        waves.append((*(float(d) for d in direction), float(generator.uniform(0, 2 * np.pi)), float(height)))
    return Rough(shape, tuple(waves))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Bulk:
    """A superellipsoid in any position.

    Attributes:
        center: World position of its middle.
        radii_mm: Half axes.
        turn: Degrees about R, then A, then S.
        power: 2 for an ellipsoid; more is fuller.
    """

    center: Point
    radii_mm: Point
    turn: Point = (0.0, 0.0, 0.0)
    power: float = 2.0

    def axes(self) -> NDArray[np.float64]:
        """Return the directions of the half axes as columns (3, 3)."""
        return rotation(*np.deg2rad(self.turn))

    def bounds(self) -> NDArray[np.float64]:
        """Return a box that holds it."""
        axes = self.axes() * np.asarray(self.radii_mm)
        if self.power <= 2:
            reach = np.sqrt((axes**2).sum(axis=1))
        else:
            reach = np.abs(axes).sum(axis=1)
        return np.stack([np.asarray(self.center) - reach, np.asarray(self.center) + reach])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth, exact on the surface and to first order near it."""
        away = away_from(self.center, x, y, z)
        # Sum of powers of the distances in radii, and the square of its slope: one over the other is a distance in mm.
        first: Array = np.zeros((1, 1, 1), dtype=np.float32)
        second = first
        for axis, radius in zip(self.axes().T, self.radii_mm, strict=True):
            per_mm = np.float32(1 / radius)
            unit = np.abs(along_axis(axis, away)) * per_mm
            # An ellipsoid is most of the body, and a square costs far less than a power.
            low = unit if self.power == 2.0 else unit ** np.float32(self.power - 1)
            first = first + low * unit
            second = second + (low * per_mm) ** 2
        rho = np.maximum(first, 1e-6) ** np.float32(1 / self.power)
        slope = np.sqrt(np.maximum(second, 1e-12)) * np.maximum(rho, 1e-3) ** np.float32(1 - self.power)
        return np.asarray((1.0 - rho) / slope)


@dataclass(frozen=True)
class Slab:
    """A round or oval block, as a vertebral body: a superellipse in two axes, flat along the third.

    Attributes:
        center: World position of its middle.
        half_mm: Half sizes along its own R, A and S.
        turn: Degrees about R, then A, then S.
        power: Of the outline; 2 is an ellipse.
        waist: By which share it is narrower half way up.
    """

    center: Point
    half_mm: Point
    turn: Point = (0.0, 0.0, 0.0)
    power: float = 2.4
    waist: float = 0.0

    def bounds(self) -> NDArray[np.float64]:
        """Return a box that holds it."""
        reach = np.abs(rotation(*np.deg2rad(self.turn)) * np.asarray(self.half_mm)).sum(axis=1)
        return np.stack([np.asarray(self.center) - reach, np.asarray(self.center) + reach])

    def depth_mm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the depth below the nearer of outline and flat end."""
        away = away_from(self.center, x, y, z)
        own = rotation(*np.deg2rad(self.turn)).T
        u, v, w = (along_axis(axis, away) for axis in own)
        rx, ry, rz = (np.float32(h) for h in self.half_mm)
        thin: Array = np.ones(1, dtype=np.float32)
        if self.waist:
            half_way = np.clip(1 - (w / rz) ** 2, 0.0, 1.0)
            thin = np.asarray(1.0 - np.float32(self.waist) * half_way)
        power = np.float32(self.power)
        # How far out in its own slice a point lies, 1 at the wall; the ray from the middle says how many mm that is.
        rho = ((np.abs(u) / rx) ** power + (np.abs(v) / ry) ** power) ** (1 / power)
        from_middle = np.sqrt(u * u + v * v + np.float32(1e-6))
        wall = from_middle * (thin / np.maximum(rho, np.float32(1e-3)) - 1)
        return np.asarray(np.minimum(wall, rz - np.abs(w)))


def away_from(center: Point, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return coordinates of points in mm, counted from a place."""
    a, b, c = (np.float32(value) for value in center)
    return x - a, y - b, z - c


def along_axis(axis: NDArray[np.float64], away: tuple[Array, Array, Array]) -> Array:
    """Return how far points lie along a unit vector (3), in mm.

    World axes that it does not run along are left out, so that open grids stay open.
    """
    total: Array | int = 0
    for weight, coordinate in zip(axis, away, strict=True):
        if abs(weight) > 1e-9:
            total = total + np.float32(weight) * coordinate
    return np.asarray(total)


def curve(points: ArrayLike, per_piece: int = 4) -> NDArray[np.float64]:
    """Return a smooth line (n, d) through points (m, d), each piece between two of them in `per_piece` steps."""
    table = np.asarray(points, dtype=np.float64)
    ends = np.vstack([2 * table[0] - table[1], table, 2 * table[-1] - table[-2]])
    # Catmull and Rom's cubic between b and c; the points beside them, a and d, give its slopes at both ends.
    a, b, c, d = (ends[n : n + len(table) - 1, None] for n in range(4))
    slope = c - a
    square = 2 * a - 5 * b + 4 * c - d
    cube = 3 * b - a - 3 * c + d
    t = (np.arange(per_piece) / per_piece)[:, None]
    pieces = 0.5 * (2 * b + slope * t + square * t**2 + cube * t**3)
    return np.vstack([pieces.reshape(-1, table.shape[1]), table[-1]])


def bent_tube(points: Sequence[Point], radii_mm: float | Sequence[float], per_piece: int = 4) -> tuple[Capsule, ...]:
    """Return a round tube along a smooth line through points, with one radius for all or one for each."""
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), len(points))
    rows = curve(np.column_stack([np.asarray(points, dtype=np.float64), radii]), per_piece)
    rows[:, 3] = np.maximum(rows[:, 3], 0.3)  # the smooth line may swing below the radii that it passes
    line: list[Point] = list(map(tuple, rows[:, :3].tolist()))
    return tube(line, rows[:, 3].tolist())


def fan(
    start: Sequence[Point], stop: Sequence[Point], radii_mm: tuple[float, float], count: int, soft_mm: float = 4.0
) -> Blend:
    """Return a sheet of rods from one curved line to another, as a fan-shaped muscle or a flat bone.

    Args:
        start: Points of the first line.
        stop: Points of the second, in the same order.
        radii_mm: Radius at the first and at the second line.
        count: How many rods.
        soft_mm: See `Blend`.
    """
    first, second = along(start, count), along(stop, count)
    rods = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        rods.append(Capsule(tuple(a), tuple(b), *radii_mm))
    return Blend(tuple(rods), soft_mm)


def along(points: Sequence[Point], count: int) -> NDArray[np.float64]:
    """Return positions (count, 3) at even distances on the smooth line through points."""
    if len(points) > 2:
        line = curve(points, 8)
    else:
        line = np.asarray(points, dtype=np.float64)
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.linspace(0, steps[-1], count)
    return np.stack([np.interp(wanted, steps, line[:, axis]) for axis in range(3)], axis=1)
