"""DICOM structure sets (RTSTRUCT): one region of interest per structure, as outlines on the scan's own slices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from prosect.errors import OutputError, UsageError
from prosect.geometry import FloatArray, Grid
from prosect.io.dicom.choices import DicomChoices
from prosect.io.dicom.contours import outlines
from prosect.io.dicom.result import (
    PRIVATE_SCHEME,
    Result,
    file_bytes,
    one_mask,
    private_value,
    result_of,
    set_common,
    set_dates,
    set_patient,
    short_text,
)
from prosect.io.dicom.seg_file import TRACKING
from prosect.io.dicom.source import DicomHeader, SourceFrame, require_header
from prosect.io.stored import Label, Outgoing
from prosect.vocabulary import Code

__all__ = ["doubts", "encode", "refuse"]

TITLE = "A DICOM structure set"
SERIES_NUMBER = 701
SET_LABEL = "prosect RESEARCH"  # at most 16 characters
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
MAX_TILT = 1e-4
AXIAL = ((1, 0, 0, 0, 1, 0), (0, 1, 0, 1, 0, 0))
# A quarter pixel may move before a pixel changes sides, so a thousandth of a millimetre is exact.
DECIMALS = 3
BODY = Code("38266002", "Entire body")


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the file of labels.

    Raises:
        OutputError: The labels belong to no DICOM series that can be referred to (see `result_of`).
    """
    result = result_of(image, TITLE)
    yield file_bytes(build(result))


def refuse(header: object, _grid: Grid, choices: DicomChoices) -> None:
    """Refuse, before the work, a scan on which a structure set cannot be drawn.

    Raises:
        UsageError: The tolerance is no distance.
        OutputError: See `require_header`; or the slices are not axial, or tilted, or frames of one file, which
            radiotherapy systems do not place (`RTSTRUCT_NEEDS_AXIAL`).
    """
    if not 0 <= choices.rt_tolerance_mm < np.inf:
        raise UsageError(f"The tolerance of outlines is {choices.rt_tolerance_mm:g} mm; give 0 or more.")
    known = require_header(header, TITLE)
    cause = why_no_outlines(known)
    if cause:
        raise OutputError(
            f"{TITLE}: {cause}. Radiotherapy systems place outlines on untilted axial slices alone. Write a DICOM SEG, "
            "NIfTI or NRRD.",
            code="RTSTRUCT_NEEDS_AXIAL",
        )


def why_no_outlines(header: DicomHeader) -> str:
    """Return why outlines cannot be drawn on these slices, empty where they can."""
    if any(frame.number for frame in header.frames):
        return "the slices are frames of one file"
    directions = np.abs(header.frames[0].orientation)
    # Rows from side to side, or from front to back where the patient lies on a side.
    if all(np.abs(directions - axial).max() > MAX_TILT for axial in AXIAL):
        return f"the Image Orientation is {np.round(header.frames[0].orientation, 4).tolist()}"
    places = np.array([frame.position_lps for frame in header.frames])
    if np.ptp(places[:, :2], axis=0).max() > MAX_TILT * max(1.0, float(np.ptp(places[:, 2]))):
        return "the gantry is tilted"
    return ""


def doubts(_header: object, _grid: Grid) -> tuple[str, ...]:
    """Return what readers of a structure set may get wrong: nothing that is not refused."""
    return ()


