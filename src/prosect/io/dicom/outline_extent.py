"""How far the outlines of a DICOM structure set reach, for those who have no scan to put them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prosect.geometry import FloatArray
from prosect.io.dicom.label_object import read_object
from prosect.io.dicom.label_target import LPS_TO_RAS
from prosect.io.dicom.pixels import parse
from prosect.io.dicom.structures import regions_of

__all__ = ["outline_points"]


def outline_points(path: Path) -> FloatArray:
    """Return the points (n, 3) of all outlines in RAS mm.

    Args:
        path: An RTSTRUCT file, or a folder or zip that holds one.

    Raises:
        FormatError: There is none, or it is damaged.
    """
    raw, name = read_object(path)
    regions, _ = regions_of(name, parse(name, raw))
    points = [np.empty((0, 3))]
    for region in regions:
        points += [outline.points_lps for outline in region.outlines]
    return np.asarray(np.concatenate(points) * LPS_TO_RAS)
