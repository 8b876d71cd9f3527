"""One reader for every format: what the bytes are decides, not what the name says."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError, ProsectWarning, UsageError
from prosect.geometry import Grid
from prosect.io.formats import content_endings, reading_module
from prosect.io.in_memory import image_in_memory
from prosect.io.paths import file_name, header_of_pair
from prosect.io.payload import check_memory
from prosect.io.sniff import Sniffed, refuse_kind, sniff
from prosect.io.stored import StoredImage, StoredLabels, integral
from prosect.lazy import lazy_module, load_module
from prosect.stated_facts import known_modality, known_orientation
from prosect.volume import Source, Volume

if TYPE_CHECKING:
    from prosect.io import zip_member
    from prosect.io.dicom import label_object
else:
    zip_member = lazy_module("prosect.io.zip_member")
    label_object = lazy_module("prosect.io.dicom.label_object")

__all__ = ["read", "read_labels"]

# Kinds of content that hold a DICOM series, and kinds that can leave open where their voxels are.
SERIES_KINDS = ("dicom", "zip", "tar")
OPEN_KINDS = ("nifti", "nifti pair", "zip")


def read(
    path: str | os.PathLike[str] | object,
    *,
    series: str | None = None,
    volume: int | None = None,
    modality: str | None = None,
    nan_as: float | None = None,
    assume_orientation: str | None = None,
    regularise: bool = False,
) -> Volume:
    """Return the scan at `path`, verified to the last byte, on its own grid in RAS mm.

    Args:
        path: NIfTI, NRRD or MetaImage file; DICOM folder, file or zip; or what `image_in_memory` takes.
        series: Which DICOM series, by its UID or the end of it, where there are several.
        volume: Which volume of a file or series that holds several, from 0.
        modality: `CT`, `MR`, `PT`, ... for formats that do not say. DICOM says; a different value is refused.
        nan_as: Intensity of voxels that are NaN, as resampling leaves them outside the field of view: -1024 in CT.
        assume_orientation: Where voxel axes point (`RAS`) in a NIfTI file with both codes 0; it overrides no file.
        regularise: Resample DICOM slices whose distance changes, linearly and to the smallest distance; else they are
            refused.

    Raises:
        FormatError: Not an image, damaged, a segmentation, or not one 3D scan of real intensities; the code says which.
        GeometryError: The file does not say, or contradicts itself about, where its voxels are.
        ResourceError: Larger than the free memory.
        UsageError: Neither a path nor such an image.
    """
    wanted = known_modality(modality)
    axes = known_orientation(assume_orientation)
    if not isinstance(path, str | os.PathLike):
        return volume_of(held_image(path, axes), volume, wanted, nan_as)
    place = place_of(path)
    found = Sniffed("dicom") if place.is_dir() else sniff(place)
    module = reader(place, found)
    if found.kind in SERIES_KINDS and not is_zipped_nifti(place, found):
        scan: Volume = module.load(place, series=series, volume=volume, modality=wanted, regularise=regularise)
        refuse_orientation(scan.source.name, scan.grid, axes)
        return scan
    if series is not None:
        raise UsageError(f"{file_name(place)}: `series` picks a DICOM series; this is not DICOM.")
    image: StoredImage = module.load(place, axes) if found.kind in OPEN_KINDS else module.load(place)
    refuse_orientation(image.name, image.grid, axes)
    refuse_labels(image)
    return volume_of(image, volume, wanted, nan_as, name_conflict(place, found))


def held_image(thing: object, axes: str | None) -> StoredImage:
    """Return the image that another library holds; `axes` is where its voxel axes point where it does not say.

    Raises:
        ProsectError: See `image_in_memory`, or it says another orientation.
    """
    image = image_in_memory(thing, axes)
    refuse_orientation(image.name, image.grid, axes)
    return image


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return the place of a scan.

    Raises:
        FormatError: The path is empty (`INPUT_NOT_FOUND`): it would mean the current folder.
    """
    if not os.fspath(path):
        raise FormatError("The path of the scan is empty. Give a file or a folder.", code="INPUT_NOT_FOUND")
    return header_of_pair(Path(path))


def volume_of(
    image: StoredImage, index: int | None, modality: str | None, nan_as: float | None, doubts: tuple[str, ...] = ()
) -> Volume:
    """Return one volume of a file with its intensities scaled, and warn of doubts and of repairs.

    Raises:
        FormatError: Which volume is open, or voxels are not finite.
    """
    repairs = doubts + image.repairs
    warn(image.name, repairs, 4)
    array = scale_values(pick_volume(image, index), image.slope, image.inter)
    filled = replace_nan(array, nan_as)
    source = Source(image.name, image.format, image.sha256, image.header, repairs + image.notes + filled)
    try:
        return Volume(array, image.grid, modality, source)
    except FormatError as error:
        raise FormatError(f"{image.name}: {error}", code=error.code) from None


