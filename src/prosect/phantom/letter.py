"""A letter F with analytic ellipsoids: no mirroring, shift or transposition of it can pass unseen."""

from __future__ import annotations

import numpy as np

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.scanner import render
from prosect.phantom.shapes import Box, Ellipsoid
from prosect.volume import Source, Volume

__all__ = ["LETTER", "asymmetric_letter"]

# World mm. The letter stands in the coronal plane and is read from the front: its arms point to the patient's left.
STROKES = (
    Box((24.0, -8.0, -48.0), (36.0, 8.0, 52.0)),
    Box((-30.0, -8.0, 40.0), (36.0, 8.0, 52.0)),
    Box((-14.0, -8.0, 0.0), (36.0, 8.0, 12.0)),
)
STROKE_HU = 250.0
# Structure -> attenuation and solid. All sizes and places differ, and none lies on a symmetry plane of another.
LETTER: dict[str, tuple[float, Ellipsoid]] = {
    "liver": (110.0, Ellipsoid((4.0, 41.0, 26.0), (13.0, 17.0, 11.0))),
    "spleen": (120.0, Ellipsoid((-33.0, -37.0, -21.0), (19.0, 12.0, 15.0))),
    "aorta": (160.0, Ellipsoid((-9.0, 11.0, -33.0), (10.0, 10.0, 10.0))),
}


def asymmetric_letter(grid: Grid | None = None, spacing_mm: float = 2.0) -> tuple[Volume, LabelMap]:
    """Return the letter and its three ellipsoids; `LETTER` holds their exact centres and volumes.

    Args:
        grid: Where to sample; a RAS cube of 128 mm about the origin by default.
        spacing_mm: Voxel size of that cube.
    """
    if grid is None:
        count = round(128 / spacing_mm)
        affine = np.diag([spacing_mm] * 3 + [1.0])
        affine[:3, 3] = -(count - 1) / 2 * spacing_mm
        grid = Grid((count, count, count), affine)
    words = vocabulary.load("prosect")
    parts = [Part(None, 0, (Ellipsoid((0, 0, 0), (62, 58, 60)),)), Part("bone", STROKE_HU, STROKES)]
    parts += [Part(name, hu, (solid,)) for name, (hu, solid) in LETTER.items()]
    hu, labels = render(Anatomy(tuple(parts)), grid, {name: words[name].index for name in ("bone", *LETTER)})
    return Volume(hu, grid, "CT", Source(name="letter phantom", format="phantom")), LabelMap(labels, grid, words)
