"""Measurements beside a DICOM segmentation (SR, TID 1500): volume and, of CT, mean and spread of each segment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.sr import (
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom import Dataset

from prosect.geometry import Grid
from prosect.io.dicom.choices import DicomChoices
from prosect.io.dicom.result import (
    CHARACTER_SET,
    MANUFACTURER,
    Result,
    dicom_uid,
    file_bytes,
    one_mask,
    result_of,
    set_common,
    set_dates,
    set_patient,
    short_text,
)
from prosect.io.dicom.seg import code_concept, property_codes, segment_numbers
from prosect.io.dicom.seg_file import TRACKING
from prosect.io.dicom.source import COPIED, require_header
from prosect.io.stored import Label, Outgoing
from prosect.vocabulary import Code

__all__ = ["doubts", "encode", "refuse"]

TITLE = "A DICOM measurement report"
SERIES_NUMBER = 702
SEG_CLASSES = {"binary": "1.2.840.10008.5.1.4.1.1.66.4", "labelmap": "1.2.840.10008.5.1.4.1.1.66.7"}
DIGITS = 3

REPORT = Code("126000", "Imaging Measurement Report", "DCM")
DEVICE = Code("121007", "Device", "DCM")
VOLUME = Code("118565006", "Volume")
ATTENUATION = Code("112031", "Attenuation Coefficient", "DCM")
MEAN = Code("373098007", "Mean")
DEVIATION = Code("386136009", "Standard Deviation")
MILLILITRE = Code("ml", "milliliter", "UCUM")
HOUNSFIELD = Code("[hnsf'U]", "Hounsfield unit", "UCUM")
PROCEDURES = {"CT": Code("77477000", "Computed tomography"), "MR": Code("113091000", "Magnetic resonance imaging")}
IMAGING = Code("363679005", "Imaging")


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the file of measurements of labels.

    Raises:
        OutputError: The labels belong to no DICOM series that can be referred to (see `result_of`).
    """
    yield file_bytes(build(result_of(image, TITLE)))


def refuse(header: object, _grid: Grid, _choices: DicomChoices) -> None:
    """Refuse, before the work, a scan that cannot be referred to; see `require_header`."""
    require_header(header, TITLE)


def doubts(_header: object, _grid: Grid) -> tuple[str, ...]:
    """Return what readers may get wrong: nothing that is known."""
    return ()


def build(result: Result) -> Dataset:
    """Return the object."""
    observer = DeviceObserverIdentifyingAttributes(
        uid=dicom_uid("device"), name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=MANUFACTURER
    )
    context = ObservationContext(observer_device_context=ObserverContext(code_concept(DEVICE), observer))
    report = MeasurementReport(
        observation_context=context,
        procedure_reported=code_concept(PROCEDURES.get(result.header.modality, IMAGING)),
        imaging_measurements=[group(result, label) for label in result.labels],
        title=code_concept(REPORT),
    )
    made = Comprehensive3DSR(
        evidence=evidence(result),
        content=report[0],
        series_instance_uid=result.uid("sr series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=result.uid("sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_verified=False,
    )
    set_patient(made, result)
    set_common(made, result, "sr")
    set_dates(made, result, ("ContentDate", "ContentTime"))
    if "ContributingEquipmentSequence" in made:
        # highdicom names itself with the time of day.
        del made.ContributingEquipmentSequence
    return made


def group(result: Result, label: Label) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Return the measurements of one segment."""
    category, kind, side, region = property_codes(label)
    sites = None
    if region is not None:
        sites = [FindingSite(code_concept(region), laterality=None if side is None else code_concept(side))]
    segment = ReferencedSegment(
        sop_class_uid=SEG_CLASSES[result.image.dicom.seg_encoding],
        sop_instance_uid=result.uid("seg"),
        segment_number=segment_numbers(result)[label.value],
        source_series=SourceSeriesForSegmentation(result.header.series_uid),
    )
    name = short_text(TRACKING.format(value=label.value, name=label.name))
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=result.tracking_uid(label), identifier=name),
        referenced_segment=segment,
        finding_type=code_concept(kind),
        finding_category=code_concept(category),
        finding_sites=sites,
        measurements=measurements(result, label),
    )


def measurements(result: Result, label: Label) -> list[Measurement]:
    """Return what is measured of one structure; a structure that the scan cuts off has no volume."""
    mask = one_mask(result.image, label)
    found: list[Measurement] = []
    if not touches_border(mask):
        volume = float(np.count_nonzero(mask)) * result.image.grid.voxel_volume_ml
        # Not rounded to a decimal place: a lone voxel has a volume, too.
        found.append(Measurement(code_concept(VOLUME), float(f"{volume:.6g}"), code_concept(MILLILITRE)))
    scan = result.image.scan
    if scan is not None and result.header.modality == "CT":
        values = scan.array[mask].astype(np.float64)
        for derivation, value in ((MEAN, values.mean()), (DEVIATION, values.std())):
            number = round(float(value), DIGITS)
            found.append(
                Measurement(
                    code_concept(ATTENUATION), number, code_concept(HOUNSFIELD), derivation=code_concept(derivation)
                )
            )
    return found


def touches_border(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (i j k) has a voxel on the edge of the scan."""
    ends = [mask.take(end, axis).any() for axis in range(3) for end in (0, -1)]
    return bool(any(ends))


def evidence(result: Result) -> list[Dataset]:
    """Return what the report rests on, the segmentation first, as far as highdicom asks for it."""
    header = result.header
    found: list[Dataset] = []
    instances = dict.fromkeys(header.instance_uids)
    referred = [(SEG_CLASSES[result.image.dicom.seg_encoding], result.uid("seg"), result.uid("seg series"))]
    referred += [(header.sop_class_uid, uid, header.series_uid) for uid in instances]
    for kind, uid, series in referred:
        item = Dataset()
        for keyword in COPIED:
            setattr(item, keyword, "")
        item.SpecificCharacterSet = CHARACTER_SET
        item.ReferringPhysicianName = ""
        item.SOPClassUID, item.SOPInstanceUID = kind, uid
        item.StudyInstanceUID, item.SeriesInstanceUID = header.study_uid, series
        found.append(item)
    return found
