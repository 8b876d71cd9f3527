"""Whether slices lie at even distances, and what is done where they do not: refused, or resampled on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError
from prosect.geometry import FloatArray, Grid
from prosect.io.dicom.header import Slice
from prosect.io.paths import file_name
from prosect.io.payload import check_extent, check_memory

__all__ = ["check_positions", "is_even", "regular_slices"]

# Scanners round positions; a hundredth of the spacing is what highdicom accepts too.
JITTER = 0.01
# Positions written with two decimals stray by this much from their line at the most, which is more than a hundredth of
# thin slices; it is never let to be more than a tenth of the spacing.
ROUNDING_MM, ROUNDING = 0.02, 0.1
# A wider gap is no missing slices but a position that is wrong.
MAX_GAP = 1000
# How far a distance may be from the slice thickness that explains it, as a part of it.
THICKNESS = 0.1


def check_positions(path: Path, kept: Sequence[Slice], *, regularise: bool = False) -> None:
    """Refuse a series with slices missing or unevenly spaced.

    Args:
        path: What was given, for messages.
        kept: Slices along the normal, one at each place.
        regularise: Whether uneven distances will be resampled, which leaves missing slices and crooked lines refused.

    Raises:
        FormatError: `DICOM_MISSING_SLICES` with the places, `DICOM_IRREGULAR_SPACING`.
    """
    if len(kept) < 3:
        return
    depths = np.array([s.depth_mm for s in kept])
    gaps = np.diff(depths)
    explained = follows_thickness(kept, gaps)
    if not explained:
        refuse_missing(path, depths)
    if is_even(kept):
        return
    straight = off_line(kept, (depths - depths[0]) / (depths[-1] - depths[0] or 1)) <= tolerance(kept)
    if regularise and straight:
        return
    found = f"gaps from {gaps.min():.3f} to {gaps.max():.3f} mm"
    if explained:
        reason = f"the distance between slices changes ({found}), as their thickness does; no slice is missing"
    else:
        off = off_line(kept, np.linspace(0, 1, len(kept)))
        reason = f"the slices are not evenly spaced ({found}, {off:.3f} mm off the line)"
    way = "Separate the parts or export again"
    if straight:
        way = f"Read it with `regularise`, which resamples to {gaps.min():.3f} mm, or separate the parts"
    raise FormatError(
        f"{file_name(path)}: {reason}. One even spacing is needed. {way}.", code="DICOM_IRREGULAR_SPACING"
    )


def refuse_missing(path: Path, depths: FloatArray) -> None:
    """Refuse depths (mm) of which some are missing from an even row.

    Raises:
        FormatError: `DICOM_MISSING_SLICES` with the places.
    """
    gaps = np.diff(depths)
    spacing = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    if spacing > 0:
        steps = np.rint(gaps / spacing)
    else:
        steps = np.zeros(1)
    if steps.min() >= 1 and 1 < steps.max() <= MAX_GAP and np.abs(gaps - steps * spacing).max() <= 0.1 * spacing:
        missing: list[float] = []
        for depth, count in zip(depths, steps, strict=False):
            missing += [depth + n * spacing for n in range(1, int(count))]
        more = ""
        if len(missing) > 8:
            more = ", ..."
        listed = ", ".join(f"{z:.2f}" for z in missing[:8]) + more
        raise FormatError(
            f"{file_name(path)}: {len(missing)} slices are missing, at {listed} mm along the slice axis "
            f"({len(depths)} found, {spacing:.3f} mm apart). Export or download the series again.",
            code="DICOM_MISSING_SLICES",
        )


def follows_thickness(kept: Sequence[Slice], gaps: FloatArray) -> bool:
    """Return whether the slice thickness changes, and every distance (mm) is the thickness of a slice beside it."""
    thick = np.array([item.slice_thickness_mm for item in kept])
    if thick.min() <= 0 or np.ptp(thick) <= THICKNESS * thick.min():
        return False
    # Between two slices of different thickness the distance can be either, or half of both.
    candidates = np.stack([thick[:-1], thick[1:], (thick[:-1] + thick[1:]) / 2])
    off = np.abs(candidates - gaps).min(axis=0)
    return bool((off <= THICKNESS * gaps).all())


def is_even(kept: Sequence[Slice]) -> bool:
    """Return whether slices along the normal lie at even distances on a line, but for rounding."""
    return len(kept) < 3 or off_line(kept, np.linspace(0, 1, len(kept))) <= tolerance(kept)


def tolerance(kept: Sequence[Slice]) -> float:
    """Return how far in mm a slice may lie from its place on the line."""
    mean = abs(kept[-1].depth_mm - kept[0].depth_mm) / (len(kept) - 1)
    return max(JITTER * mean, min(ROUNDING_MM, ROUNDING * mean))


def off_line(kept: Sequence[Slice], fractions: FloatArray) -> float:
    """Return how far in mm slices lie at the most from their fractions of the way from the first to the last."""
    places = np.stack([item.position for item in kept])
    line = places[0] + fractions[:, np.newaxis] * (places[-1] - places[0])
    return float(np.sqrt(((places - line) ** 2).sum(axis=1)).max())


def regular_slices(
    path: Path, values: NDArray[np.float32], grid: Grid, kept: Sequence[Slice]
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...]]:
    """Return slices resampled linearly to their smallest distance, from the first on, and a sentence that says so.

    Args:
        path: What was given, for messages.
        values: Intensities (i j k) of the slices as they are.
        grid: A grid whose first and last slice lie at theirs, in RAS mm.
        kept: The slices along k.

    Raises:
        FormatError: There would be too many slices (`INPUT_TOO_LARGE`).
    """
    depths = np.array([item.depth_mm for item in kept])
    gaps = np.diff(depths)
    finest = float(gaps.min())
    # A last distance that is no multiple of the finest ends before the last slice: nothing is made up beyond the scan.
    count = int(np.floor((depths[-1] - depths[0]) / finest + JITTER)) + 1
    shape = (values.shape[0], values.shape[1], count)
    check_memory(file_name(path), check_extent(file_name(path), shape, 4))
    out = np.empty(shape, np.float32, order="F")
    wanted = np.minimum(depths[0] + finest * np.arange(count), depths[-1])
    below = np.clip(np.searchsorted(depths, wanted, side="right") - 1, 0, len(kept) - 2)
    shares = (wanted - depths[below]) / gaps[below]
    for k, (before, share) in enumerate(zip(below, shares, strict=True)):
        out[..., k] = (1 - share) * values[..., before] + share * values[..., before + 1]
    affine = np.array(grid.affine)
    affine[:3, 2] *= (len(kept) - 1) * finest / (depths[-1] - depths[0])
    note = (
        f"The distance between slices changes from {finest:.3f} to {gaps.max():.3f} mm; the {len(kept)} slices were "
        f"resampled linearly to {count}, {finest:.3f} mm apart."
    )
    return out, Grid(shape, affine), (note,)
