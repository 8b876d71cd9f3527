"""Distances between the surfaces of two masks in millimetres: HD95 and their mean, as the field reports them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.boxes import Box
from prosect.geometry import Grid

__all__ = ["Distances", "surface_distances"]

Mask = NDArray[np.bool_]

PERCENTILE = 95


@dataclass(frozen=True)
class Distances:
    """How far two surfaces lie apart.

    Attributes:
        hd95_mm: Of the 95th percentiles of the distances from either surface to the other, the larger.
        mean_mm: Mean of the distances from all voxels of both surfaces to the other surface.
    """

    hd95_mm: float
    mean_mm: float


def surface_distances(found: Mask, truth: Mask, grid: Grid) -> Distances | None:
    """Return how far the surfaces of two masks lie apart; None where one is empty: no distance is defined then.

    A surface is the voxels of a mask with a face to the outside, as in MONAI's `compute_hausdorff_distance` and
    `compute_average_surface_distance(symmetric=True)`; beyond the array is outside.

    Args:
        found: A mask (i j k).
        truth: Another of the same shape.
        grid: Where both lie; its axes are taken as orthogonal, spacing in mm.
    """
    if not found.any() or not truth.any():
        return None
    box = Box.of(found) | Box.of(truth)
    surfaces = surface(found[box.slices]), surface(truth[box.slices])
    forth = to_surface(surfaces[0], surfaces[1], grid)
    back = to_surface(surfaces[1], surfaces[0], grid)
    hd95_mm = max(float(np.percentile(forth, PERCENTILE)), float(np.percentile(back, PERCENTILE)))
    return Distances(hd95_mm, float(np.concatenate([forth, back]).mean()))


def surface(mask: Mask) -> Mask:
    """Return the voxels of a mask (i j k) that have a face to the outside."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def to_surface(voxels: Mask, other: Mask, grid: Grid) -> NDArray[np.float64]:
    """Return the distance (n) in mm from each of some voxels (i j k) to the nearest of another surface."""
    # Of each voxel the distance to the nearest of the other surface, which is where its complement is 0.
    field = ndimage.distance_transform_edt(~other, sampling=grid.spacing_mm)
    return np.asarray(field[voxels], dtype=np.float64)
