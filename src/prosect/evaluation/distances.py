"""Boxes, erosion and depth of voxels: all of evaluation that needs scipy (the `training` extra)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import ResourceError

try:
    from scipy import ndimage
except ImportError as missing:
    raise ResourceError(
        "Evaluation needs scipy, which is not installed. Install it with pip install 'prosect[training]'.",
        code="EXTRA_MISSING",
    ) from missing

__all__ = ["depth", "eroded", "label_boxes"]

Mask = NDArray[np.bool_]


def label_boxes(labels: NDArray[np.uint8] | NDArray[np.uint16]) -> dict[int, Box]:
    """Return the box of every label value (i j k) that occurs, without the background, in one pass."""
    flipped = labels.flags.f_contiguous and not labels.flags.c_contiguous
    found = ndimage.find_objects(labels.T if flipped else labels)  # in the order of memory: four times as fast
    boxes = {}
    for value, slices in enumerate(found, start=1):
        if slices is not None:
            axes = slices[::-1] if flipped else slices
            boxes[value] = Box(tuple(s.start for s in axes), tuple(s.stop for s in axes))
    return boxes


def eroded(mask: Mask, reach: Sequence[int] = (1, 1, 1)) -> Mask:
    """Return the voxels whose neighbours up to `reach` along each axis are all set; beyond the mask none is."""
    return np.asarray(ndimage.binary_erosion(mask, np.ones([2 * n + 1 for n in reach])))


def depth(mask: Mask) -> NDArray[np.float64]:
    """Return for each voxel of a mask how far it is, in voxels, to the nearest that is not set; beyond it none is."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1])
