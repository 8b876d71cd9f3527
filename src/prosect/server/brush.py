"""The voxels under the path of a brush."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.server.view import View

__all__ = ["Stroke", "rasterise"]

Point = tuple[float, ...]


@dataclass(frozen=True)
class Stroke:
    """One movement of a brush.

    Attributes:
        structure: Name.
        path: Where the brush went, in RAS mm.
        radius_mm: Its radius.
        axis: The axis of the display copy that is normal to the plane painted in; None paints balls.
        erase: Whether voxels are removed.
    """

    structure: str
    path: tuple[Point, ...]
    radius_mm: float
    axis: int | None
    erase: bool = False


def rasterise(stroke: Stroke, grid: Grid, view: View) -> tuple[Box, NDArray[np.bool_]]:
    """Return the voxels of the scan within a brush's radius of its path, and the box that they lie in (i j k).

    In a plane only voxels of that plane are taken, so the neighbours that a person does not see stay as they are. The
    voxel under each point of the path is always taken, however thin the brush.
    """
    points = np.asarray(stroke.path, dtype=np.float64)
    voxels = grid.to_voxel(points)
    reach = np.asarray([stroke.radius_mm / spacing for spacing in grid.spacing_mm])
    if stroke.axis is not None:
        normal = view.order.axes[stroke.axis]
        voxels[:, normal] = np.rint(voxels[:, normal])
        points = grid.to_world(voxels)
        reach[normal] = 0.0
    box = box_around(voxels, reach, grid)
    near = np.zeros(box.shape, dtype=np.bool_)
    # From each point to the next the brush sweeps a capsule; each is looked at in a box of its own, as paths are long.
    for number in range(len(points)):
        pair = slice(number, number + 2)
        part = box_around(voxels[pair], reach, grid)
        near[part.within(box)] |= capsule(points[pair], stroke.radius_mm, part, grid)
    last = np.asarray(grid.shape) - 1
    under = np.clip(np.rint(voxels), 0, last).astype(int) - box.start
    near[under[:, 0], under[:, 1], under[:, 2]] = True
    return box, near


def box_around(voxels: NDArray[np.float64], reach: NDArray[np.float64], grid: Grid) -> Box:
    """Return the box inside a grid that holds points (n, 3), in voxels, and what lies within reach of them."""
    last = np.asarray(grid.shape) - 1
    low = np.clip(np.floor(voxels.min(axis=0) - reach), 0, last).astype(int)
    high = np.clip(np.ceil(voxels.max(axis=0) + reach), 0, last).astype(int) + 1
    return Box((int(low[0]), int(low[1]), int(low[2])), (int(high[0]), int(high[1]), int(high[2])))


def capsule(ends: NDArray[np.float64], radius_mm: float, box: Box, grid: Grid) -> NDArray[np.bool_]:
    """Return the voxels of a box (i j k) whose centres lie within a radius of a segment; one end is a ball."""
    axes = [np.arange(start, stop) for start, stop in zip(box.start, box.stop, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    from_begin = grid.to_world(index.reshape(-1, 3)).reshape(index.shape) - ends[0]
    along = ends[-1] - ends[0]
    length = float(along @ along)
    if length:
        share = np.clip(from_begin @ along / length, 0.0, 1.0)
        from_begin = from_begin - share[..., None] * along
    return np.asarray((from_begin**2).sum(axis=-1) <= radius_mm**2)
