"""Sampling an anatomy on any grid: Hounsfield units with soft edges and noise, and the truth beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.culling import depth_near_surface
from prosect.phantom.rods import paint_rods
from prosect.phantom.shapes import Array, Capsule, Shape
from prosect.phantom.view import View

__all__ = ["LOWEST_HU", "covering_grid", "render", "scan_noise"]

AIR_HU = -1000.0
LOWEST_HU = -1024.0
SLAB_VOXELS = 1 << 22
# As many rods as this are painted all at once.
MANY_RODS = 6


def covering_grid(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    spacing_mm: tuple[float, float, float],
    shape: tuple[int, int, int] | None,
) -> Grid:
    """Return a RAS grid over the box from `low` to `high`, or one of `shape` about its middle."""
    extent = np.subtract(high, low)
    ni, nj, nk = shape or (int(n) for n in np.maximum(np.ceil(extent / spacing_mm), 1))
    affine = np.diag([*spacing_mm, 1.0])
    middle = (np.asarray(low) + np.asarray(high)) / 2
    affine[:3, 3] = middle - (np.array([ni, nj, nk]) - 1) / 2 * spacing_mm
    return Grid((ni, nj, nk), affine)


def render(anatomy: Anatomy, grid: Grid, value_of: dict[str, int]) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return noiseless Hounsfield units and label values (i j k), each voxel sampled at its centre."""
    hu = np.empty(grid.shape, dtype=np.float32)
    labels = np.empty(grid.shape, dtype=np.uint16)
    depth = max(1, SLAB_VOXELS // (grid.shape[0] * grid.shape[1]))
    for start in range(0, grid.shape[2], depth):
        stop = min(start + depth, grid.shape[2])
        slab = grid.crop((0, 0, start), (*grid.shape[:2], stop))
        hu[:, :, start:stop], labels[:, :, start:stop] = paint_slab(anatomy, slab, value_of)
    return hu, labels


def paint_slab(
    anatomy: Anatomy, grid: Grid, value_of: dict[str, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return one slab with every part painted into it."""
    hu = np.full(grid.shape, AIR_HU, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    view = View(anatomy, grid)
    for part in anatomy.parts:
        if part.structure is None:
            value = None
        else:
            value = value_of[part.structure]
        free = open_to(part, value_of)
        rods = tuple(shape for shape in part.shapes if isinstance(shape, Capsule))
        if view.is_bent(part) and len(rods) == len(part.shapes) >= MANY_RODS:
            paint_rods(part, rods, view, hu, labels, value, free)
        else:
            paint_shapes(part, view, hu, labels, value, free)
    return hu, labels


def paint_shapes(
    part: Part,
    view: View,
    hu: NDArray[np.float32],
    labels: NDArray[np.uint16],
    value: int | None,
    free: NDArray[np.bool_] | None,
) -> None:
    """Paint the solids of a part one after another, in place."""
    edge_mm = view.edge_mm
    for shape in part.shapes:
        box = view.reach(shape, edge_mm, part.still)
        if box is None:
            continue
        x, y, z = view.points(box, part.still)
        depth = depth_near_surface(shape, x, y, z, edge_mm)
        allowed = np.True_ if free is None else free[labels[box]]
        if part.hu is not None:
            cover = soft_cover(shape, depth, edge_mm, view.is_bent(part)) * allowed
            own: NDArray[np.floating[Any]] | float = part.hu
            if part.texture_hu:
                own = part.hu + part.texture_hu * view.pattern(part.grain)[box]
            if part.slope_hu_mm:
                own = own - part.slope_hu_mm * y
            hu[box] += cover * (own - hu[box])
        if value is not None:
            np.copyto(labels[box], np.uint16(value), where=(depth >= 0) & allowed)


def open_to(part: Part, value_of: dict[str, int]) -> NDArray[np.bool_] | None:
    """Return by label value whether a part may cover it; None where it may cover everything."""
    if not part.over:
        return None
    table = np.zeros(max(value_of.values()) + 1, dtype=bool)
    table[[value_of[name] for name in part.over]] = True
    return table


def soft_cover(shape: Shape, depth: Array, edge_mm: float, fade: bool) -> Array:
    """Return which share of each voxel a shape fills; rods thinner than a voxel fade where that is asked for."""
    cover = np.clip(depth / edge_mm + 0.5, 0.0, 1.0)
    if fade and isinstance(shape, Capsule):
        cover *= shape.share(edge_mm)
    return np.asarray(cover)


def scan_noise(generator: np.random.Generator, grid: Grid, sd_hu: float) -> NDArray[np.float32]:
    """Return noise as a scanner makes it: correlated between in-plane neighbours, independent between slices."""
    noise = generator.standard_normal(grid.shape, dtype=np.float32)
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / np.float32(np.sqrt(6.0))
    return noise * np.float32(sd_hu)
