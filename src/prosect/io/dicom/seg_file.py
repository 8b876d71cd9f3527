"""A DICOM segmentation as it lies in its file: its segments, and where each of its frames lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError
from prosect.geometry import FloatArray
from prosect.io.dicom.pixels import PARSE_ERRORS, slice_values, transfer_syntax
from prosect.io.payload import corrupt, truncation

__all__ = [
    "HIGHEST_LABEL", "TRACKING", "SegFile", "SegFrame", "SegSegment", "frame_masks", "names_by_label", "own_label",
    "seg_file",
]  # fmt: skip

# Our own tracking identifier: the label value, and the name of the structure.
TRACKING = "prosect:{value}:{name}"
OWN_TRACKING = re.compile(r"prosect:(\d{1,5}):")
HIGHEST_LABEL = 0xFFFF
TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")


@dataclass(frozen=True)
class SegSegment:
    """One segment.

    Attributes:
        number: Its number in the file.
        label: Its label value: that of our tracking identifier where all segments have one, else the number.
        name: Its Segment Label.
    """

    number: int
    label: int
    name: str


@dataclass(frozen=True, eq=False)
class SegFrame:
    """One frame; positions and directions in LPS mm.

    Attributes:
        number: Its number, from 0.
        segment: The number of its segment; None in a label map, whose pixels say it.
        position: Centre of the first pixel.
        row_direction: Unit vector of increasing column index.
        column_direction: Unit vector of increasing row index.
        spacing: Distance between rows, between columns.
        thickness_mm: Distance to the next slice as far as the file says, else 0.
        source: SOP Instance UID and frame number (0 for none) of the slice it was drawn on, empty where not said.
    """

    number: int
    segment: int | None
    position: FloatArray
    row_direction: FloatArray
    column_direction: FloatArray
    spacing: tuple[float, float]
    thickness_mm: float
    source: tuple[str, int]

    def points_lps(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatArray:
        """Return the centres (n, 3) of pixels in LPS mm."""
        along_row = columns[:, np.newaxis] * (self.row_direction * self.spacing[1])
        along_column = rows[:, np.newaxis] * (self.column_direction * self.spacing[0])
        return np.asarray(self.position + along_row + along_column)


@dataclass(frozen=True, eq=False)
class SegFile:
    """A segmentation.

    Attributes:
        name: File name for messages.
        size: Length of the file.
        dataset: All of it.
        kind: `BINARY`, `FRACTIONAL` or `LABELMAP`.
        rows: Rows of a frame.
        columns: Columns of a frame.
        segments: Its segments without the background.
        frames: Its frames.
    """

    name: str
    size: int
    dataset: Any
    kind: str
    rows: int
    columns: int
    segments: tuple[SegSegment, ...]
    frames: tuple[SegFrame, ...]


def seg_file(name: str, size: int, dataset: Any) -> SegFile:
    """Return the segmentation in a parsed file.

    Raises:
        FormatError: It is damaged, or stored in a way that is not read (`LABELS_UNSUPPORTED`).
    """
    try:
        kind = str(dataset.get("SegmentationType") or "BINARY")
        if kind not in TYPES:
            raise storage_refusal(name, f"the segmentation type {kind!r}")
        segments = segments_of(dataset)
        frames = tuple(frames_of(dataset))
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    except PARSE_ERRORS as error:
        raise corrupt(name, f"DICOM segmentation: {type(error).__name__}") from error
    if len(frames) != int(dataset.get("NumberOfFrames") or 1):
        raise corrupt(name, f"{len(frames)} frames have a place, {dataset.get('NumberOfFrames')} are declared")
    return SegFile(name, size, dataset, kind, rows, columns, segments, frames)


def segments_of(dataset: Any) -> tuple[SegSegment, ...]:
    """Return the segments of a file, without the background of a label map."""
    found: list[tuple[int, int | None, str]] = []
    for item in dataset.get("SegmentSequence") or []:
        number = int(item.SegmentNumber)
        if number:
            own = own_label(str(item.get("TrackingID") or ""))
            found.append((number, own, str(item.get("SegmentLabel") or "").strip()))
    values = [value for _, value, _ in found if value]
    ours = len(set(values)) == len(found)
    segments: list[SegSegment] = []
    for number, value, name in found:
        label = number
        if ours and value:
            label = value
        segments.append(SegSegment(number, label, name))
    return tuple(segments)


def own_label(text: str) -> int | None:
    """Return the label value in a tracking identifier of ours, None where it is none."""
    match = OWN_TRACKING.match(text)
    if match and 0 < int(match[1]) <= HIGHEST_LABEL:
        return int(match[1])
    return None


def frames_of(dataset: Any) -> Iterator[SegFrame]:
    """Yield the place of each frame: by its own functional groups, else by those that all share."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
    for number, own in enumerate(dataset.get("PerFrameFunctionalGroupsSequence") or []):
        measures = group(own, shared, "PixelMeasuresSequence")
        directions = np.array(group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient, np.float64)
        position = np.array(group(own, shared, "PlanePositionSequence").ImagePositionPatient, np.float64)
        identified = own.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        segment = None
        if identified:
            segment = int(identified[0].ReferencedSegmentNumber)
        between_rows, between_columns = map(float, measures.PixelSpacing)
        thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0.0
        yield SegFrame(
            number,
            segment,
            position,
            directions[:3],
            directions[3:],
            (between_rows, between_columns),
            abs(float(thickness)),
            source_of(own),
        )


