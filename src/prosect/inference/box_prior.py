"""What a box says of a structure beside where it ends: that it fills the box, round as organs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.case import Placement
from prosect.drawn_box import GROWTH, along, flat_axis
from prosect.geometry import Grid
from prosect.inference.question import Question
from prosect.inference.windows import Shape

__all__ = ["box_prior", "box_prior_on_patch"]

Floats = NDArray[np.float64]

# Chosen on scans that an earlier shipped model was trained on: in boxes it took mean Dice there from 0.49 to 0.51.
WEIGHT = 4.0
REACH = 1.25
# Width (standard deviation) of the bell around a click that says otherwise, as a share of half of the box.
FADING = 0.35


def box_prior(question: Question, box: Box, native: Grid) -> NDArray[np.float32] | None:
    """Return logits (i j k) of the ellipsoid in the box that a person drew, on the voxels of another box, or None.

    A box in one plane speaks for the ellipse in it, and the less for other planes the farther they are. Clicks that
    follow do not make it count less as a whole: where they did, the first of them cost Dice on every set that was
    tried. Around a click that says otherwise it says nothing.

    Args:
        question: The clicks, and the box that was drawn.
        box: Where logits are needed, in voxels of the scan.
        native: The scan's grid.
    """
    places = [start + np.arange(count, dtype=np.float64) for start, count in zip(box.start, box.shape, strict=True)]
    return _filled(question, places, native)


def box_prior_on_patch(
    question: Question, case: Placement, start: Sequence[int], shape: Shape
) -> NDArray[np.float32] | None:
    """Return the same logits on the voxels of a patch of the network grid (i j k), or None.

    None, too, where the axes of the network grid are not those of the scan: of a sheared scan nothing is said here.

    Args:
        question: The clicks, and the box that was drawn.
        case: Where the network grid lies in the scan.
        start: First voxel of the patch on the network grid.
        shape: Voxels of the patch.
    """
    if not case.is_separable:
        return None
    to_scan = np.linalg.inv(case.to_prepared)
    places = [np.zeros(0)] * 3
    for axis, (old, flip) in enumerate(zip(case.order.axes, case.order.flips, strict=True)):
        along_scan = (start[axis] + np.arange(shape[axis])) * to_scan[axis, axis] + to_scan[axis, 3]
        if flip:
            along_scan = case.native.shape[old] - 1 - along_scan
        places[old] = along_scan
    logits = _filled(question, places, case.native)
    if logits is None:
        return None
    return np.ascontiguousarray(logits.transpose(case.order.axes))


def _filled(question: Question, places: Sequence[Floats], native: Grid) -> NDArray[np.float32] | None:
    """Return the logits of what fills the box that a person drew (i j k), or None.

    Args:
        question: The clicks, and the box that was drawn.
        places: Where logits are needed along i, j, k, in voxels of the scan.
        native: The scan's grid.
    """
    drawn = question.bounds
    if drawn is None or not question.clicks:
        return None
    logits = _logits_of(drawn, places, native.spacing_mm)
    halves = np.asarray(drawn.shape) / 2
    normal = flat_axis(drawn)
    if normal is not None:
        halves[normal] = _depth_mm(halves * native.spacing_mm, normal) / native.spacing_mm[normal]
    voxels = native.to_voxel(np.asarray([click.position_ras for click in question.clicks]))
    for click, voxel in zip(question.clicks, np.asarray(voxels), strict=True):
        expected = _logits_of(drawn, [voxel[[axis]] for axis in range(3)], native.spacing_mm).item()
        if (expected > 0) == (click.label % 2 == 1):
            continue
        bells = []
        for axis in range(3):
            off = (places[axis] - voxel[axis]) / (FADING * halves[axis])
            bells.append(along(np.exp(-(off**2) / 2), axis))
        logits = logits * (1 - bells[0] * bells[1] * bells[2])
    return logits.astype(np.float32)


def _logits_of(drawn: Box, places: Sequence[Floats], spacing_mm: Sequence[float]) -> Floats:
    """Return the logits of what fills a box (i j k), whatever was clicked.

    Args:
        drawn: In voxels of the scan.
        places: Where logits are needed along i, j, k, in voxels of the scan.
        spacing_mm: Distance of voxels along i, j, k.
    """
    places_mm, halves_mm = [], []
    for axis in range(3):
        start, stop, spacing = drawn.start[axis], drawn.stop[axis], spacing_mm[axis]
        places_mm.append(along(np.abs((places[axis] - (start + stop - 1) / 2) * spacing), axis))
        halves_mm.append((stop - start) / 2 * spacing)
    normal = flat_axis(drawn)
    if normal is None:
        far = sum((place / half) ** 2 for place, half in zip(places_mm, halves_mm, strict=True))
        return np.asarray(WEIGHT * (REACH - far), dtype=np.float64)
    first, second = (axis for axis in range(3) if axis != normal)
    wider_mm = GROWTH * places_mm[normal]
    far = (places_mm[first] / (halves_mm[first] + wider_mm)) ** 2
    far = far + (places_mm[second] / (halves_mm[second] + wider_mm)) ** 2
    near = np.exp(-((places_mm[normal] / _depth_mm(halves_mm, normal)) ** 2))
    return np.asarray(WEIGHT * near * (REACH - far), dtype=np.float64)


def _depth_mm(halves_mm: Sequence[float] | Floats, normal: int) -> float:
    """Return how deep a structure in a flat box may be: most are about as deep as they are wide.

    Args:
        halves_mm: Half of the box along i, j, k.
        normal: The axis across its plane.
    """
    first, second = (halves_mm[axis] for axis in range(3) if axis != normal)
    return float(np.sqrt(first * second))
