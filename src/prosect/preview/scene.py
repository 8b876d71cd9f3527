"""What a picture is drawn from: scan and labels with axes nearest to RAS, and the planes to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import AxisOrder, Grid
from prosect.labelmap import Labels
from prosect.measure import Measurement
from prosect.preview.palette import colors_of
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["AXIAL", "CORONAL", "SAGITTAL", "SOFT_TISSUE_HU", "VIEWS", "Scene", "View", "center_of", "stage"]

SOFT_TISSUE_HU = (-160.0, 240.0)
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class View:
    """A plane as it is shown: rows upwards, columns to the right.

    Attributes:
        title: Its name.
        across: RAS axis of the columns.
        up: RAS axis of the rows.
        letters: What lies left, right, above and below.
    """

    title: str
    across: int
    up: int
    letters: str

    @property
    def through(self) -> int:
        """RAS axis that the plane cuts."""
        return 3 - self.across - self.up

    def cut(self, array: NDArray[Any], position: int) -> NDArray[Any]:
        """Return the plane (rows upwards, columns to the viewer's right) of an array with RAS axes.

        Radiological: the viewer faces the patient, whose right is at the left of the picture; in the sagittal view
        the patient faces left.
        """
        # Not `np.take`: it copies the whole scan where voxels do not lie in the order of the axes, as in a NIfTI file.
        plane = np.moveaxis(array, self.through, 0)[position]
        return np.asarray(plane[::-1].T)


AXIAL = View("axial", 0, 1, "RLAP")
CORONAL = View("coronal", 0, 2, "RLSI")
SAGITTAL = View("sagittal", 1, 2, "APSI")
VIEWS = (AXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True)
class Scene:
    """Everything a panel draws from, with axes nearest to RAS.

    Attributes:
        scan: Intensities.
        labels: Label values.
        grid: Their grid.
        colors: Row of red, green, blue (0 to 1) by label value.
        around: Label values drawn as a line only, because everything else lies inside them.
        window: Intensities shown as black and white.
        center: The voxel through which the planes pass.
    """

    scan: NDArray[np.float32]
    labels: NDArray[Any]
    grid: Grid
    colors: NDArray[np.float64]
    around: frozenset[int]
    window: tuple[float, float]
    center: Voxel

    @property
    def size_mm(self) -> NDArray[np.float64]:
        """Extent along the three axes."""
        return np.asarray(np.asarray(self.grid.shape) * self.grid.spacing_mm)

    def position_mm(self, axis: int, voxel: float) -> float:
        """Return the world coordinate (R, A or S) of a voxel along its axis, on the line through the centre."""
        place = np.asarray(self.center, dtype=float)
        place[axis] = voxel
        return float(self.grid.to_world([place])[0, axis])


def stage(volume: Volume, labels: Labels, found: Sequence[Measurement]) -> Scene:
    """Return the scene: axes to RAS without copying, colours, window and the planes to show."""
    flat = labels.flatten()
    order = volume.grid.to_ras()
    scan, values = order.apply(volume.array), order.apply(flat.array)
    around = surrounding(labels.vocabulary, found)
    # What holds everything else says little about where to look.
    inside = []
    for m in found:
        if m.index not in around:
            inside.append(m)
    center = informative(inside or found, volume.grid.shape, order)
    largest = max((m.index for m in found), default=0)
    colors = colors_of([m.index for m in found], tuple(around), largest)
    grid = volume.grid.reorder(order)
    return Scene(scan, values, grid, colors, around, window(volume, scan, center), center)


def center_of(m: Measurement, volume: Volume) -> Voxel:
    """Return the voxel (RAS axes) in the middle of one structure."""
    return informative([m], volume.grid.shape, volume.grid.to_ras())


def informative(found: Sequence[Measurement], shape: tuple[int, int, int], order: AxisOrder) -> tuple[int, int, int]:
    """Return the voxel (RAS axes) whose planes cut most structures, large ones and near their middle first."""
    best = [n // 2 for n in shape]
    for axis, n in enumerate(shape):
        score = np.zeros(n)
        for m in found:
            middle = (m.start_vox[axis] + m.stop_vox[axis] - 1) / 2
            half = (m.stop_vox[axis] - m.start_vox[axis]) / 2
            score += m.voxels ** (1 / 3) * np.clip(1 - np.abs(np.arange(n) - middle) / half, 0, None)
        if found:
            best[axis] = int(score.argmax())
    ras = []
    for axis, flip in zip(order.axes, order.flips, strict=True):
        ras.append(shape[axis] - 1 - best[axis] if flip else best[axis])
    return ras[0], ras[1], ras[2]


def surrounding(vocabulary: Vocabulary, found: Sequence[Measurement]) -> frozenset[int]:
    """Return structures that hold every other one, such as the body."""
    indices = set()
    for m in found:
        indices.add(m.index)
    around = set()
    for index in indices:
        structure = vocabulary[index]
        if len(indices) > 1 and {index, *structure.parts, *structure.contains} >= indices:
            around.add(index)
    return frozenset(around)


def window(volume: Volume, scan: NDArray[np.float32], center: tuple[int, int, int]) -> tuple[float, float]:
    """Return black and white: soft tissue for CT, percentiles of what is shown for anything else."""
    seen = np.concatenate([np.moveaxis(scan, axis, 0)[center[axis]].ravel() for axis in range(3)])
    if volume.is_ct:
        return SOFT_TISSUE_HU
    inside = seen[seen > seen.min()]
    low, high = np.percentile(inside if inside.size else seen, [1, 99.5])
    return float(low), float(max(high, low + 1e-6))
