"""Sampling an anatomy on any grid: Hounsfield units with soft edges and noise, and the truth beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.phantom.shapes import Array, Shape

__all__ = ["Anatomy", "Part", "covering_grid", "render", "scan_noise"]

AIR_HU = -1000.0
LOWEST_HU = -1024.0
SLAB_VOXELS = 1 << 22
# A smooth random field of unit variance: waves this long (mm) in random directions.
WAVELENGTHS_MM = (9.0, 14.0, 22.0, 35.0)


@dataclass(frozen=True)
class Part:
    """One thing in the body, painted over everything before it.

    Attributes:
        structure: Name in the vocabulary, or None to leave the labels as they are.
        hu: Mean attenuation.
        shapes: Its solids, in world mm of a body of unit scale.
        texture_hu: Standard deviation of its unevenness.
    """

    structure: str | None
    hu: float
    shapes: tuple[Shape, ...]
    texture_hu: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """A whole body: parts in the order they are painted.

    Attributes:
        parts: Outermost first.
        scale: Stretch along R, A, S.
        waves: Wave vectors (1/mm) and phases (n, 4) of the texture.
    """

    parts: tuple[Part, ...]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    waves: NDArray[np.float32] | None = None


def random_waves(generator: np.random.Generator) -> NDArray[np.float32]:
    """Return two waves of each length in random directions."""
    rows = []
    for length in WAVELENGTHS_MM * 2:
        direction = generator.normal(size=3)
        direction *= 2 * np.pi / length / np.linalg.norm(direction)
        rows.append([*direction, generator.uniform(0, 2 * np.pi)])
    return np.asarray(rows, dtype=np.float32)


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
    hu = np.full(grid.shape, AIR_HU, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    depth = max(1, SLAB_VOXELS // (grid.shape[0] * grid.shape[1]))
    for start in range(0, grid.shape[2], depth):
        stop = min(start + depth, grid.shape[2])
        slab = grid.crop((0, 0, start), (*grid.shape[:2], stop))
        paint(anatomy, slab, value_of, hu[:, :, start:stop], labels[:, :, start:stop])
    return hu, labels


def paint(
    anatomy: Anatomy, grid: Grid, value_of: dict[str, int], hu: NDArray[np.float32], labels: NDArray[np.uint16]
) -> None:
    """Paint every part into one slab, in place."""
    edge_mm = float(np.mean(grid.spacing_mm))
    pattern = texture(anatomy, grid)
    for part in anatomy.parts:
        value = None if part.structure is None else value_of[part.structure]
        for shape in part.shapes:
            for box in reach(shape, anatomy, grid, edge_mm):
                depth = shape.depth_mm(*coordinates(anatomy, grid, box))
                cover = np.clip(depth / edge_mm + 0.5, 0.0, 1.0)
                own = part.hu if not part.texture_hu else part.hu + part.texture_hu * pattern[box]
                hu[box] += cover * (own - hu[box])
                if value is not None:
                    np.copyto(labels[box], np.uint16(value), where=depth >= 0)


def reach(shape: Shape, anatomy: Anatomy, grid: Grid, margin_mm: float) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the voxel box that the shape can touch, or nothing where it misses the grid."""
    low, high = shape.bounds() * np.asarray(anatomy.scale) + [[-margin_mm], [margin_mm]]
    corners = np.array([[low[n] if bit >> n & 1 else high[n] for n in range(3)] for bit in range(8)])
    voxels = grid.to_voxel(corners)
    start = np.maximum(np.floor(voxels.min(axis=0)), 0).astype(int)
    stop = np.minimum(np.ceil(voxels.max(axis=0)) + 1, grid.shape).astype(int)
    if (start < stop).all() and (low <= high).all():
        yield slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])


def coordinates(anatomy: Anatomy, grid: Grid, box: tuple[slice, slice, slice]) -> tuple[Array, Array, Array]:
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


def scan_noise(generator: np.random.Generator, grid: Grid, sd_hu: float) -> NDArray[np.float32]:
    """Return noise as a scanner makes it: correlated between in-plane neighbours, independent between slices."""
    noise = generator.standard_normal(grid.shape, dtype=np.float32)
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / np.float32(np.sqrt(6.0))
    return noise * np.float32(sd_hu)
