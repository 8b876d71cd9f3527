"""Shape and first-order features of a structure, as the Image Biomarker Standardisation Initiative defines them.

Source: IBSI reference manual, chapters "Morphological features" and "Intensity-based statistical features"; the keys
are the tags of its reference tables. Nothing is resampled, discretised or filtered: the scan and the labels are taken
as they are. Texture features are not computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from skimage import measure as skimage_measure

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.labelmap import Labels
from prosect.volume import Volume

__all__ = ["features_of", "finite", "first_order", "radiomics", "shape"]

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Features = dict[str, float]


def radiomics(labels: Labels, volume: Volume) -> dict[int, Features]:
    """Return the features of each structure that is present, by index.

    Args:
        labels: What was found.
        volume: The scan, on the same grid.
    """
    found: dict[int, Features] = {}
    for index in labels.present:
        found[index] = features_of(labels.own_mask(index), volume.array, labels.grid)
    return found


def features_of(mask: Mask, scan: NDArray[Any], grid: Grid) -> Features:
    """Return shape and first-order features of one structure.

    Args:
        mask: Where it is (i j k); at least one voxel.
        scan: Intensities (i j k).
        grid: Their grid; sizes are in millimetres.
    """
    box = Box.of_value(mask, True)
    inside, around = mask[box.slices], grid.crop(box.start, box.stop)
    values = scan[box.slices]
    return {**shape(inside, values, around), **first_order(values[inside])}


def shape(mask: Mask, scan: NDArray[Any], grid: Grid) -> Features:
    """Return morphological features of a mask (i j k) in millimetres; the mask fills its box."""
    voxels = np.argwhere(mask)
    count, voxel_mm3 = len(voxels), grid.voxel_volume_ml * 1000
    centres = grid.to_world(voxels)
    weights = scan[mask].astype(np.float64)
    vertices, triangles = surface(mask, grid)
    volume, area = mesh_volume(vertices, triangles), mesh_area(vertices, triangles)
    sides = np.asarray(mask.shape) * grid.spacing_mm
    box_area = 2 * float(sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    return {
        "morph_volume": volume,
        "morph_vol_approx": count * voxel_mm3,
        "morph_area_mesh": area,
        **roundness(volume, area),
        "morph_com": shift_of_mass(centres, weights),
        "morph_diam": largest_distance(vertices),
        **principal_axes(centres),
        "morph_vol_dens_aabb": volume / float(sides.prod()),
        "morph_area_dens_aabb": area / box_area,
        "morph_integ_int": volume * float(weights.mean()),
    }


def surface(mask: Mask, grid: Grid) -> tuple[Points, NDArray[np.int64]]:
    """Return the surface between the voxels inside and outside: vertices (v 3) in world mm, triangles (t 3)."""
    meshes: Any = skimage_measure  # it has no types
    vertices, triangles, _, _ = meshes.marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)
    return grid.to_world(vertices.astype(np.float64) - 1), triangles


def mesh_volume(vertices: Points, triangles: NDArray[np.int64]) -> float:
    """Return the volume in mm3 inside a closed surface: the sum of signed tetrahedra."""
    middle = vertices.mean(axis=0)  # so that no digits are lost far from the origin
    a, b, c = (vertices[triangles[:, corner]] - middle for corner in range(3))
    return abs(float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum())) / 6


def mesh_area(vertices: Points, triangles: NDArray[np.int64]) -> float:
    """Return the area of a surface in mm2."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def roundness(volume: float, area: float) -> Features:
    """Return what compares a surface with that of a ball of its volume (mm3, mm2)."""
    ball = 36 * math.pi * volume**2
    sphericity = ball ** (1 / 3) / area
    return {
        "morph_av": area / volume,
        "morph_comp_1": volume / (math.sqrt(math.pi) * area**1.5),
        "morph_comp_2": ball / area**3,
        "morph_sph_dispr": 1 / sphericity,
        "morph_sphericity": sphericity,
        "morph_asphericity": 1 / sphericity - 1,
    }


def shift_of_mass(centres: Points, weights: NDArray[np.float64]) -> float:
    """Return the distance in mm between the mean place (n 3) and that weighted by intensities (n); NaN for none."""
    total = float(weights.sum())
    if total == 0:
        return math.nan
    weighted = (centres * weights[:, None]).sum(axis=0) / total
    return float(np.linalg.norm(centres.mean(axis=0) - weighted))


def largest_distance(vertices: Points) -> float:
    """Return the largest distance in mm between two vertices (v 3); only those of the convex hull can have it."""
    try:
        corners = vertices[ConvexHull(vertices).vertices]
    except QhullError:  # a hull of no thickness
        corners = vertices
    return float(pdist(corners).max())


def principal_axes(centres: Points) -> Features:
    """Return lengths in mm of the ellipsoid of the same covariance as the voxels (n 3), and its proportions."""
    if len(centres) > 1:
        spread = np.linalg.eigvalsh(np.cov(centres.T, bias=False))
    else:
        spread = np.zeros(3)
    least, minor, major = (4 * math.sqrt(max(float(value), 0.0)) for value in spread)
    return {
        "morph_pca_maj_axis": major,
        "morph_pca_min_axis": minor,
        "morph_pca_least_axis": least,
        "morph_pca_elongation": quotient(minor, major),
        "morph_pca_flatness": quotient(least, major),
    }


def first_order(values: NDArray[Any]) -> Features:
    """Return statistics of intensities (n), at least one."""
    x = values.astype(np.float64)
    mean, median = float(x.mean()), float(np.median(x))
    variance = float(x.var())
    p10, p25, p75, p90 = (float(value) for value in np.percentile(x, [10, 25, 75, 90]))
    middle = x[(x >= p10) & (x <= p90)]
    return {
        "stat_mean": mean,
        "stat_var": variance,
        "stat_skew": quotient(float(((x - mean) ** 3).mean()), variance**1.5),
        # excess kurtosis: that of a normal distribution is 0
        "stat_kurt": quotient(float(((x - mean) ** 4).mean()), variance**2, 3.0) - 3.0,
        "stat_median": median,
        "stat_min": float(x.min()),
        "stat_p10": p10,
        "stat_p90": p90,
        "stat_max": float(x.max()),
        "stat_iqr": p75 - p25,
        "stat_range": float(x.max() - x.min()),
        "stat_mad": float(np.abs(x - mean).mean()),
        "stat_rmad": float(np.abs(middle - middle.mean()).mean()),
        "stat_medad": float(np.abs(x - median).mean()),
        "stat_cov": quotient(math.sqrt(variance), mean, math.nan),
        "stat_qcod": quotient(p75 - p25, p75 + p25, math.nan),
        "stat_energy": float((x**2).sum()),
        "stat_rms": math.sqrt(float((x**2).mean())),
    }


def quotient(above: float, below: float, otherwise: float = 0.0) -> float:
    """Return a quotient, or what it is where its divisor is 0."""
    if below:
        return above / below
    return otherwise


def finite(features: Mapping[str, float]) -> dict[str, float | None]:
    """Return features for JSON, which has no NaN."""
    found: dict[str, float | None] = {}
    for name, value in features.items():
        if math.isfinite(value):
            found[name] = value
        else:
            found[name] = None
    return found
