"""Where the voxels of a grid lie in a body, and what textures are there."""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.shapes import Array, Shape

__all__ = ["Box3", "View"]

Box3: TypeAlias = tuple[slice, slice, slice]


class View:
    """Where the voxels of one slab lie in the body, and its textures there; each is worked out when first asked for."""

    def __init__(self, anatomy: Anatomy, grid: Grid) -> None:
        self.anatomy, self.grid = anatomy, grid
        self.whole: Box3 = (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
        self.grains: dict[int, NDArray[np.float32]] = {}
        self.to_voxel = np.linalg.inv(grid.affine)
        if anatomy.bend is None:
            self.turned = self.to_voxel[:3, :3]
        else:
            self.turned = self.to_voxel[:3, :3] @ anatomy.bend.turn

    @property
    def edge_mm(self) -> float:
        """Width of the soft edge of every solid: a voxel."""
        return float(np.mean(self.grid.spacing_mm))

    def is_bent(self, part: Part) -> bool:
        """Whether a part takes part in the bending of its body."""
        return self.anatomy.bend is not None and not part.still

    def reach(self, shape: Shape, margin_mm: float, still: bool = False) -> Box3 | None:
        """Return the voxel box that the shape can touch, or None where it misses the grid."""
        (start,), (stop,) = self.boxes(shape.bounds()[None], margin_mm, still)
        if (start >= stop).any():
            return None
        return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])

    def boxes(
        self, bounds: NDArray[np.float64], margin_mm: float, still: bool = False
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return first voxels and one past the last (n 3) of what solids in boxes (n 2 3) of the body can touch.

        Where there is nothing to touch, a box ends before it begins.
        """
        if still:
            bend = None
        else:
            bend = self.anatomy.bend
        scale = np.asarray((1.0, 1.0, 1.0) if still else self.anatomy.scale)
        middle, half = bounds.mean(axis=1), (bounds[:, 1] - bounds[:, 0]) / 2
        empty = (half < 0).any(axis=1)
        if bend is not None:
            middle, slack = bend.before(middle, half)
            half = half + slack[:, None]
        half = half * scale + margin_mm
        if bend is None:
            place = middle * scale
        else:
            place = bend.place(middle * scale)
        center = place @ self.to_voxel[:3, :3].T + self.to_voxel[:3, 3]
        # A turned box reaches as far along an axis as its half sizes do together, each by its share.
        extent = half @ np.abs(self.to_voxel[:3, :3] if still else self.turned).T
        start = np.maximum(np.floor(center - extent), 0).astype(np.intp)
        stop = np.minimum(np.ceil(center + extent) + 1, self.grid.shape).astype(np.intp)
        # Two solids that do not meet have a box with negative sides, which would pass for a small one.
        stop[empty] = 0
        return start, stop

    def points(self, box: Box3, still: bool = False) -> tuple[Array, Array, Array]:
        """Return x, y, z of the voxels of `box` in a straight body of unit scale, as arrays that broadcast to it."""
        if still or self.anatomy.bend is None:
            return coordinates(Anatomy(()) if still else self.anatomy, self.grid, box)
        x, y, z = self.bent
        return x[box], y[box], z[box]

    def pattern(self, grain: int | None) -> NDArray[np.float32]:
        """Return a texture of unit variance over the slab."""
        if grain is None:
            return self.even
        return self.grained(grain)

    @functools.cached_property
    def bent(self) -> tuple[Array, Array, Array]:
        """Coordinates in the straight body of every voxel."""
        assert self.anatomy.bend is not None
        return self.anatomy.bend.straighten(*coordinates(Anatomy(()), self.grid, self.whole), self.anatomy.scale)

    @functools.cached_property
    def even(self) -> NDArray[np.float32]:
        """The texture made of waves."""
        return texture(self.anatomy, self.grid)

    def grained(self, index: int) -> NDArray[np.float32]:
        """Return a texture made of grains, fixed to the body."""
        if index not in self.grains:
            self.grains[index] = self.anatomy.grains[index](*self.points(self.whole))
        return self.grains[index]


def coordinates(anatomy: Anatomy, grid: Grid, box: Box3) -> tuple[Array, Array, Array]:
    """Return x, y, z of the voxels of `box` in a body of unit scale, as arrays that broadcast to the box.

    An axis along which a coordinate does not change keeps length 1: on grids along the world axes that saves most
    of the work.
    """
    axes = np.ogrid[box]
    points = []
    for world in range(3):
        total = np.full((1, 1, 1), grid.affine[world, 3])
        for axis, weight in zip(axes, grid.affine[world, :3], strict=True):
            if weight:
                total = total + axis * weight
        points.append((total / anatomy.scale[world]).astype(np.float32))
    return points[0], points[1], points[2]


def texture(anatomy: Anatomy, grid: Grid) -> NDArray[np.float32]:
    """Return the unevenness of tissue in world space, of unit variance: the same on every grid."""
    pattern = np.zeros(grid.shape, dtype=np.float32)
    if anatomy.waves is None:
        return pattern
    x, y, z = coordinates(anatomy, grid, (slice(0, grid.shape[0]), slice(0, grid.shape[1]), slice(0, grid.shape[2])))
    for a, b, c, phase in anatomy.waves:
        pattern += np.sin(a * x + b * y + c * z + phase, dtype=np.float32)
    pattern *= np.sqrt(2.0 / len(anatomy.waves))
    return pattern
