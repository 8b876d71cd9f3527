"""Where labels of a DICOM object are to lie: the grid of a scan, and which of its slices has which identifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import FloatArray, Grid
from prosect.io.dicom.source import DicomHeader, slices_by_uid
from prosect.volume import Volume

__all__ = ["LPS_TO_RAS", "NEAR", "TOLD", "Pieces", "Target", "off_by", "target_of"]

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
# How far, in voxels, a pixel may lie from the voxel that it becomes, and an outline from its slice.
NEAR = 0.25
# Beyond this, in voxels and in mm, the distance is told; what is less, rounded coordinates leave.
TOLD, TOLD_MM = 0.1, 0.02

# A label value with the indices (n, 3) of its voxels, a part at a time.
Pieces = Iterator[tuple[int, NDArray[np.intp]]]


@dataclass(frozen=True, eq=False)
class Target:
    """Where labels are to lie.

    Attributes:
        grid: The grid.
        slices: The index along k of each slice, by SOP Instance UID and frame number (0 for none).
    """

    grid: Grid
    slices: Mapping[tuple[str, int], int]


def target_of(like: Volume | Grid) -> Target:
    """Return where labels of a scan lie."""
    if isinstance(like, Grid):
        return Target(like, {})
    header = like.source.header
    if not isinstance(header, DicomHeader):
        return Target(like.grid, {})
    return Target(like.grid, slices_by_uid(header))


def off_by(away_vox: FloatArray, grid: Grid) -> float:
    """Return the largest of the distances (n, 3), in voxels, in mm; 0 where none is worth a word."""
    away_mm = np.abs(away_vox) * grid.spacing_mm
    told = (np.abs(away_vox) > TOLD) & (away_mm > TOLD_MM)
    return float(np.max(away_mm, initial=0.0, where=told))
