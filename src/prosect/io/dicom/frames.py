"""The frames of one DICOM image: one in a classic image, as many as there are in an enhanced one, all alike to read.

An enhanced image keeps what a classic one says at its top in functional groups, those of the frame before those that
all frames share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["TAGS", "frames", "part_of"]

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "SeriesDescription", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated",
    "PhotometricInterpretation", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
)  # fmt: skip
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# What tells the volumes apart that one enhanced image can hold.
PARTS = {"StackID": "stack", "TemporalPositionIndex": "time", "FrameType": "type"}
INSIDE = frozenset((*TAGS, *PARTS))


def frames(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """Yield for each frame its attributes by keyword, wherever in the data set they lie."""
    top = {tag: dataset[tag].value for tag in TAGS if tag in dataset}
    shared, own = (dataset.get(group) or [] for group in GROUPS)
    if not own:
        yield top
        return
    for item in shared:
        top.update(grouped_attributes(item))
    for item in own:
        yield {**top, **grouped_attributes(item)}


def grouped_attributes(groups: Any) -> dict[str, Any]:
    """Return the attributes in the functional groups of one frame, or of all.

    Private groups are left out: Philips repeats position, slope and spacing in (2005,140F), half a voxel off the public
    ones or scaled for another program.
    """
    found: dict[str, Any] = {}
    for element in groups:
        if element.VR != "SQ" or not element.value or element.tag.is_private:
            continue
        for inner in element.value[0]:
            if inner.keyword in INSIDE:
                found[inner.keyword] = inner.value
    return found


def part_of(frame: Mapping[str, Any]) -> str:
    """Return which of several volumes in one image a frame belongs to, in words; empty for a classic image."""
    words: list[str] = []
    for tag, word in PARTS.items():
        value = frame.get(tag)
        if value is not None:
            several = [value] if isinstance(value, str | int | float) else value
            words.append(f"{word} {'/'.join(str(each) for each in several)}")
    return ", ".join(words)