def group(own: Any, shared: Any, keyword: str) -> Any:
    """Return the item of a functional group.

    Raises:
        KeyError: Neither the frame nor the file has it.
    """
    found = own.get(keyword) or shared.get(keyword)
    if not found:
        raise KeyError(keyword)
    return found[0]


def source_of(own: Any) -> tuple[str, int]:
    """Return the slice that a frame was drawn on, as its SOP Instance UID and frame number (0 for none).

    A frame that names several slices was drawn on none of them alone; then both are empty, and its position counts.
    """
    named: set[tuple[str, int]] = set()
    for derivation in own.get("DerivationImageSequence") or []:
        for item in derivation.get("SourceImageSequence") or []:
            uid = str(item.get("ReferencedSOPInstanceUID") or "")
            numbers = item.get("ReferencedFrameNumber") or 0
            if isinstance(numbers, int | str):
                numbers = [numbers]
            for number in numbers:
                named.add((uid, int(number)))
    if len(named) == 1:
        return named.pop()
    return "", 0


def frame_masks(file: SegFile, frame: SegFrame) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the segment numbers in a frame with their masks (row, column).

    Raises:
        FormatError: The pixels are damaged, or compressed in a way that is not read.
    """
    if file.kind == "BINARY" and int(file.dataset.get("BitsAllocated") or 0) == 1:
        values: NDArray[Any] = bits_of(file, frame)
    else:
        # The pixels of a label map in palette colour are the label values too.
        file.dataset.PhotometricInterpretation = "MONOCHROME2"
        values = slice_values(file.name, file.dataset, file.size, frame.number)
    if frame.segment is not None:
        half = 0.0
        if file.kind == "FRACTIONAL":
            half = float(file.dataset.get("MaximumFractionalValue") or 255) / 2
        yield frame.segment, values > half
        return
    for number in np.unique(values):
        if number:
            yield int(number), values == number


def bits_of(file: SegFile, frame: SegFrame) -> NDArray[np.uint8]:
    """Return the pixels (row, column) of a frame of one bit each; frames follow each other without padding.

    Raises:
        FormatError: Too few of them, or compressed (`LABELS_UNSUPPORTED`).
    """
    if transfer_syntax(file.dataset).is_encapsulated:
        raise storage_refusal(file.name, f"one-bit frames in {transfer_syntax(file.dataset).name}")
    count = file.rows * file.columns
    need = (count * len(file.frames) + 7) // 8
    found: bytes = file.dataset.get("PixelData") or b""
    if len(found) < need:
        raise truncation(file.name, len(found), need, "bytes of pixels")
    first = frame.number * count
    packed = np.frombuffer(found, np.uint8, (first + count + 7) // 8 - first // 8, first // 8)
    bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + count]
    return bits.reshape(file.rows, file.columns)


def storage_refusal(name: str, what: str) -> FormatError:
    """Return the refusal of a segmentation that is stored in another way."""
    return FormatError(
        f"{name}: {what} is not read. Export the segmentation as BINARY or LABELMAP without compression.",
        code="LABELS_UNSUPPORTED",
    )


def names_by_label(segments: Sequence[SegSegment]) -> dict[int, str]:
    """Return the names of segments by label value, as far as they have one."""
    found: dict[int, str] = {}
    for segment in segments:
        if segment.name:
            found[segment.label] = segment.name
    return found
