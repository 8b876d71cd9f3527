"""The frames of one DICOM image: one in a classic image, as many as there are in an enhanced one, all alike to read.

An enhanced image keeps what a classic one says at its top in functional groups, those of the frame before those that
all frames share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from prosect.io.dicom.values import number, vector

__all__ = [
    "GROUPS", "ORDERS", "TAGS", "frames", "is_localizer", "is_placed", "marks_of", "part_of", "stack",
]  # fmt: skip

# Image Types of pictures for planning, besides those that end in SURVIEW.
LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM")

# What tells the volumes of one series apart, in the order in which it is tried: classic images, then enhanced ones.
MARKS = {
    "time": ("TemporalPositionIdentifier", "TemporalPositionIndex"),
    "acquisition": ("AcquisitionNumber", "FrameAcquisitionNumber"),
    "echo": ("EchoNumbers",),
    "echo time": ("EchoTime", "EffectiveEchoTime"),
    "b value": ("DiffusionBValue",),
    "diffusion direction": ("DiffusionGradientOrientation",),
    "sequence": ("SequenceName", "PulseSequenceName"),
    "inversion time": ("InversionTime",),
    "flip angle": ("FlipAngle",),
    "kVp": ("KVP",),
    "kernel": ("ConvolutionKernel",),
    "heart phase": ("NominalPercentageOfCardiacPhase",),
    "breath phase": ("NominalPercentageOfRespiratoryPhase",),
    "trigger time": ("TriggerTime", "NominalCardiacTriggerDelayTime"),
    "type": ("ImageType", "FrameType"),
    "frame of reference": ("FrameOfReferenceUID",),
    "acquisition time": ("AcquisitionTime", "FrameAcquisitionDateTime"),
    "content time": ("ContentTime",),
}
ORDERS = ("TriggerTime", "InstanceNumber", "AcquisitionTime", "ContentTime")
MARK_TAGS = tuple(dict.fromkeys((*(tag for tags in MARKS.values() for tag in tags), *ORDERS)))

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PatientID", "SeriesDescription", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "BitsAllocated",
    "PhotometricInterpretation", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "GridFrameOffsetVector", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "FrameIncrementPointer", *MARK_TAGS,
)  # fmt: skip
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# What tells the volumes apart that one enhanced image can hold.
PARTS = {"StackID": "stack", "TemporalPositionIndex": "time", "FrameType": "type"}
INSIDE = frozenset((*TAGS, *PARTS))


def frames(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """Yield for each frame its attributes by keyword, wherever in the data set they lie."""
    top = {}
    for tag in TAGS:
        if tag in dataset:
            top[tag] = value_of(dataset, tag)
    shared, own = (dataset.get(group) or [] for group in GROUPS)
    if not own:
        yield top
        return
    for item in shared:
        top.update(grouped_attributes(item))
    for item in own:
        yield {**top, **grouped_attributes(item)}


def value_of(dataset: Any, tag: str) -> Any:
    """Return the value of a tag, as the text that was written where it does not fit its type."""
    try:
        return dataset[tag].value
    except ValueError:
        written = dataset.get_item(tag).value
        if isinstance(written, bytes):
            return written.decode("ascii", "replace").strip()
        return written


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
            words.append(f"{word} {words_of(value)}")
    return ", ".join(words)


def marks_of(frame: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return what can tell the volume of a frame from others of its series, empty where absent.

    Args:
        frame: Its attributes.
        name: Name of its file; a file of many frames is a volume by itself, and so is a mosaic.
    """
    found: dict[str, str] = {}
    for word, tags in MARKS.items():
        values = []
        for tag in tags:
            if frame.get(tag) not in (None, ""):
                values.append(frame[tag])
        if values:
            found[word] = words_of(values[0])
        else:
            found[word] = ""
    several = int(frame.get("NumberOfFrames") or 1) > 1 or "Tile" in frame
    if several:
        found["file"] = name
    else:
        found["file"] = ""
    return found


def words_of(value: Any) -> str:
    """Return the value of a tag in words, several of them with a slash between."""
    several = value
    if isinstance(value, str | int | float):
        several = [value]
    return "/".join(str(each) for each in several)


def is_localizer(image_type: Any) -> bool:
    """Return whether an Image Type is that of a picture for planning, or of one that shows where slices lie."""
    words = []
    for word in image_type or ():
        words.append(str(word).upper())
    return any(word in LOCALIZERS or word.endswith("SURVIEW") for word in words)


def stack(name: str, frame: Mapping[str, Any], count: int) -> list[Mapping[str, Any]]:
    """Return the frames of an image that says only at its top where it lies, as dental CBCT does.

    They lie along the normal from the first on, by Grid Frame Offset Vector, else Spacing Between Slices apart, else
    Slice Thickness.

    Returns:
        The one frame where no distance is given, or where the frames are moments in time.
    """
    pointed = str(frame.get("FrameIncrementPointer") or "")
    distance = number(name, frame, "SpacingBetweenSlices") or number(name, frame, "SliceThickness") or 0.0
    depths = np.arange(count) * abs(distance)
    if len(frame.get("GridFrameOffsetVector") or ()) == count:
        depths = vector(name, frame, "GridFrameOffsetVector", count)
        depths = depths - depths[0]
    if not depths.any() or "0018" in pointed:  # Frame Time and Frame Time Vector are in this group
        return [frame]
    first = vector(name, frame, "ImagePositionPatient", 3)
    row, column = vector(name, frame, "ImageOrientationPatient", 6).reshape(2, 3)
    normal = np.cross(row, column)
    found: list[Mapping[str, Any]] = []
    for depth in depths:
        found.append({**frame, "ImagePositionPatient": (first + depth * normal).tolist()})
    return found


def is_placed(frame: Mapping[str, Any]) -> bool:
    """Return whether a frame says where it lies."""
    return bool(frame.get("ImagePositionPatient")) and bool(frame.get("ImageOrientationPatient"))
