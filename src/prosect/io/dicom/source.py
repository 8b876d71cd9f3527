"""What results that refer to a DICOM series need of it: who and which study, and where each slice lies.

Only what is listed here is ever copied into a result. Descriptions, comments and other free text of the source can name
a patient, so they are not read at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydicom.multival import MultiValue

from prosect.errors import OutputError
from prosect.io.dicom.header import HEADER_BYTES, Slice
from prosect.io.dicom.member import Member
from prosect.io.dicom.pixels import PARSE_ERRORS, parse, parse_beginning

__all__ = ["COPIED", "DicomHeader", "SourceFrame", "Study", "header_of", "require_header", "slices_by_uid", "study_of"]

# The attributes that a result repeats, each with the text that it may hold; anything else is left empty.
COPIED: dict[str, str] = {
    "PatientName": r"(?=.)[^\\=\x00-\x1f]{0,64}(=[^\\=\x00-\x1f]{0,64}){0,2}",
    "PatientID": r"[^\\\x00-\x1f]{1,64}",
    "PatientBirthDate": r"\d{8}",
    "PatientSex": r"[MFO]",
    "StudyDate": r"\d{8}",
    "StudyTime": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "StudyID": r"[^\\\x00-\x1f]{1,16}",
    "AccessionNumber": r"[^\\\x00-\x1f]{1,16}",
}
DATES = ("PatientBirthDate", "StudyDate")
VALID_UID = r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+"
UID_LENGTH = 64


@dataclass(frozen=True)
class Study:
    """What a result repeats of patient and study, as text; empty where the source does not say or says it wrongly.

    Attributes:
        uid: Study Instance UID.
        values: The attributes of `COPIED`, by keyword.
        uids: How many studies the slices name; more than one is a series put together wrongly.
        patients: How many patients they name.
    """

    uid: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    uids: int = 1
    patients: int = 1


@dataclass(frozen=True)
class SourceFrame:
    """One slice of the volume, in DICOM's own words.

    Attributes:
        instance_uid: SOP Instance UID of its file.
        number: Its frame in the file, from 1; 0 for a file of one frame.
        position_lps: Image Position: centre of the first pixel, LPS mm.
        orientation: Image Orientation, as stored: directions of increasing column and row index, LPS.
        spacing_mm: Pixel Spacing: distance between rows, between columns.
    """

    instance_uid: str
    number: int
    position_lps: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class DicomHeader:
    """What results that refer to the series need.

    Attributes:
        study: Patient and study.
        series_uid: Series Instance UID.
        frame_of_reference_uid: Frame of Reference UID, empty where absent.
        sop_class_uid: SOP Class UID of the slices.
        modality: Modality, empty where absent.
        thickness_mm: Slice Thickness, 0 where absent.
        frames: Each slice along k; none where its voxels are not those of a frame: resampled, or a mosaic.
    """

    study: Study
    series_uid: str
    frame_of_reference_uid: str
    sop_class_uid: str
    modality: str
    thickness_mm: float
    frames: tuple[SourceFrame, ...]

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.study.uid

    @property
    def instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UID of each slice along k."""
        return tuple(frame.instance_uid for frame in self.frames)


def header_of(kept: Sequence[Slice], study: Mapping[str, str], *, resampled: bool) -> DicomHeader:
    """Return what results need of the slices along k.

    Args:
        kept: The slices.
        study: What `study_of` returns of one of them.
        resampled: Whether the volume's voxels are no longer theirs.
    """
    first = kept[0]
    studies = {item.identity["StudyInstanceUID"] for item in kept}
    patients = {item.identity["PatientID"] for item in kept}
    frames: list[SourceFrame] = []
    # The slices in a mosaic are parts of one picture, which nothing can refer to.
    has_slices = not resampled and all(item.tile is None for item in kept)
    for item in kept if has_slices else []:
        x, y, z = map(float, item.position)
        # `marks` names the file of a slice where it holds several frames.
        number = 0
        if item.marks["file"]:
            number = item.frame + 1
        uid = item.identity["SOPInstanceUID"]
        frames.append(SourceFrame(uid, number, (x, y, z), item.orientation, item.spacing))
    return DicomHeader(
        Study(first.identity["StudyInstanceUID"], study, len(studies), len(patients)),
        first.series_uid,
        first.identity["FrameOfReferenceUID"],
        first.identity["SOPClassUID"],
        first.modality,
        first.slice_thickness_mm,
        tuple(frames),
    )


def study_of(member: Member) -> dict[str, str]:
    """Return the attributes of `COPIED` in a file that are written as DICOM demands.

    Raises:
        FormatError: The file is damaged.
    """
    tags = list(COPIED)
    dataset = parse_beginning(member.head(HEADER_BYTES), tags)
    if dataset is None:
        dataset = parse(member.name, member.read(), tags)
    found: dict[str, str] = {}
    for keyword, pattern in COPIED.items():
        text = text_of(dataset, keyword)
        if re.fullmatch(pattern, text) and (keyword not in DATES or is_day(text)):
            found[keyword] = text
    return found


def is_day(text: str) -> bool:
    """Return whether eight digits are a day of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def text_of(dataset: Any, keyword: str) -> str:
    """Return an attribute as text, empty where it is absent or cannot be decoded."""
    try:
        raw = dataset.get(keyword)
    except PARSE_ERRORS:
        return ""
    # A backslash separates values, and none of these attributes may have several.
    if raw is None or isinstance(raw, MultiValue):
        return ""
    return str(raw).strip()


def require_header(header: object, name: str) -> DicomHeader:
    """Return the header of the series that labels belong to, where DICOM results can refer to it.

    Args:
        header: The header of the scan, None where there is none.
        name: The output, for messages.

    Raises:
        OutputError: The scan is no DICOM series, or the labels lie on another grid (`DICOM_SOURCE_NEEDED`); it was
            resampled or is a mosaic (`DICOM_RESAMPLED`), mixes studies or patients (`DICOM_STUDIES_MIXED`), lacks the
            identifiers by which viewers attach a result to it (`DICOM_UIDS_MISSING`), or names two slices alike
            (`DICOM_UIDS_REPEATED`).
    """
    if not isinstance(header, DicomHeader):
        raise OutputError(
            f"{name}: a DICOM result refers to the slices of a DICOM series, and these labels do not lie on one. "
            "Segment the DICOM series itself, or write NIfTI, NRRD or MetaImage.",
            code="DICOM_SOURCE_NEEDED",
        )
    if not header.frames:
        raise OutputError(
            f"{name}: the slices were resampled or unpacked from a mosaic, so the labels do not lie on frames of the "
            "series, to which a DICOM result refers. Write NIfTI, NRRD or MetaImage.",
            code="DICOM_RESAMPLED",
        )
    refuse_mixed(header, name)
    refuse_names(header, name)
    return header


def refuse_mixed(header: DicomHeader, name: str) -> None:
    """Refuse slices of several studies or patients.

    Raises:
        OutputError: `DICOM_STUDIES_MIXED`.
    """
    if header.study.uids > 1:
        raise OutputError(
            f"{name}: the slices name {header.study.uids} studies, and a DICOM result belongs to one. Separate the "
            "files by their Study Instance UID, or write NIfTI, NRRD or MetaImage.",
            code="DICOM_STUDIES_MIXED",
        )
    if header.study.patients > 1:
        raise OutputError(
            f"{name}: the slices name {header.study.patients} patients by their Patient ID, and a DICOM result belongs "
            "to one. Separate the files by their Patient ID, or write NIfTI, NRRD or MetaImage.",
            code="DICOM_STUDIES_MIXED",
        )


def refuse_names(header: DicomHeader, name: str) -> None:
    """Refuse a series that nothing can refer to, or whose slices share a name.

    Raises:
        OutputError: `DICOM_UIDS_MISSING` or `DICOM_UIDS_REPEATED`.
    """
    lacking = unusable_uids(header)
    if lacking:
        raise OutputError(
            f"{name}: the series has no valid {', '.join(lacking)}, so no viewer could attach a DICOM result to it "
            "(often an effect of de-identification). Export the series again, or write NIfTI, NRRD or MetaImage.",
            code="DICOM_UIDS_MISSING",
        )
    repeated = len(header.frames) - len(slices_by_uid(header))
    if repeated:
        raise OutputError(
            f"{name}: slices share their SOP Instance UID with another one, so a DICOM result could not say on which "
            "of them it lies. Export the series again, or write NIfTI, NRRD or MetaImage.",
            code="DICOM_UIDS_REPEATED",
        )


def slices_by_uid(header: DicomHeader) -> dict[tuple[str, int], int]:
    """Return the index along k of each slice by SOP Instance UID and frame number (0 for none).

    What several slices are called stands for none of them, and is left out.
    """
    names = [(frame.instance_uid, frame.number) for frame in header.frames]
    count = Counter(names)
    found: dict[tuple[str, int], int] = {}
    for k, name in enumerate(names):
        if count[name] == 1:
            found[name] = k
    return found


def unusable_uids(header: DicomHeader) -> list[str]:
    """Return the names of identifiers that are absent or malformed."""
    named = {
        "Study Instance UID": [header.study_uid],
        "Series Instance UID": [header.series_uid],
        "Frame of Reference UID": [header.frame_of_reference_uid],
        "SOP Class UID": [header.sop_class_uid],
        "SOP Instance UID": list(header.instance_uids),
    }
    lacking: list[str] = []
    for name, uids in named.items():
        if any(len(uid) > UID_LENGTH or not re.fullmatch(VALID_UID, uid) for uid in uids):
            lacking.append(name)
    return lacking
