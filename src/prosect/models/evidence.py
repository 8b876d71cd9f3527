"""What speaks for each structure that was found: how large it is, how sure the model was, what lies around it.

Gathered from painted labels and the scan; `prosect.models.plausibility` judges by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.inference.canvas import Canvas
from prosect.volume import Volume

__all__ = ["BodySections", "Evidence", "body_sections", "evidence_of"]

# Sections are measured on voxels of about this size; what is below AIR_HU, or the darkest of a clipped scan, is air.
COARSE_MM, AIR_HU = 4.0, -200.0
SMALLEST_SECTION_CM2 = 20.0
# A body that covers so much of a plane's rim goes on beyond it. A crop to the body touches it in four short arcs.
CUT_RIM = 0.3
# Of larger structures every nth voxel tells the median.
MOST_VOXELS = 100_000


@dataclass(frozen=True)
class Evidence:
    """What speaks for a structure in one scan.

    Attributes:
        volume_ml: Its volume.
        probability: The model's mean probability over its voxels.
        section_cm2: The area of the body in the axial plane through its middle; 0 where that is not known.
        touches_border: Whether it reaches the edge of the scan, so that it may be larger.
        is_cut: Whether the body goes on beyond the edges of that plane, so that its area may be larger.
        median_hu: The median intensity of its voxels; None where that is not known.
    """

    volume_ml: float
    probability: float
    section_cm2: float = 0.0
    touches_border: bool = False
    is_cut: bool = False
    median_hu: float | None = None


@dataclass(frozen=True, eq=False)
class BodySections:
    """The body in each axial plane of a scan, from below.

    Attributes:
        areas_cm2: The area of its largest connected piece (k).
        is_cut: Whether that piece goes on beyond the edges of the plane (k).
    """

    areas_cm2: NDArray[np.float64]
    is_cut: NDArray[np.bool_]

    @property
    def typical_cm2(self) -> float:
        """The median area of the planes that show a body; 0 where none does."""
        body = self.areas_cm2[self.areas_cm2 >= SMALLEST_SECTION_CM2]
        if body.size:
            return float(np.median(body))
        return 0.0


def body_sections(volume: Volume) -> BodySections:
    """Return the largest connected piece of body in each axial plane.

    The body is what is no air. Legs side by side are two pieces, and so is an arm beside a chest.
    """
    order = volume.grid.to_ras()
    scan, grid = order.apply(volume.array), volume.grid.reorder(order)
    steps = []
    for spacing in grid.spacing_mm:
        # Every so many voxels along each axis: an area of square centimetres needs no finer grid.
        steps.append(max(1, round(COARSE_MM / spacing)))
    coarse = scan[:: steps[0], :: steps[1]]
    threshold = max(AIR_HU, float(coarse.min()) + 1)
    pixel_cm2 = grid.spacing_mm[0] * steps[0] * grid.spacing_mm[1] * steps[1] / 100
    areas = np.zeros(scan.shape[2])
    cut = np.zeros(scan.shape[2], dtype=np.bool_)
    for k in range(scan.shape[2]):
        pieces, count = ndimage.label(coarse[:, :, k] > threshold)
        if count:
            # The first count is that of the air between the pieces.
            sizes = np.bincount(pieces.ravel())
            largest = int(sizes[1:].argmax()) + 1
            areas[k] = sizes[largest] * pixel_cm2
            cut[k] = share_of_rim(pieces == largest) > CUT_RIM
    return BodySections(areas, cut)


def share_of_rim(piece: NDArray[np.bool_]) -> float:
    """Return how much of the outermost pixels of a plane (i j) a piece covers, from 0 to 1."""
    rim = np.concatenate([piece[0], piece[-1], piece[1:-1, 0], piece[1:-1, -1]])
    return float(rim.mean())


def evidence_of(
    canvas: Canvas, volume: Volume, won: Mapping[int, tuple[int, float]], voxel_ml: float, sections: BodySections
) -> dict[int, Evidence]:
    """Return what speaks for each structure that was found, or won voxels without being asked for.

    Args:
        canvas: Painted labels.
        volume: The scan.
        won: Of each structure the voxels of the network that it won, and its mean probability there.
        voxel_ml: Volume of a voxel of the network.
        sections: See `body_sections`.
    """
    counts, grid = canvas.counts(), volume.grid
    found: dict[int, Evidence] = {}
    for index, (voxels, probability) in won.items():
        if index not in canvas.indices:
            found[index] = Evidence(voxels * voxel_ml, probability)
            continue
        if not counts.get(index):
            continue
        box = canvas.box(index)
        plane = middle_plane(box, grid)
        found[index] = Evidence(
            volume_ml=counts[index] * grid.voxel_volume_ml,
            probability=probability,
            section_cm2=float(sections.areas_cm2[plane]),
            touches_border=touches_border(box, grid),
            is_cut=bool(sections.is_cut[plane]),
            median_hu=median_of(canvas, index, box, volume),
        )
    return found


def middle_plane(box: Box, grid: Grid) -> int:
    """Return the axial plane through the middle of a box, counted from below."""
    order = grid.to_ras()
    axis = order.axes[2]
    plane = (box.start[axis] + box.stop[axis] - 1) // 2
    if order.flips[2]:
        return grid.shape[axis] - 1 - plane
    return plane


def touches_border(box: Box, grid: Grid) -> bool:
    """Return whether a box reaches the edge of the scan."""
    return any(start == 0 or stop == n for start, stop, n in zip(box.start, box.stop, grid.shape, strict=True))


def median_of(canvas: Canvas, index: int, box: Box, volume: Volume) -> float:
    """Return the median intensity of a structure's voxels."""
    values = volume.array[box.slices][canvas.mask(index, box)]
    return float(np.median(values[:: 1 + values.size // MOST_VOXELS]))
