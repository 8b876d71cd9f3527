"""A DICOM image series (folder, zip, or one slice of it) as one volume, or the reason why it is none.

Geometry comes from Image Orientation and Image Position alone: slices are sorted by their position along the normal,
never by instance number. The slice axis runs from the first position to the last, so a tilted gantry becomes a sheared
grid in which every voxel keeps its place. DICOM's LPS ends in this file.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError, ProsectWarning
from prosect.geometry import FloatArray, Grid
from prosect.io.dicom.choosing import chosen_series
from prosect.io.dicom.files import is_archive, members
from prosect.io.dicom.header import INDEX, Passed, Slice, image_slices, passed_notes, slices_or_reason
from prosect.io.dicom.member import file_member
from prosect.io.dicom.open_pixels import OpenFile, intensities, open_file
from prosect.io.dicom.pixels import padding
from prosect.io.dicom.source import header_of, study_of
from prosect.io.dicom.spacing import check_positions, is_even, regular_slices
from prosect.io.paths import file_name
from prosect.io.payload import check_extent, check_memory
from prosect.volume import Source, Volume

__all__ = ["load"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TILT_NOTE_DEGREES = 0.1
SAME_PLACE_MM = 1e-3
# What rounding to four or more decimals leaves of equal directions.
SAME_DIRECTION = 1e-4
# US is "unspecified", which common converters write for CT; other types mark dual-energy maps, not Hounsfield units.
HOUNSFIELD_TYPES = {"", "HU", "US"}


def load(
    path: Path,
    *,
    series: str | None = None,
    volume: int | None = None,
    modality: str | None = None,
    regularise: bool = False,
) -> Volume:
    """Return the series at `path` as a volume, in Hounsfield units for CT.

    Args:
        path: Folder (searched with all below it), zip, or one DICOM file. A file of several frames is a volume by
            itself; one of a single frame stands for the volume it is a slice of, in its folder.
        series: Series Instance UID or its end, where there are several; `#2` is the second volume of a series.
        volume: Which volume of the series, from 0.
        modality: What the caller expects; used where the tag is missing.
        regularise: Resample slices whose distance changes to the smallest distance, instead of refusing them.

    Raises:
        FormatError: No image, several series, missing or differing slices, damaged files; the code says which.
        GeometryError: Positions or spacings are unusable.
    """
    with members(path) as files:
        own = own_slices(path)
        if len(own) > 1:
            files = [own[0].member]
        slices, passed = image_slices(path, files, series or (own[0].series_uid if own else None), bool(own))
        choice = chosen_series(path, slices, series, volume, own)
        ordered = in_order(choice.slices)
        values, kept, hashes, dropped, padded = pixels(path, ordered, regularise=regularise)
        study = study_of(kept[0].member)
    left_out, notes = passed_notes(passed, kept[0].series_uid)
    if own and any(item.member.name != own[0].member.name for item in kept):
        notes = (f"The whole series of the file was read: {len(kept)} slices of its folder.", *notes)
    grid, geometry_notes = place_slices(path, kept)
    resampled: tuple[str, ...] = ()
    if regularise and not is_even(kept):
        values, grid, resampled = regular_slices(path, values, grid, kept)
        geometry_notes = tilt_note(kept[0].normal, kept[-1].position - kept[0].position)
    repairs = (
        *left_out,
        *choice.repairs,
        *resampled,
        *frame_doubts(kept),
        *dropped,
        *scale_doubts(kept),
        *single_slice(len(kept)),
        *mosaic_doubts(kept[0]),
        *direction_doubts(kept),
    )
    for repair in repairs:
        warnings.warn(f"{file_name(path)}: {repair}", ProsectWarning, stacklevel=3)
    header = header_of(kept, study, resampled=bool(resampled))
    notes = (*repairs, *choice.notes, *notes, *padded, *geometry_notes, *identity_note(kept))
    source = Source(file_name(path), "dicom", hashes, header, notes)
    return Volume(values, grid, agreed_modality(path, kept[0].modality, modality), source)


def own_slices(path: Path) -> list[Slice]:
    """Return the slices of the one file that was asked for; none for a folder or zip.

    Raises:
        FormatError: The file is DICOM but no image slice (`DICOM_NO_IMAGES`).
    """
    if path.is_dir() or is_archive(path):
        return []
    inside = slices_or_reason(file_member(path), None)
    if not isinstance(inside, Passed):
        return inside
    if inside.reason == INDEX:
        raise FormatError(
            f"{file_name(path)}: this is a DICOMDIR, the list of the files in its folder. Give the folder.",
            code="DICOM_NO_IMAGES",
        )
    raise FormatError(
        f"{file_name(path)}: this DICOM file is no slice of a scan ({inside.reason}). Give the scan itself.",
        code="DICOM_NO_IMAGES",
    )


def in_order(group: Sequence[Slice]) -> list[Slice]:
    """Return the slices along the normal, equal places in the order of their instance UID and frame."""
    return sorted(group, key=lambda s: (round(s.depth_mm, 4), s.identity["SOPInstanceUID"], s.frame))


def pixels(
    path: Path, ordered: Sequence[Slice], *, regularise: bool
) -> tuple[NDArray[np.float32], list[Slice], str, tuple[str, ...], tuple[str, ...]]:
    """Return intensities (i j k), the slices kept, the hash of all files, a sentence on duplicates, one on padding.

    Raises:
        FormatError: Slices are missing, lack the scale of others, two at one place differ, or a file is damaged.
    """
    kept = distinct(ordered)
    refuse_mixed_scales(path, kept)
    check_positions(path, kept, regularise=regularise)
    shape = (ordered[0].columns, ordered[0].rows, len(kept))
    check_memory(file_name(path), check_extent(file_name(path), shape, 4))
    out = np.empty(shape, np.float32, order="F")
    hashes: list[str] = []
    opened: OpenFile | None = None
    padded = 0
    k = -1
    for item in ordered:
        if opened is None or opened.member is not item.member:
            opened = open_file(item.member)
            hashes.append(opened.sha256)
            padded = max(padded, padding(opened.dataset))
        values = intensities(opened, item)
        if k + 1 < len(kept) and item is kept[k + 1]:
            k += 1
            out[..., k] = values
        elif not np.array_equal(out[..., k], values):
            raise FormatError(
                f"{file_name(path)}: two different slices lie at {item.depth_mm:.2f} mm ({kept[k].member.name} and "
                f"{item.member.name}); the series mixes acquisitions or phases. Separate them and read one.",
                code="DICOM_DUPLICATE_SLICES",
            )
    total = hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
    extra = len(ordered) - len(kept)
    dropped = (f"{extra} duplicate slices with identical pixels were dropped.",) if extra else ()
    excess = (f"Up to {padded} bytes of padding follow the pixels; they were left out.",) if padded else ()
    return out, kept, total, dropped, excess


def distinct(ordered: Sequence[Slice]) -> list[Slice]:
    """Return the first slice at each place."""
    kept = [ordered[0]]
    for item in ordered[1:]:
        if np.abs(item.position - kept[-1].position).max() > SAME_PLACE_MM:
            kept.append(item)
    return kept


def place_slices(path: Path, kept: Sequence[Slice]) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid in RAS mm and notes on jitter and tilt.

    Raises:
        GeometryError: A spacing is zero, or a single slice has no thickness.
    """
    first, last, count = kept[0], kept[-1], len(kept)
    if count > 1:
        step = (last.position - first.position) / (count - 1)
    else:
        step = first.normal * thickness(path, first)
    affine = np.eye(4)
    affine[:3, 0] = first.row_direction * first.spacing[1]
    affine[:3, 1] = first.column_direction * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    try:
        grid = Grid((first.columns, first.rows, count), LPS_TO_RAS @ affine)
    except GeometryError as error:
        raise GeometryError(f"{file_name(path)}: {error}") from None
    return grid, (*jitter_note(kept, step), *tilt_note(first.normal, step))


