"""How a body lies and is bent: a smooth map from the world to a straight, upright body."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.shapes import Array

__all__ = ["Bend", "random_bend"]

# Wavelength (mm), largest displacement (mm) and number of waves: posture, girth, and the wobble of every surface.
LONG, MIDDLE, SHORT = (300.0, 620.0, 7.0, 3), (120.0, 240.0, 2.6, 4), (48.0, 80.0, 0.75, 5)


@dataclass(frozen=True, eq=False)
class Bend:
    """A turn, a shift and a sum of waves.

    Attributes:
        turn: Rotation (3 3) of the body in the world.
        shift_mm: Where the body's origin lies in the world.
        waves: Wave vectors (1/mm), phases and displacements in mm (n, 7), added to body coordinates.
    """

    turn: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    waves: NDArray[np.float32]

    @functools.cached_property
    def largest_mm(self) -> float:
        """No point is displaced by more."""
        return float(np.linalg.norm(np.abs(self.waves[:, 4:]).sum(axis=0)))

    @functools.cached_property
    def steepest(self) -> float:
        """Two points are displaced by no more than this times their distance against each other."""
        return float((np.linalg.norm(self.waves[:, :3], axis=1) * np.linalg.norm(self.waves[:, 4:], axis=1)).sum())

    def push(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacements (n, 3) at points (n, 3) of the body."""
        return np.asarray(np.sin(points @ self.waves[:, :3].T + self.waves[:, 3]) @ self.waves[:, 4:])

    def before(
        self, points: NDArray[np.float64], half_mm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middles (n, 3) of what the waves move into boxes, and by how much more it can reach (n).

        Args:
            points: Middles of the boxes.
            half_mm: Their half sizes.
        """
        # One step of a fixed point: where a point was before the waves moved it here.
        pushed = self.push(points - self.push(points))
        slack = self.steepest * (np.linalg.norm(half_mm, axis=1) + self.steepest * self.largest_mm)
        wide = slack >= self.largest_mm
        return np.where(wide[:, None], points, points - pushed), np.where(wide, self.largest_mm, slack)

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return world positions (..., 3) of body positions, without the waves."""
        return np.asarray(points @ self.turn.T + self.shift_mm)

    def straighten(self, x: Array, y: Array, z: Array, scale: tuple[float, float, float]) -> tuple[Array, Array, Array]:
        """Return body coordinates of world points, as whole arrays.

        Args:
            x: World coordinates, as arrays that broadcast.
            y: The same along A.
            z: The same along S.
            scale: Stretch of the body along R, A, S.
        """
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        moved = (x - self.shift_mm[0], y - self.shift_mm[1], z - self.shift_mm[2])
        body = []
        for axis in range(3):
            total = sum(np.float32(self.turn[world, axis]) * moved[world] for world in range(3))
            body.append(np.broadcast_to(np.asarray(total / scale[axis], dtype=np.float32), shape).copy())
        straight = tuple(array.copy() for array in body)
        for a, b, c, phase, *push in self.waves:
            wave = np.sin(a * body[0] + b * body[1] + c * body[2] + phase)
            for axis in range(3):
                straight[axis][...] += wave * np.float32(push[axis])
        return straight[0], straight[1], straight[2]


def random_bend(generator: np.random.Generator, strength: float = 1.0) -> Bend:
    """Return how one person lies and is bent.

    Args:
        generator: Source of the draw.
        strength: 0 is a straight body in the middle, 1 the usual variation.
    """
    g = generator
    angles = np.deg2rad(g.normal(0, (1.5, 1.5, 3.0)).clip(-6, 6)) * strength
    shift = g.normal(0, (8.0, 6.0, 0.0)) * strength
    rows = []
    for shortest, longest, most, count in (LONG, MIDDLE, SHORT):
        for _ in range(count):
            length = g.uniform(shortest, longest)
            direction = g.normal(size=3)
            push = g.normal(size=3)
            direction *= 2 * np.pi / length / np.linalg.norm(direction)
            # Less for each of several waves, so that together they displace by about as much as one.
            push *= most * strength * g.uniform(0.4, 1.0) / np.linalg.norm(push) / np.sqrt(count)
            rows.append([*direction, g.uniform(0, 2 * np.pi), *push])
    return Bend(rotation(*angles), shift, np.asarray(rows, dtype=np.float32))


def rotation(about_x: float, about_y: float, about_z: float) -> NDArray[np.float64]:
    """Return the rotation (3 3) about R, then A, then S (radians)."""
    turn = np.eye(3)
    for axis, angle in enumerate((about_x, about_y, about_z)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn
