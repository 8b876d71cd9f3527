"""A segmentation is read back before it is handed out: every structure must lie where the labels are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import FloatArray
from prosect.io.dicom.pixels import parse
from prosect.io.dicom.result import Result, one_mask
from prosect.io.dicom.seg_file import frame_masks, seg_file

__all__ = ["check_written", "written_centres"]

# How far the centre of a structure may lie from that of its labels, beside what slices stray from an even row.
TOLERANCE_MM = 0.01
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])

# Number of voxels and sum of their positions.
Sums = dict[int, tuple[int, FloatArray]]


def check_written(data: bytes, result: Result, numbers: Mapping[int, int]) -> None:
    """Check a file against the labels it was made of: voxels and centre of every structure.

    Args:
        data: The file.
        result: The labels.
        numbers: The segment number of each label value.

    Raises:
        RuntimeError: They differ, which is a bug; nothing is published.
    """
    written = written_centres(data)
    expected = label_sums(result)
    stray = stray_mm(result)
    for value, (count, total) in expected.items():
        found, centre = written.get(numbers[value], (0, np.zeros(3)))
        if found == count:
            off = float(np.linalg.norm(centre - total / count))
        else:
            off = np.inf
        if off > TOLERANCE_MM + stray:
            raise RuntimeError(
                f"the segmentation holds {found} voxels of label {value}, {off:.4f} mm off; the labels hold {count}"
            )
    if len(written) != len(expected):
        raise RuntimeError(f"the segmentation holds {len(written)} structures where the labels hold {len(expected)}")


def written_centres(data: bytes) -> Sums:
    """Return for each segment number in a file its voxels and its centre in LPS mm, by the place of its frames."""
    file = seg_file("the segmentation", len(data), parse("the segmentation", data))
    counts: dict[int, int] = defaultdict(int)
    totals: dict[int, FloatArray] = defaultdict(lambda: np.zeros(3))
    for frame in file.frames:
        for number, mask in frame_masks(file, frame):
            count, rows, columns = plane_sums(mask)
            counts[number] += count
            along_row = frame.row_direction * frame.spacing[1] * columns
            along_column = frame.column_direction * frame.spacing[0] * rows
            totals[number] += frame.position * count + along_row + along_column
    return {number: (count, totals[number] / count) for number, count in counts.items() if count}


def plane_sums(mask: NDArray[np.bool_]) -> tuple[int, float, float]:
    """Return how many pixels (row, column) are set, and the sums of their row and column indices."""
    by_row, by_column = mask.sum(axis=1), mask.sum(axis=0)
    return int(by_row.sum()), float(by_row @ np.arange(len(by_row))), float(by_column @ np.arange(len(by_column)))


def label_sums(result: Result) -> Sums:
    """Return for each label value its voxels and the sum of their positions in LPS mm, by the grid of the labels."""
    image = result.image
    affine = image.grid.affine
    found: Sums = {}
    for label in result.labels:
        found[label.value] = (0, np.zeros(3))
    if image.layered:
        for label in result.labels:
            mask = one_mask(image, label)
            for k in range(mask.shape[2]):
                add_plane(found, label.value, affine, k, *plane_sums(mask[..., k]))
        return found
    for k in range(image.grid.shape[2]):
        plane = image.array[..., k]
        i, j = np.nonzero(plane)
        values = plane[i, j]
        counts, sums_i, sums_j = (np.bincount(values, weights) for weights in (None, i, j))
        for value in np.flatnonzero(counts):
            add_plane(found, int(value), affine, k, int(counts[value]), float(sums_i[value]), float(sums_j[value]))
    return found


def add_plane(found: Sums, value: int, affine: FloatArray, k: int, count: int, sum_i: float, sum_j: float) -> None:
    """Add the voxels of one slice, given as their number and the sums of their indices."""
    before, total = found[value]
    ras = affine[:3, 0] * sum_i + affine[:3, 1] * sum_j + (affine[:3, 2] * k + affine[:3, 3]) * count
    found[value] = (before + count, total + ras * RAS_TO_LPS)


def stray_mm(result: Result) -> float:
    """Return how far slices lie at the most from their place on the grid, whose slices are evenly spaced."""
    frames = result.header.frames
    places = np.zeros((len(frames), 3))
    places[:, 2] = np.arange(len(frames))
    expected = result.image.grid.to_world(places) * RAS_TO_LPS
    actual = np.array([frame.position_lps for frame in frames])
    return float(np.sqrt(((expected - actual) ** 2).sum(axis=1)).max())
