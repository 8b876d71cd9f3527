"""How much memory supervoxels take, told before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prosect.case import Preparation, preparing_bytes
from prosect.errors import ResourceError
from prosect.geometry import Grid
from prosect.inference.memory import GIB, LIBRARIES
from prosect.resample import respaced_grid
from prosect.supervoxels.encoders import Encoder
from prosect.supervoxels.working import CELLS, Spacing, working_spacing
from prosect.volume import Volume

__all__ = ["SupervoxelPlan", "plan"]

# Bytes per voxel of the scan while the air is found: its components and their masks; then the labels, twice.
AIR_BYTES, LABEL_BYTES = 9, 4
# Copies of the features that SLIC holds beside the one it is given, and bytes per cell beside those; measured by
# benches/supervoxels.py --memory.
SLIC_COPIES, SLIC_BYTES = 2, 100


@dataclass(frozen=True)
class SupervoxelPlan:
    """The peak of a run above the loaded encoder, in bytes, by part.

    Attributes:
        native: The scan's shape.
        spacing_mm: Spacing of the working grid, to right, anterior and superior.
        cells: Its shape.
        channels: Features per cell.
        parts: Bytes by part; those of a phase are alive together.
    """

    native: tuple[int, int, int]
    spacing_mm: Spacing
    cells: tuple[int, int, int]
    channels: int
    parts: dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes at the peak: the largest of preparing, finding the air, making features, cutting and writing."""
        p = self.parts
        cutting = p["air"] + p["features"] + max(p["encoder"], p["slic"])
        return (
            p["libraries"] + p["scan"] + max(p["preparing"], p["image"] + max(p["finding air"], cutting, p["labels"]))
        )

    def __str__(self) -> str:
        native, cells = " x ".join(map(str, self.native)), " x ".join(map(str, self.cells))
        spacing = " x ".join(f"{mm:.2f}" for mm in self.spacing_mm)
        lines = [f"scan {native}, working grid {cells} of {spacing} mm, {self.channels} features per cell"]
        for name, size in (*self.parts.items(), ("peak", self.peak)):
            lines.append(f"  {name:<12}{size / GIB:8.3f} GiB")
        lines[-1] += " above the loaded encoder"
        return "\n".join(lines)

    def require(self, available: int) -> None:
        """Refuse a run that does not fit.

        Raises:
            ResourceError: The peak exceeds `available` bytes (`MEMORY_INSUFFICIENT`).
        """
        if self.peak > available:
            raise ResourceError(
                f"Supervoxels of this scan need {self.peak / GIB:.2f} GiB and {available / GIB:.2f} GiB are free. "
                "Allow fewer cells, crop the scan, or use a machine with more memory.",
                code="MEMORY_INSUFFICIENT",
            )


def plan(volume: Volume | Grid, encoder: Encoder, cells: int = CELLS) -> SupervoxelPlan:
    """Return the memory that supervoxels take, from the scan's geometry.

    Args:
        volume: The scan, or its grid alone; then it is taken for one without a scale of its own, which takes more.
        encoder: Makes the features.
        cells: Cells of the working grid at the most.
    """
    grid = volume.grid if isinstance(volume, Volume) else volume
    voxels = grid.voxel_count
    spacing = working_spacing(grid, cells)
    shape = respaced_grid(grid.reorder(grid.to_ras()), spacing).shape
    count = math.prod(shape)
    features = count * encoder.channels * 4
    rescaled = 0 if isinstance(volume, Volume) and volume.is_ct else voxels * 4
    parts = {
        "scan": voxels * 4,
        "preparing": max(preparing_bytes(grid, shape, Preparation(spacing)), rescaled),
        "image": count * 4,
        "finding air": voxels * AIR_BYTES,
        "air": voxels,
        "features": features,
        "encoder": encoder.bytes_beside(grid, shape) + rescaled,
        "slic": SLIC_COPIES * features + SLIC_BYTES * count,
        "labels": voxels * LABEL_BYTES + SLIC_BYTES * count,
        "libraries": LIBRARIES,
    }
    return SupervoxelPlan(grid.shape, spacing, shape, encoder.channels, parts)
