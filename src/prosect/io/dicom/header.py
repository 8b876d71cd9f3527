"""Which files of a folder hold slices, what each slice says of itself, and which of them belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray
from prosect.io.dicom.files import remedy
from prosect.io.dicom.frames import GROUPS, ORDERS, TAGS, frames, is_localizer, is_placed, marks_of, part_of, stack
from prosect.io.dicom.member import Member
from prosect.io.dicom.mosaic import EVIDENCE, Tile, is_mosaic, tiles
from prosect.io.dicom.pixels import PARSE_ERRORS, parse, parse_beginning
from prosect.io.dicom.values import number, rescale_of, text, vector
from prosect.io.formats import content_endings
from prosect.io.paths import file_name
from prosect.io.payload import corrupt, truncation
from prosect.io.sniff import HEAD_BYTES, UNKNOWN, Sniffed, refuse_kind, sniff_bytes

__all__ = [
    "DERIVED_CLASSES", "HEADER_BYTES", "IMAGE_CLASSES", "INDEX", "Passed", "Slice", "image_slices",
    "passed_notes", "slices_or_reason", "uid",
]  # fmt: skip

IDENTITY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PatientID", "SeriesDescription",
)  # fmt: skip
META_UIDS = ("SOPClassUID", "SOPInstanceUID")
# Image objects that cannot be without Rows: a file of these classes that lacks it was cut.
IMAGE_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "4", "4.1", "128", "130", "20"))
# They have Rows but are no scans: segmentations, parametric maps, dose, surface scans.
DERIVED_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("66", "30", "481", "88", "104", "11"))
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
INDEX = "lists of files"
REASONS = (
    INDEX,
    "not DICOM", "not images", "of unknown kind", "localizers", "in colour", "images without a position",
    "images whose frames have none", "of other series",
)  # fmt: skip
# A slice that was damaged could end up as one of these.
DOUBTFUL = ("of unknown kind", "localizers", "in colour", "images without a position", "images whose frames have none")
# Directions of one volume may differ by this much, as headers that were rounded or moved between programs do: 0.06
# degrees, 0.25 mm at the border of a body.
SAME_DIRECTION = 1e-3
# Headers of classic slices are a few KiB, those of enhanced images grow with their frames.
HEADER_BYTES = 64 << 10


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame of an image file by its header; positions and directions in LPS mm.

    Attributes:
        member: Where its bytes are.
        frame: Which frame of the file it is, from 0.
        part: Which of several volumes in one enhanced image it belongs to; empty for a classic image.
        identity: Its identifiers as text, empty where absent, by tag name.
        rows: Number of rows.
        columns: Number of columns.
        row_direction: Unit vector of increasing column index.
        column_direction: Unit vector of increasing row index.
        orientation: Image Orientation as stored, the two directions before they were brought to length 1.
        position: Centre of the first pixel.
        spacing: Distance between rows, between columns.
        thickness_mm: Spacing Between Slices, else Slice Thickness, else 0.
        slice_thickness_mm: Slice Thickness, else 0.
        rescale: Rescale Slope and Intercept, None where both are absent; a missing slope is 1, a missing intercept 0.
        assumed: Which of the two is missing, empty where neither or both are.
        unit: Rescale Type, empty where absent.
        marks: What can tell its volume from others of the series, as text, empty where absent.
        order: What can tell which of the slices at its place it is, by tag name; absent where it does not say.
        tile: Which part of the frame it is, in a mosaic; None where it is all of it.
        uids_of_meta: Whether the identifiers of its object had to be taken from the file meta information.
        turned: How far its own directions were from those above, which its volume shares (largest part of a vector).
    """

    member: Member
    frame: int
    part: str
    identity: Mapping[str, str]
    rows: int
    columns: int
    row_direction: FloatArray
    column_direction: FloatArray
    orientation: tuple[float, ...]
    position: FloatArray
    spacing: tuple[float, float]
    thickness_mm: float
    slice_thickness_mm: float
    rescale: tuple[float, float] | None
    assumed: str
    unit: str
    marks: Mapping[str, str]
    order: Mapping[str, float]
    tile: Tile | None = None
    uids_of_meta: bool = False
    turned: float = 0.0

    @property
    def normal(self) -> FloatArray:
        """Unit vector along which slices are sorted."""
        return np.asarray(np.cross(self.row_direction, self.column_direction), np.float64)

    @property
    def depth_mm(self) -> float:
        """Position along the normal."""
        return float(self.position @ self.normal)

    @property
    def modality(self) -> str:
        """Modality, empty where absent."""
        return self.identity["Modality"]

    @property
    def series_uid(self) -> str:
        """Series Instance UID, empty where absent."""
        return self.identity["SeriesInstanceUID"]

    def belongs_with(self, other: Slice) -> bool:
        """Return whether both can be slices of one volume, whatever Frame of Reference they name."""
        mine = (self.series_uid, self.rows, self.columns, self.part)
        theirs = (other.series_uid, other.rows, other.columns, other.part)
        turned = np.abs(self.row_direction - other.row_direction).max()
        tipped = np.abs(self.column_direction - other.column_direction).max()
        return (
            mine == theirs
            and max(turned, tipped) <= SAME_DIRECTION
            and np.allclose(self.spacing, other.spacing, rtol=1e-4, atol=0)
        )