def read_labels(
    path: str | os.PathLike[str], *, volume: int | None = None, like: Volume | Grid | None = None
) -> StoredLabels:
    """Return the label values at `path` with the names that the file carries.

    Args:
        path: NIfTI, NRRD or MetaImage file; DICOM SEG or RTSTRUCT, or a folder or zip that holds one of them.
        volume: Which volume of a 4D file that is not one mask per structure. Layers of Slicer, which hold several
            structures each, need none: every segment becomes a mask.
        like: The scan that DICOM labels belong to, or its grid: they are put on its voxels, by the slices that they
            name and else by position. A SEG alone has its own grid; other formats are always read on theirs.

    Raises:
        FormatError: As for `read`, or values that are no labels (`LABELS_OUT_OF_RANGE`, `LABELS_NOT_INTEGER`).
        GeometryError: As for `read`, or DICOM labels that lie elsewhere than the scan (`LABELS_ELSEWHERE`).
    """
    place = header_of_pair(Path(path))
    found = Sniffed("dicom") if place.is_dir() else sniff(place)
    if found.kind in SERIES_KINDS and not is_zipped_nifti(place, found):
        labels, doubts = label_object.load_labels(place, like)
        warn(file_name(place), doubts)
        return replace(labels, notes=doubts)
    image: StoredImage = reader(place, found).load(place)
    repairs = name_conflict(place, found) + image.repairs
    names, layers = dict(image.names), image.layers if volume is None else ()
    if image.layers and volume is None:
        array = np.moveaxis(image.array != 0, 3, 0)
    elif image.segments and volume is None:
        array = segment_masks(image)
        repairs += doubts_of_segments(image, array)
        layers = tuple(segment.label for segment in image.segments)
        names = {segment.label: segment.name for segment in image.segments}
    else:
        values = pick_volume(image, volume)
        scales = (image.slope, image.inter) != (1.0, 0.0)
        stored = scale_values(values, image.slope, image.inter) if scales else values
        array = integral(stored, image.name)
        repairs += rounding(array, stored)
        if image.segments:
            names = {segment.value: segment.name for segment in image.segments if segment.volume == volume}
    warn(image.name, repairs)
    return StoredLabels(array, image.grid, names, layers, image.sha256, repairs + image.notes)


def rounding(array: NDArray[Any], stored: NDArray[Any]) -> tuple[str, ...]:
    """Return the note that label values (i j k) were rounded, if any was.

    Args:
        array: Whole numbers.
        stored: What the file holds instead.
    """
    if np.array_equal(array, stored):
        return ()
    off = np.abs(stored - array)
    worst, count = float(off.max()), int(np.count_nonzero(off))
    return (f"Label values lay beside whole numbers by up to {worst:.2g}, in {count} voxels; they were rounded.",)


def segment_masks(image: StoredImage) -> NDArray[np.bool_]:
    """Return one mask per segment (c i j k), in the order of the segments.

    Raises:
        ResourceError: Larger than the free memory.
    """
    shape = (len(image.segments), *image.grid.shape)
    check_memory("The masks of the segments", int(np.prod(shape)))
    masks = np.zeros(shape, dtype=np.bool_)
    for mask, segment in zip(masks, image.segments, strict=True):
        np.equal(image.array[..., segment.volume], segment.value, out=mask)
    return masks


def doubts_of_segments(image: StoredImage, masks: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return what is to be told of segments with their masks (c i j k): voxels that none names, voxels of two."""
    names: dict[tuple[int, int], list[str]] = {}
    voxels = 0
    for mask, segment in zip(masks, image.segments, strict=True):
        place = (segment.volume, segment.value)
        if place not in names:
            voxels += int(np.count_nonzero(mask))
        names.setdefault(place, []).append(f"'{segment.name}'")
    found: list[str] = []
    left_out = int(np.count_nonzero(image.array)) - voxels
    if left_out:
        found.append(f"{left_out} voxels have values that no segment of the file names; they were left out.")
    for same in names.values():
        if len(same) > 1:
            found.append(f"The segments {', '.join(same)} have one value in one layer, so the same voxels.")
    return tuple(found)


def refuse_orientation(name: str, grid: Grid, asked: str | None) -> None:
    """Refuse a scan whose file says another orientation than was stated.

    Raises:
        GeometryError: They differ.
    """
    if asked is not None and grid.orientation != asked:
        raise GeometryError(
            f"{name}: the file says that its voxel axes point to {grid.orientation}, but {asked} was to be assumed. "
            "Leave that out: the file is right, or must be corrected."
        )


def replace_nan(array: NDArray[np.float32], value: float | None) -> tuple[str, ...]:
    """Set NaN in intensities (i j k) to `value`, in place, slice by slice; return the note of it, if any was there.

    Raises:
        UsageError: The value is no finite number.
    """
    if value is None:
        return ()
    if not math.isfinite(value):
        raise UsageError(f"NaN cannot be read as {value}; give a number, such as -1024 for CT.")
    count = 0
    for k in range(array.shape[2]):
        missing = np.isnan(array[..., k])
        count += int(np.count_nonzero(missing))
        array[..., k][missing] = value
    if not count:
        return ()
    return (f"{count} of {array.size} voxels were NaN; they were set to {value:g}, as asked.",)


def reader(path: Path, found: Sniffed) -> ModuleType:
    """Return the module that reads what was found.

    Raises:
        FormatError: Nothing reads it; the message says what it is.
    """
    if is_zipped_nifti(path, found):
        return zip_member
    module = reading_module(found.kind)
    # A gzip stream is read where files of the format usually lie in one.
    if module is None or (found.gzipped and not content_endings(found.kind, gzipped=True)):
        raise refuse_kind(path, found)
    return load_module(module)


def is_zipped_nifti(path: Path, found: Sniffed) -> bool:
    """Return whether a zip holds NIfTI files rather than DICOM slices."""
    return found.kind == "zip" and bool(zip_member.nifti_members(path))


def refuse_labels(image: StoredImage) -> None:
    """Refuse a segmentation where a scan is wanted.

    Raises:
        FormatError: The file names its values (`INPUT_IS_LABELS`).
    """
    if image.names:
        names = ", ".join(list(image.names.values())[:3])
        more = ""
        if len(image.names) > 3:
            more = f" and {len(image.names) - 3} more"
        raise FormatError(
            f"{image.name}: this is a segmentation ({names}{more}), not a scan. Give the scan; labels are read with "
            "prosect.read_labels.",
            code="INPUT_IS_LABELS",
        )


def name_conflict(path: Path, found: Sniffed) -> tuple[str, ...]:
    """Return a sentence where the name promises another format than the bytes hold, else nothing."""
    expected = content_endings(found.kind, found.gzipped)
    if path.name.lower().endswith(expected):
        return ()
    what = ("gzipped " if found.gzipped else "") + found.kind
    return (f"The content is {what} though the name does not end in {' or '.join(expected)}; read by content.",)


def warn(name: str, repairs: Iterable[str], stacklevel: int = 3) -> None:
    """Warn of every repair, naming the file; `stacklevel` leads to the line that asked for it."""
    for repair in repairs:
        warnings.warn(f"{name}: {repair}", ProsectWarning, stacklevel=stacklevel)


def pick_volume(image: StoredImage, volume: int | None) -> NDArray[Any]:
    """Return one volume (i j k) of a file.

    Raises:
        FormatError: There are several and none was asked for (`INPUT_SEVERAL_VOLUMES`), or the one asked for is not
            there.
    """
    count = image.array.shape[3]
    if volume is None and count > 1:
        raise FormatError(
            f"{image.name}: the file holds {count} volumes; a single 3D scan is needed. "
            f"Choose one with `volume`, 0 to {count - 1}.",
            code="INPUT_SEVERAL_VOLUMES",
        )
    index = volume or 0
    if not 0 <= index < count:
        raise FormatError(
            f"{image.name}: volume {index} was asked for, but the file holds {count}, counted from 0.",
            code="INPUT_SEVERAL_VOLUMES",
        )
    chosen: NDArray[Any] = image.array[..., index]
    return chosen


def scale_values(array: NDArray[Any], slope: float, inter: float) -> NDArray[np.float32]:
    """Return slope * array + inter as float32 (i j k), computed in float64 one slice at a time.

    Values beyond float32 become infinite, which `Volume` refuses.
    """
    check_memory("The scan", array.size * 4)
    out = np.empty(array.shape, np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(array.shape[2]):
            stored = array[..., k]
            if (slope, inter) == (1.0, 0.0):
                out[..., k] = stored
            else:
                out[..., k] = stored.astype(np.float64) * slope + inter
    return out