def build(result: Result) -> Dataset:
    """Return the object."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    made.Modality = "RTSTRUCT"
    set_patient(made, result)
    set_common(made, result, "rtstruct")
    made.SeriesNumber = SERIES_NUMBER
    made.OperatorsName = ""
    made.StructureSetLabel = made.StructureSetName = SET_LABEL
    set_dates(made, result, ("StructureSetDate", "StructureSetTime"))
    made.FrameOfReferenceUID = result.header.frame_of_reference_uid
    made.PositionReferenceIndicator = ""
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [referenced_frame(result.header)]
    made.StructureSetROISequence = []
    made.ROIContourSequence = []
    made.RTROIObservationsSequence = []
    names: list[str] = []
    for number, label in enumerate(result.labels, start=1):
        names.append(short_text(label.name, taken=names))
        made.StructureSetROISequence.append(region(result, number, names[-1]))
        made.ROIContourSequence.append(contours(result, number, label))
        made.RTROIObservationsSequence.append(observation(number, label, names[-1]))
    return made


def referenced_frame(header: DicomHeader) -> Dataset:
    """Return the reference to the series, with every slice."""
    series = Dataset()
    series.SeriesInstanceUID = header.series_uid
    series.ContourImageSequence = [referenced_slice(header, frame) for frame in header.frames]
    study = Dataset()
    study.ReferencedSOPClassUID = STUDY_CLASS
    study.ReferencedSOPInstanceUID = header.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = header.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def referenced_slice(header: DicomHeader, frame: SourceFrame) -> Dataset:
    """Return the reference to one slice."""
    item = Dataset()
    item.ReferencedSOPClassUID = header.sop_class_uid
    item.ReferencedSOPInstanceUID = frame.instance_uid
    return item


def region(result: Result, number: int, name: str) -> Dataset:
    """Return what a region of interest is called and how it was made."""
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = result.header.frame_of_reference_uid
    item.ROIName = name
    item.ROIGenerationAlgorithm = result.maker.kind
    item.ROIGenerationDescription = short_text(result.maker.summary)
    return item


def contours(result: Result, number: int, label: Label) -> Dataset:
    """Return the outlines of a structure, slice by slice."""
    item = Dataset()
    item.ROIDisplayColor = list(label.rgb)
    item.ReferencedROINumber = number
    item.ContourSequence = []
    mask = one_mask(result.image, label)
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        frame = result.header.frames[k]
        for ring in outlines(mask[..., k].T, result.image.dicom.rt_tolerance_mm, frame.spacing_mm):
            outline = Dataset()
            outline.ContourImageSequence = [referenced_slice(result.header, frame)]
            outline.ContourGeometricType = "CLOSED_PLANAR"
            outline.NumberOfContourPoints = len(ring)
            outline.ContourNumber = len(item.ContourSequence) + 1
            outline.ContourData = decimals(points_lps(frame, ring))
            item.ContourSequence.append(outline)
    return item


def points_lps(frame: SourceFrame, ring: FloatArray) -> FloatArray:
    """Return the points (n, 3) of an outline, given in row and column index (n, 2), in LPS mm."""
    directions = np.array(frame.orientation)
    down, across = ring[:, :1] * frame.spacing_mm[0], ring[:, 1:] * frame.spacing_mm[1]
    return np.asarray(np.array(frame.position_lps) + across * directions[:3] + down * directions[3:])


def decimals(points: FloatArray) -> list[str]:
    """Return coordinates as decimal strings without needless zeros."""
    texts: list[str] = []
    for value in np.round(points, DECIMALS).ravel().tolist():
        text = f"{value + 0.0:.{DECIMALS}f}".rstrip("0").rstrip(".")
        texts.append("0" if text == "-0" else text)
    return texts


def observation(number: int, label: Label, name: str) -> Dataset:
    """Return what a region of interest stands for."""
    structure = label.structure
    code = Code(private_value(label), short_text(label.name), PRIVATE_SCHEME)
    if structure is not None and structure.snomed is not None:
        code = structure.snomed
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = short_text(name, 16)
    item.ROIObservationDescription = TRACKING.format(value=label.value, name=label.name)
    item.RTROIIdentificationCodeSequence = [code_item(code)]
    # Never a target volume: what is to be irradiated, a person decides.
    if code.value == BODY.value:
        item.RTROIInterpretedType = "EXTERNAL"
    else:
        item.RTROIInterpretedType = "ORGAN"
    item.ROIInterpreter = ""
    return item


def code_item(code: Code) -> Dataset:
    """Return a code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme
    item.CodeMeaning = short_text(code.meaning)
    return item