@dataclass(frozen=True)
class Passed:
    """A file that gave no slice.

    Attributes:
        reason: One of `REASONS`.
        series_uid: Series Instance UID, empty where there is none.
    """

    reason: str
    series_uid: str = ""


def image_slices(
    path: Path, files: Sequence[Member], series: str | None, beside: bool = False
) -> tuple[list[Slice], list[Passed]]:
    """Return the slices among `files`, and the files that gave none.

    With `series`, files of series whose UID does not end so are passed over unread, whatever they are; if that leaves
    nothing, all are returned, to be listed. Where they lie `beside` a file that was given by name, one that is damaged
    and does not say that it is of the same series is only counted.

    Raises:
        FormatError: None is a slice, or one is damaged.
        GeometryError: Images are there but none has a position.
    """
    found: list[Slice] = []
    passed: list[Passed] = []
    for member in files:
        try:
            inside = slices_or_reason(member, series)
        except (FormatError, GeometryError):
            if not beside or is_of_series(member, series):
                raise
            inside = Passed("of unknown kind")
        if isinstance(inside, Passed):
            passed.append(inside)
        else:
            found += inside
    reasons = Counter(item.reason for item in passed)
    if not found and reasons["of other series"]:
        return image_slices(path, files, None)
    if not found and reasons["images without a position"]:
        raise GeometryError(
            f"{file_name(path)}: {reasons['images without a position']} DICOM images, none with Image Position and "
            "Orientation, so nothing says where they lie. Export the original series.",
            code="DICOM_NO_POSITION",
        )
    if not found and reasons["images whose frames have none"]:
        raise GeometryError(
            f"{file_name(path)}: the frames of the image have no positions of their own, and no Spacing Between Slices "
            "says how far apart they lie; or they are moments in time. Export the original series.",
            code="DICOM_NO_POSITION",
        )
    if not found:
        raise FormatError(
            f"{file_name(path)}: no DICOM slices of one intensity per pixel were found "
            f"({count_reasons(passed) or 'no files at all'}). {remedy(files)}",
            code="INPUT_NOT_SCALAR" if reasons["in colour"] else "DICOM_NO_IMAGES",
        )
    return found, passed


def is_of_series(member: Member, series: str | None) -> bool:
    """Return whether a file that cannot be used says at least that it is of a series."""
    beginning = member.head(HEADER_BYTES)
    if sniff_bytes(beginning[:HEAD_BYTES]) != "dicom":
        return False
    try:
        own = text(header_of(member, beginning), "SeriesInstanceUID")
    except (FormatError, *PARSE_ERRORS):
        return False
    return bool(own) and series is not None and own.endswith(uid(series))