def thickness(path: Path, only: Slice) -> float:
    """Return the extent in mm of a single slice.

    Raises:
        GeometryError: The header does not say.
    """
    if not only.thickness_mm > 0:
        raise GeometryError(f"{file_name(path)}: there is one slice and no slice thickness; give the whole series.")
    return only.thickness_mm


def jitter_note(kept: Sequence[Slice], step: FloatArray) -> tuple[str, ...]:
    """Return a note where positions stray measurably from even spacing."""
    off = max(float(np.linalg.norm(s.position - kept[0].position - n * step)) for n, s in enumerate(kept))
    if off > SAME_PLACE_MM:
        return (f"Slice positions stray by up to {off:.4f} mm from even spacing.",)
    return ()


def tilt_note(normal: FloatArray, step: FloatArray) -> tuple[str, ...]:
    """Return a note where the slice axis is not the normal."""
    angle = math.degrees(math.acos(min(1.0, abs(float(step @ normal)) / float(np.linalg.norm(step)))))
    if angle < TILT_NOTE_DEGREES:
        return ()
    return (f"The gantry is tilted by {angle:.2f} degrees; the sheared grid keeps every voxel in its place.",)


def single_slice(count: int) -> tuple[str, ...]:
    """Return a warning for a volume of one slice."""
    if count == 1:
        return ("The series has a single slice; its thickness stands for the slice spacing.",)
    return ()


