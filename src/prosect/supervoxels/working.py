"""The grid on which a scan is cut into supervoxels, and the scan's slices as an image encoder is shown them.

Features of a whole scan at its own resolution do not fit in memory: 512 x 512 x 300 voxels times 32 channels are 10 GB.
The grid is therefore the scan's own, made coarser along its finest axes only, until it has at most `CELLS` cells. A
scan that small keeps its voxels, and then nothing differs from Algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.case import Case, Intensity, Preparation
from prosect.geometry import Grid
from prosect.resample import linear_weights, respaced_grid
from prosect.volume import Volume

__all__ = ["CELLS", "Spacing", "Working", "working_spacing"]

# Cells at the most: with 32 channels 512 MiB of features. A torso CT of 410 x 410 x 300 mm gets cells of 2.3 mm.
CELLS = 2**22

# official: the window of the released code, and what counts as air in it.
CT_WINDOW, CT_AIR = (-1000.0, 1000.0), -800.0
# Scans without a scale of their own: the window is made of percentiles, and air is what gives next to no signal.
PERCENTILES, DARK = (0.5, 99.5), 0.05

Spacing = tuple[float, float, float]


def working_spacing(grid: Grid, cells: int = CELLS) -> Spacing:
    """Return the spacing, along right, anterior and superior, of the finest grid with at most so many cells.

    No axis becomes finer than the scan's own, and those that become coarser share one spacing, in steps of 0.01 mm.
    """
    ras = grid.reorder(grid.to_ras())

    def spacing(step: int) -> Spacing:
        i, j, k = (max(own, step / 100) for own in ras.spacing_mm)
        return i, j, k

    def fits(step: int) -> bool:
        return respaced_grid(ras, spacing(step)).voxel_count <= cells

    # A step of 0 leaves every axis as fine as the scan's own.
    if fits(0):
        return spacing(0)
    # Steps between which the number of cells falls to the budget; ever coarser cells end at a single one.
    low, high = 0, 1
    while not fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return spacing(high)


@dataclass(frozen=True, eq=False)
class Working:
    """A scan on its working grid.

    Attributes:
        volume: The scan.
        window: Its intensities that become 0 and 1.
        air: Intensity below which a voxel may be air.
        case: The scan on the working grid, scaled; its axes run to right, anterior, superior.
    """

    volume: Volume
    window: Intensity
    air: float
    case: Case

    @classmethod
    def of(cls, volume: Volume, cells: int = CELLS) -> Working:
        """Return a scan on the working grid of at most so many cells."""
        low, high = CT_WINDOW
        air = CT_AIR
        if not volume.is_ct:
            low, high = (float(value) for value in np.percentile(volume.array, PERCENTILES))
            air = low + DARK * (high - low)
        window = Intensity("window", low, high)
        preparation = Preparation(working_spacing(volume.grid, cells), window)
        return cls(volume, window, air, Case.prepare(volume, preparation))

    @property
    def grid(self) -> Grid:
        """The working grid."""
        return self.case.grid

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of cells along right, anterior, superior."""
        return self.case.grid.shape

    def plane(self, axis: int, index: int) -> Tensor:
        """Return the slice (2D) through a plane of cells at the scan's own resolution, scaled to [0, 1].

        Its axes are the two others in order. Between two planes of voxels it is their linear blend. A sheared scan
        has no planes of voxels along the cells; its slices have the resolution of the cells.
        """
        if not self.case.is_separable:
            return self.case.image[0, 0].select(axis, index)
        voxels = np.moveaxis(self.case.order.apply(self.volume.array), axis, 0)
        lower, upper, weight = linear_weights(self.positions(axis)[index : index + 1], voxels.shape[0])
        plane = torch.from_numpy(voxels[lower[0]].copy())
        if weight[0] > 0:
            plane.lerp_(torch.from_numpy(voxels[upper[0]].copy()), float(weight[0]))
        return self.window.scale(plane)

    def positions(self, axis: int) -> NDArray[np.float64]:
        """Return where the cells (n) lie along an axis, in pixels of the slices that hold it."""
        index = np.arange(self.shape[axis], dtype=np.float64)
        if not self.case.is_separable:
            return index
        to_cells = self.case.to_prepared
        return np.asarray(((index - to_cells[axis, 3]) / to_cells[axis, axis]).round(9))