def count_reasons(passed: Sequence[Passed]) -> str:
    """Return how many files were passed over for each reason; empty where none was."""
    reasons = Counter(item.reason for item in passed)
    return ", ".join(f"{reasons[reason]} {reason}" for reason in REASONS if reasons[reason])


def passed_notes(passed: Sequence[Passed], series_uid: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a repair that counts files which may be slices of the series after all, and a note on the others."""
    doubtful: list[Passed] = []
    clear: list[Passed] = []
    for item in passed:
        own = bool(item.series_uid) and item.series_uid == series_uid
        (doubtful if own or item.reason in DOUBTFUL else clear).append(item)
    repairs = (f"Files left out, which may be slices: {count_reasons(doubtful)}.",) if doubtful else ()
    return repairs, (f"Files passed over: {count_reasons(clear)}.",) if clear else ()


def slices_or_reason(member: Member, series: str | None) -> list[Slice] | Passed:
    """Return the slices in a file, or why it is passed over.

    Raises:
        FormatError: It is a DICOM image but damaged, or stored in a way that is not read.
        GeometryError: Orientation, position or spacing is unusable.
    """
    beginning = member.head(HEADER_BYTES)
    kind = sniff_bytes(beginning[:HEAD_BYTES])
    if kind != "dicom":
        suffix = Path(member.name).suffix.lower()
        if suffix in content_endings("dicom", gzipped=False) or (member.size == 0 and not suffix[1:].isalpha()):
            raise refuse_kind(Path(member.name), Sniffed(kind))
        return Passed("of unknown kind" if kind == UNKNOWN else "not DICOM")
    dataset = header_of(member, beginning)
    try:
        own = text(dataset, "SeriesInstanceUID")
        if series is not None and own and not own.endswith(uid(series)):
            return Passed("of other series")
        inside = classify(member, dataset)
        if isinstance(inside, str):
            return Passed(inside, own)
        return inside
    except PARSE_ERRORS as error:
        raise corrupt(member.name, f"DICOM header: {type(error).__name__}") from error


def header_of(member: Member, beginning: bytes) -> Any:
    """Return the tags of a file that are read here, from its beginning where that holds all before the pixels.

    Raises:
        FormatError: The file is damaged.
    """
    tags = [*TAGS, *GROUPS, *EVIDENCE]
    # A member of a zip has a checksum, which only reading all of it compares: a damaged header could otherwise pass
    # for one of another series, and the slice would be left out.
    if not member.has_checksum:
        dataset = parse_beginning(beginning, tags)
        if dataset is not None:
            return dataset
    return parse(member.name, member.read(), tags)


def classify(member: Member, dataset: Any) -> list[Slice] | str:
    """Return the slices that a parsed header describes, or why the file is passed over."""
    declared = text(dataset, "SOPClassUID") or str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", ""))
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        if declared in IMAGE_CLASSES or (not declared and member.head(132)[128:] == b"DICM"):
            raise truncation(member.name, member.size, member.size + 1, "bytes at least")
        if declared == DIRECTORY_CLASS:
            return INDEX
        return "not images" if declared else "not DICOM"
    if any(declared == c or declared.startswith(c + ".") for c in DERIVED_CLASSES):
        return "not images"
    if is_localizer(dataset.get("ImageType")):
        return "localizers"
    if dataset.get("ModalityLUTSequence"):
        raise FormatError(
            f"{member.name}: intensities are stored through a lookup table, which is not read. Give the original "
            "series.",
            code="DICOM_UNSUPPORTED",
        )
    interpretation = text(dataset, "PhotometricInterpretation")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or interpretation not in ("", "MONOCHROME1", "MONOCHROME2"):
        return "in colour"
    found = [with_meta_uids(dataset, frame) for frame in frames(dataset)]
    count = int(dataset.get("NumberOfFrames") or 1)
    if len(found) == 1 < count and is_placed(found[0]):
        found = stack(member.name, found[0], count)
    if len(found) == 1 < count and is_placed(found[0]):
        return "images whose frames have none"
    if len(found) != count or not all(is_placed(frame) for frame in found):
        return "images without a position"
    if count == 1 and is_mosaic(member.name, dataset, found[0]):
        return mosaic_slices(member, found[0])
    return [slice_of(member, number, frame) for number, frame in enumerate(found)]


def mosaic_slices(member: Member, frame: Mapping[str, Any]) -> list[Slice]:
    """Return the slices in a mosaic.

    Raises:
        FormatError: Its private elements do not say where they lie (`DICOM_MOSAIC`).
        GeometryError: Orientation, position or spacing is unusable.
    """
    whole = slice_of(member, 0, frame)  # refuses what cannot be used
    # The header was read for a few public elements alone; the private ones are needed here.
    dataset = parse(member.name, member.read())
    found: list[Slice] = []
    for tile in tiles(member.name, dataset, frame, whole.thickness_mm):
        found.append(slice_of(member, 0, tile))
    return found


def with_meta_uids(dataset: Any, frame: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a frame's attributes, with the UIDs of the file meta information where those of the data set are empty.

    Careless de-identification empties them; results refer to the file by them.
    """
    meta, lacking = dataset.file_meta, {}
    for tag in META_UIDS:
        spare = text(meta, f"MediaStorage{tag}")
        if not text(frame, tag) and spare:
            lacking[tag] = spare
    if lacking:
        return {**frame, **lacking, "uids_of_meta": bool(lacking)}
    return frame


def slice_of(member: Member, index: int, frame: Mapping[str, Any]) -> Slice:
    """Return the slice that the attributes of one frame describe.

    Raises:
        GeometryError: Orientation, position or spacing is unusable.
        FormatError: A scale or thickness is no number, or the scale is 0.
    """
    name = member.name
    directions = vector(name, frame, "ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > 1e-2 or abs(float(directions[0] @ directions[1])) > 1e-2:
        raise GeometryError(
            f"{name}: the Image Orientation {directions.ravel().tolist()} is not two perpendicular unit vectors. "
            "Export the series again."
        )
    row, column = directions / lengths[:, np.newaxis]
    between_rows, between_columns = vector(name, frame, "PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise GeometryError(
            f"{name}: the Pixel Spacing {between_rows:g} x {between_columns:g} mm must be above 0. "
            "Export the series again."
        )
    own_thickness = number(name, frame, "SliceThickness") or 0.0
    thickness = number(name, frame, "SpacingBetweenSlices") or own_thickness
    return Slice(
        member,
        index,
        part_of(frame),
        {tag: text(frame, tag) for tag in IDENTITY},
        int(frame["Rows"]),
        int(frame["Columns"]),
        row,
        column,
        tuple(directions.ravel().tolist()),
        vector(name, frame, "ImagePositionPatient", 3),
        (float(between_rows), float(between_columns)),
        abs(thickness),
        abs(own_thickness),
        *rescale_of(name, frame),
        text(frame, "RescaleType"),
        marks_of(frame, name),
        order_of(frame),
        frame.get("Tile"),
        bool(frame.get("uids_of_meta")),
    )


def order_of(frame: Mapping[str, Any]) -> dict[str, float]:
    """Return times and numbers that order slices at one place; what is no number is left out."""
    found: dict[str, float] = {}
    for tag in ORDERS:
        try:
            found[tag] = float(text(frame, tag))
        except ValueError:
            continue
    return found


def uid(label: str) -> str:
    """Return the series UID of a label such as `1.2.3#2`."""
    return label.partition("#")[0]
