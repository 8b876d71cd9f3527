"""DICOM series of every geometry with labels on them, and where the voxels of a label object lie, read by hand.

The reader here is its own: it shares no line with the package, so that the two can disagree.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

import prosect
from prosect import vocabulary
from worlds.dicom import LPS, save_series

__all__ = ["PROVENANCE", "ZOO", "label_points", "labelled_series", "same_points", "seg_points"]

Points = dict[str, NDArray[np.float64]]
C, S = np.cos(0.3), np.sin(0.3)
OBLIQUE = np.linalg.qr(np.array([[0.9, 0.2, -0.1], [-0.25, 0.95, 0.15], [0.1, -0.2, 0.97]]))[0]

# Image Orientation, and the step from slice to slice where it is not along the normal.
ZOO: dict[str, tuple[tuple[float, ...], tuple[float, ...] | None]] = {
    "axial": ((1, 0, 0, 0, 1, 0), None),
    "mirrored columns": ((1, 0, 0, 0, -1, 0), None),
    "mirrored rows": ((-1, 0, 0, 0, 1, 0), None),
    "coronal": ((1, 0, 0, 0, 0, -1), None),
    "sagittal": ((0, 1, 0, 0, 0, -1), None),
    "turned": ((C, S, 0, -S, C, 0), None),
    "oblique": (tuple(np.round(OBLIQUE[:2].ravel(), 9)), None),
    "tilted gantry": ((1, 0, 0, 0, 1, 0), (0.0, 0.6, 2.5)),
}
PROVENANCE = {
    "model": "prosect-small",
    "weights_sha256": "ab" * 32,
    "profile": "prosect",
    "classes": [1, 5, 14, 115],
}


def labelled_series(
    folder: Path, kind: str = "axial", shape: tuple[int, int, int] = (21, 17, 6), **tags: object
) -> tuple[prosect.Volume, prosect.LabelMap]:
    """Return a series of this geometry, and labels on it: a box with a hole, a block at the edge, a lone voxel."""
    orientation, step = ZOO[kind]
    scan = np.random.default_rng(3).integers(-900, 900, shape).astype(np.int16)
    save_series(folder, scan, orientation, step, **{"FrameOfReferenceUID": "1.2.3.5", **tags})
    volume = prosect.read(folder)
    array = np.zeros(shape, np.uint8)
    array[2:9, 3:10, 1:4] = 14
    array[4:6, 5:8, 1:4] = 0
    array[12:21, 10:17, 2:6] = 1
    array[10, 2, 5] = 115
    array[11, 3, 5] = 115
    return volume, prosect.LabelMap(array, volume.grid, vocabulary.load("vista3d-ct"), PROVENANCE)


def label_points(labels: prosect.LabelMap | prosect.LabelLayers) -> Points:
    """Return the voxel centres of each structure in LPS mm, by the grid of the labels."""
    found: Points = {}
    for index in labels.present:
        places = np.argwhere(labels.own_mask(index))
        found[labels.name_of(index)] = labels.grid.to_world(places) @ LPS[:3, :3]
    return found


def seg_points(path: Path) -> Points:
    """Return the voxel centres of each segment of a BINARY or LABELMAP file in LPS mm, read by hand."""
    data = pydicom.dcmread(path)
    names = {int(item.SegmentNumber): str(item.SegmentLabel) for item in data.SegmentSequence}
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.SharedFunctionalGroupsSequence[0]
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for item, frame in zip(data.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        measures, plane = (
            (item if tag in item else shared)[tag][0] for tag in ("PixelMeasuresSequence", "PlaneOrientationSequence")
        )
        origin = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        directions = np.array(plane.ImageOrientationPatient, float)
        if data.SegmentationType == "BINARY":
            identified = (item if "SegmentIdentificationSequence" in item else shared).SegmentIdentificationSequence
            numbers = [int(identified[0].ReferencedSegmentNumber)]
            masks = [frame > 0]
        else:
            numbers = [int(n) for n in np.unique(frame) if n]
            masks = [frame == n for n in numbers]
        for number, mask in zip(numbers, masks, strict=True):
            rows, columns = np.nonzero(mask)
            across = columns[:, None] * directions[:3] * float(measures.PixelSpacing[1])
            down = rows[:, None] * directions[3:] * float(measures.PixelSpacing[0])
            found[names[number]].append(origin + across + down)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def same_points(one: Points, other: Points) -> float:
    """Return how far two readings are apart in mm, infinite where they hold other structures or counts."""
    if {name: len(p) for name, p in one.items()} != {name: len(p) for name, p in other.items()}:
        return float("inf")
    worst = 0.0
    for name, points in one.items():
        a, b = (each[np.lexsort(each.round(4).T)] for each in (points, other[name]))
        worst = max(worst, float(np.abs(a - b).max()))
    return worst
