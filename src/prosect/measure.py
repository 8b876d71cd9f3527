"""What was found, in numbers: one `Measurement` per structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.errors import GeometryError
from prosect.geometry import Grid
from prosect.labelmap import Labels
from prosect.volume import Volume

__all__ = ["Measurement", "measure"]

Positions: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]

SLAB_VOXELS = 1 << 22


@dataclass(frozen=True)
class Measurement:
    """One structure in one scan.

    Attributes:
        name: Its name in the vocabulary.
        index: Its label value.
        voxels: How many voxels it has.
        volume_ml: Its volume.
        mean_hu: Mean intensity of the scan inside it; None without a scan. Hounsfield units for CT.
        sd_hu: Standard deviation of the intensity (of these voxels, not of a sample).
        min_hu: Smallest intensity.
        max_hu: Largest intensity.
        start_vox: First voxel of its bounding box (i, j, k).
        stop_vox: One past the last.
        extents_mm: Size of that box along the voxel axes.
        touches_border: Whether it reaches the edge of the scan, so that the rest of it may be missing.
        centroid_ras: Mean position of its voxels in world mm.
    """

    name: str
    index: int
    voxels: int
    volume_ml: float
    mean_hu: float | None
    sd_hu: float | None
    min_hu: float | None
    max_hu: float | None
    start_vox: tuple[int, int, int]
    stop_vox: tuple[int, int, int]
    extents_mm: tuple[float, float, float]
    touches_border: bool
    centroid_ras: tuple[float, float, float]


def measure(labels: Labels, volume: Volume | None = None) -> tuple[Measurement, ...]:
    """Return a measurement of each structure that is present, in the order of the label values.

    Args:
        labels: What was found; layers are measured each for itself.
        volume: The scan, for mean intensities.

    Raises:
        GeometryError: The scan has another shape than the labels.
    """
    if volume is not None and volume.grid.shape != labels.grid.shape:
        raise GeometryError(f"The labels have shape {labels.grid.shape} but the scan {volume.grid.shape}.")
    if volume is None:
        scan = None
    else:
        scan = volume.array
    rows: list[Measurement] = []
    for indices, array in labels.flat_parts():
        row_of = np.zeros(max(indices) + 1, dtype=np.intp)
        row_of[list(indices)] = np.arange(len(indices))
        sums = Sums(labels.grid.shape, len(indices), scan is not None)
        for values, positions, intensities in slabs(array, scan):
            sums.add(row_of[values], positions, intensities)
        for row, index in enumerate(indices):
            if sums.count(row):
                rows.append(measurement_of(labels.name_of(index), index, row, sums, labels.grid))
    return tuple(rows)


class Sums:
    """Voxel counts by structure and by position along each axis, and intensities: all that a measurement needs."""

    def __init__(self, shape: tuple[int, int, int], rows: int, has_scan: bool) -> None:
        self.shape = shape
        self.profiles = [np.zeros((rows, n), dtype=np.int64) for n in shape]
        self.intensities = Intensities(rows) if has_scan else None

    def add(
        self,
        rows: NDArray[np.intp],
        positions: Positions,
        intensities: NDArray[np.float32] | None,
    ) -> None:
        """Add voxels (n): the row of each, its position along i, j, k, and its intensity."""
        for profile, position in zip(self.profiles, positions, strict=True):
            bins = np.bincount(rows * profile.shape[1] + position, minlength=profile.size)
            profile += bins.reshape(profile.shape)
        if self.intensities is not None and intensities is not None:
            self.intensities.add(rows, intensities)

    def count(self, row: int) -> int:
        """Return how many voxels a row has."""
        return int(self.profiles[0][row].sum())


class Intensities:
    """Count, mean, squared deviations, smallest and largest intensity by structure."""

    def __init__(self, rows: int) -> None:
        self.count = np.zeros(rows)
        self.mean = np.zeros(rows)
        self.squares = np.zeros(rows)  # of deviations from the mean
        # So that the first voxel of a structure is its smallest and its largest.
        self.low = np.full(rows, np.inf, np.float32)
        self.high = np.full(rows, -np.inf, np.float32)

    def add(self, rows: NDArray[np.intp], values: NDArray[np.float32]) -> None:
        """Add voxels. Deviations are taken from the mean of these and then merged: sums of squares would cancel."""
        size = len(self.count)
        count = np.bincount(rows, minlength=size).astype(np.float64)
        mean = np.bincount(rows, weights=values, minlength=size) / np.maximum(count, 1)
        squares = np.bincount(rows, weights=(values - mean[rows]) ** 2, minlength=size)
        # Chan's rule for two groups; a structure spreads over many slabs.
        total = np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self.squares += squares + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count += count
        np.minimum.at(self.low, rows, values)
        np.maximum.at(self.high, rows, values)

    def of(self, row: int) -> dict[str, float]:
        """Return the numbers of one structure."""
        return {
            "mean_hu": float(self.mean[row]),
            "sd_hu": float(np.sqrt(self.squares[row] / self.count[row])),
            "min_hu": float(self.low[row]),
            "max_hu": float(self.high[row]),
        }


NO_SCAN: dict[str, None] = {"mean_hu": None, "sd_hu": None, "min_hu": None, "max_hu": None}


def slabs(array: NDArray[Any], scan: NDArray[np.float32] | None) -> Iterator[tuple[NDArray[Any], Positions, Any]]:
    """Yield values (n), positions along i, j, k (n each) and intensities (n) of the labelled voxels, slab by slab."""
    ni, nj, nk = array.shape
    depth = max(1, SLAB_VOXELS // (ni * nj))
    for start in range(0, nk, depth):
        # i fastest, as most scans lie in memory, so that a slab is read once from front to back.
        flat = array[:, :, start : start + depth].ravel(order="F")
        inside = np.flatnonzero(flat)
        if not inside.size:
            continue
        plane, i = np.divmod(inside, ni)
        k, j = np.divmod(plane, nj)
        if scan is None:
            intensities = None
        else:
            intensities = scan[:, :, start : start + depth].ravel(order="F")[inside]
        yield flat[inside], (i, j, k + start), intensities


def measurement_of(name: str, index: int, row: int, sums: Sums, grid: Grid) -> Measurement:
    """Return the measurement that follows from the counts of one structure."""
    count = sums.count(row)
    start, stop, middle = np.zeros(3, dtype=int), np.zeros(3, dtype=int), np.zeros(3)
    for axis, profile in enumerate(sums.profiles):
        occupied = np.flatnonzero(profile[row])
        start[axis], stop[axis] = occupied[0], occupied[-1] + 1
        middle[axis] = float(profile[row] @ np.arange(profile.shape[1])) / count
    low_i, low_j, low_k = start.tolist()
    high_i, high_j, high_k = stop.tolist()
    size_i, size_j, size_k = ((stop - start) * np.asarray(grid.spacing_mm)).tolist()
    centroid_r, centroid_a, centroid_s = grid.to_world(middle[None])[0].tolist()
    return Measurement(
        name=name,
        index=index,
        voxels=count,
        volume_ml=count * grid.voxel_volume_ml,
        **(NO_SCAN if sums.intensities is None else sums.intensities.of(row)),
        start_vox=(low_i, low_j, low_k),
        stop_vox=(high_i, high_j, high_k),
        extents_mm=(size_i, size_j, size_k),
        touches_border=bool((start == 0).any() or (stop == sums.shape).any()),
        centroid_ras=(centroid_r, centroid_a, centroid_s),
    )