def mosaic_doubts(first: Slice) -> tuple[str, ...]:
    """Return a warning for a mosaic whose private elements do not say to which side its slices follow."""
    if first.tile is None or not first.tile.is_assumed:
        return ()
    return (
        "The Siemens mosaic does not say in which order its slices lie; to the head, or to the back, was taken. "
        "Compare it with another scan of the study.",
    )


def scale_doubts(kept: Sequence[Slice]) -> tuple[str, ...]:
    """Return a warning for slices that have only part of their scale, and for CT without one or in another unit."""
    bare = sum(s.rescale is None for s in kept)
    assumed = scaling_warning(kept)
    if kept[0].modality != "CT":
        return assumed
    if bare == len(kept):
        return ("CT slices have no Rescale Slope and Intercept; stored values were taken as Hounsfield units.",)
    units = sorted({s.unit for s in kept} - HOUNSFIELD_TYPES)
    if not units:
        return assumed
    return (*assumed, f"The Rescale Type is {units[0]!r}, not HU; is this a CT image or a map made from one?")


def scaling_warning(kept: Sequence[Slice]) -> tuple[str, ...]:
    """Return a warning for slices that have only one of Rescale Slope and Intercept."""
    lacking = Counter(item.assumed for item in kept if item.assumed)
    neutral = {"Slope": 1, "Intercept": 0}
    return tuple(
        f"{count} of {len(kept)} slices have no Rescale {part}; {neutral[part]} was taken for it."
        for part, count in sorted(lacking.items())
    )


def refuse_mixed_scales(path: Path, kept: Sequence[Slice]) -> None:
    """Refuse slices that lack a part of their scale which others have: their intensities would be of another scale.

    What a slice lacks is taken as slope 1 or intercept 0, so slices that have these numbers are no others.

    Raises:
        FormatError: `INPUT_HEADER_INVALID`.
    """
    lacking = {"Slope": 0, "Intercept": 0}
    given: dict[str, set[float]] = {"Slope": set(), "Intercept": set()}
    for item in kept:
        for part, value in zip(given, item.rescale or (1.0, 0.0), strict=True):
            if item.rescale is None or item.assumed == part:
                lacking[part] += 1
            else:
                given[part].add(value)
    for part, neutral in (("Slope", 1.0), ("Intercept", 0.0)):
        others = sorted(given[part] - {neutral})
        if lacking[part] and others:
            raise FormatError(
                f"{file_name(path)}: {lacking[part]} of {len(kept)} slices have no Rescale {part}, and it is "
                f"{others[0]:g} in others, so the intensities would not be of one scale. Export the series again.",
                code="INPUT_HEADER_INVALID",
            )


def direction_doubts(kept: Sequence[Slice]) -> tuple[str, ...]:
    """Return a warning where the orientation changes from slice to slice by more than rounding."""
    worst = max(item.turned for item in kept)
    if worst <= SAME_DIRECTION:
        return ()
    angle = math.degrees(worst)
    return (f"The orientation of slices differs by up to {angle:.3f} degrees; that of the first was taken for all.",)


def frame_doubts(kept: Sequence[Slice]) -> tuple[str, ...]:
    """Return a warning where slices name several Frames of Reference, or some of them none."""
    count = len({item.identity["FrameOfReferenceUID"] for item in kept})
    if count == 1:
        return ()
    return (f"The slices name {count} Frames of Reference; their positions fit together, so they were read as one.",)


def identity_note(kept: Sequence[Slice]) -> tuple[str, ...]:
    """Return a note where slices name themselves in the file meta information alone."""
    count = sum(item.uids_of_meta for item in kept)
    if not count:
        return ()
    return (f"{count} of {len(kept)} slices lack SOP UIDs; those of the file meta information stand for them.",)


def agreed_modality(path: Path, tag: str, expected: str | None) -> str | None:
    """Return the modality by the tag, or the expected one where the tag is missing.

    Raises:
        FormatError: Both are there and differ (`MODALITY_MISMATCH`).
    """
    if tag and expected and tag != expected:
        raise FormatError(
            f"{file_name(path)}: the series is {tag}, {expected} was asked for. Choose another series or modality.",
            code="MODALITY_MISMATCH",
        )
    return tag or expected
