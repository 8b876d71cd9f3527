"""DICOM segmentations (SEG): one segment per structure, drawn on the scan's own slices.

The pixels and functional groups are written by highdicom. What it takes from the clock or from chance is set anew, so
that the same labels give the same bytes; and every file is read back by hand before it is handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence, PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from prosect import __version__
from prosect.errors import OutputError
from prosect.geometry import Grid
from prosect.io.dicom.choices import DicomChoices
from prosect.io.dicom.result import (
    CHARACTER_SET,
    MANUFACTURER,
    PRIVATE_SCHEME,
    RESEARCH_ONLY,
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
from prosect.io.dicom.seg_check import check_written
from prosect.io.dicom.seg_file import TRACKING
from prosect.io.dicom.source import COPIED, require_header
from prosect.io.payload import check_memory
from prosect.io.stored import Label, Outgoing
from prosect.vocabulary import Code

__all__ = ["doubts", "encode", "encode_result", "property_codes", "refuse", "segment_numbers"]

TITLE = "A DICOM segmentation"
SERIES_NUMBER = 700
CONTENT_LABEL = "SEGMENTATION"
ARTIFICIAL_INTELLIGENCE = Code("123110", "Artificial Intelligence", "DCM")
NO_CATEGORY = Code("P0000", "Structure", PRIVATE_SCHEME)
# Functional groups of one frame, as highdicom and pydicom hold them, measured at 11,000 frames.
FRAME_BYTES = 110 << 10
# Copies of the pixels at the worst moment: frames, the joined pixels, the file.
COPIES = 3
USUAL_STRUCTURES = 18
# What rounding leaves of a grid without shear.
MAX_SHEAR = 1e-6


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the file of labels.

    Raises:
        OutputError: The labels belong to no DICOM series that can be referred to (see `result_of`), structures overlap
            in a label map (`OUTPUT_UNSUPPORTED`), or the file that was made differs from the labels.
        ResourceError: The memory is not sufficient.
    """
    yield encode_result(result_of(image, TITLE))


def refuse(header: object, grid: Grid, choices: DicomChoices) -> None:
    """Refuse, before the work, a scan that a segmentation cannot refer to, or whose segmentation cannot fit in memory.

    Raises:
        OutputError: See `require_header` and `refuse_packing`.
        ResourceError: `MEMORY_INSUFFICIENT`.
    """
    require_header(header, TITLE)
    refuse_packing(choices)
    columns, rows, slices = grid.shape
    # How many structures will lie in a slice is not known yet; of a whole body it is 18 of 117.
    if choices.seg_encoding == "binary":
        check_memory(TITLE, frame_bytes(rows, columns, 1) * slices * USUAL_STRUCTURES)


def refuse_packing(choices: DicomChoices) -> None:
    """Refuse a compression that the encoding does not have.

    Raises:
        OutputError: `OUTPUT_UNSUPPORTED`.
    """
    if choices.seg_encoding == "binary" and choices.packing == "rle":
        raise OutputError(
            f"{TITLE}: frames of single bits (BINARY) cannot be packed by run lengths. Add --seg-encoding labelmap, or "
            "take --seg-compression deflate or none.",
            code="OUTPUT_UNSUPPORTED",
        )


def doubts(_header: object, grid: Grid) -> tuple[str, ...]:
    """Return what readers of a segmentation may get wrong, in sentences."""
    if grid.shear <= MAX_SHEAR:
        return ()
    return (
        "the gantry is tilted. The file is right and viewers that show single slices are too, but dcmqi and 3D Slicer "
        "place the structures of such a series several millimetres off without a word.",
    )


def encode_result(result: Result) -> bytes:
    """Return the file of a result; errors as in `encode`."""
    refuse_packing(result.image.dicom)
    pixels = pixels_of(result)
    require_memory(result, pixels)
    made = build(result, pixels)
    data = file_bytes(made)
    check_written(data, result, segment_numbers(result))
    if result.image.dicom.packing == "deflate":
        # highdicom refuses this transfer syntax; pydicom deflates the checked data set as it writes it.
        made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data = file_bytes(made)
    return data


def segment_numbers(result: Result) -> dict[int, int]:
    """Return the segment number of each label value: 1, 2, ... in a BINARY file, the value itself in a label map."""
    if result.image.dicom.seg_encoding == "labelmap":
        return {label.value: label.value for label in result.labels}
    return {label.value: number for number, label in enumerate(result.labels, start=1)}


def pixels_of(result: Result) -> NDArray[Any]:
    """Return segment numbers (k, row, column), or masks (k, row, column, c) where structures overlap.

    Raises:
        OutputError: They overlap, which a label map cannot hold (`OUTPUT_UNSUPPORTED`).
    """
    image, numbers = result.image, segment_numbers(result)
    smallest = np.uint8 if max(numbers.values()) < 256 else np.uint16
    if not image.layered:
        table = np.zeros(int(image.array.max(initial=0)) + 1, smallest)
        for value, number in numbers.items():
            table[value] = number
        return np.asarray(table[image.array].transpose(2, 1, 0))
    flat = np.zeros(image.grid.shape, smallest)
    for label in result.labels:
        mask = one_mask(image, label)
        if flat[mask].any():
            return overlapping(result)
        flat[mask] = numbers[label.value]
    return flat.transpose(2, 1, 0)


def overlapping(result: Result) -> NDArray[Any]:
    """Return the masks of structures that overlap (k, row, column, c)."""
    if result.image.dicom.seg_encoding == "labelmap":
        raise OutputError(
            f"{TITLE}: structures overlap, which a LABELMAP cannot hold. Leave out --seg-encoding: BINARY can.",
            code="OUTPUT_UNSUPPORTED",
        )
    order = []
    for label in result.labels:
        order.append([each.value for each in result.image.labels].index(label.value))
    # highdicom sums the layers of every voxel in eight bytes to see whether they overlap.
    check_memory(TITLE, result.image.grid.voxel_count * (8 + len(order)))
    return np.asarray(result.image.array[order].transpose(3, 2, 1, 0))


def require_memory(result: Result, pixels: NDArray[Any]) -> None:
    """Refuse a file that does not fit in memory while it is made.

    Raises:
        ResourceError: `MEMORY_INSUFFICIENT`.
    """
    slices, rows, columns = pixels.shape[:3]
    frames = slices
    bits = 8 * pixels.dtype.itemsize
    if result.image.dicom.seg_encoding == "binary":
        frames, bits = sum(count_frames(plane) for plane in pixels), 1
    check_memory(TITLE, frames * frame_bytes(rows, columns, bits))


def frame_bytes(rows: int, columns: int, bits: int) -> int:
    """Return what a frame takes in memory while a file is made."""
    return FRAME_BYTES + COPIES * rows * columns * bits // 8


def count_frames(plane: NDArray[Any]) -> int:
    """Return how many structures have a pixel in a slice (row, column) or (row, column, c)."""
    if plane.ndim == 3:
        return int(plane.any(axis=(0, 1)).sum())
    return int(np.count_nonzero(np.bincount(plane.ravel())[1:]))


def build(result: Result, pixels: NDArray[Any]) -> Dataset:
    """Return the object."""
    is_map = result.image.dicom.seg_encoding == "labelmap"
    made = Segmentation(
        source_images=source_images(result),
        pixel_array=pixels,
        segmentation_type="LABELMAP" if is_map else "BINARY",
        segment_descriptions=[describe_segment(result, label) for label in result.labels],
        series_instance_uid=result.uid("seg series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=result.uid("seg"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number=result.maker.serial,
        content_label=CONTENT_LABEL,
        content_description=RESEARCH_ONLY,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        pixel_measures=pixel_measures(result),
    )
    set_patient(made, result)
    set_common(made, result, "seg")
    set_dates(made, result, ("ContentDate", "ContentTime"))
    set_equipment(made, result)
    set_dimensions(made, result)
    set_references(made, result)
    if result.image.dicom.packing == "rle":
        # Not by highdicom: it would take GDCM, which ends the process on some frames.
        made.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return made


def source_images(result: Result) -> list[Dataset]:
    """Return the slices of the scan as highdicom needs them; nothing else of their headers is known to it.

    A frame of an enhanced image stands for a classic slice here; `set_references` says which frame it is.
    """
    header = result.header
    images: list[Dataset] = []
    for number, frame in enumerate(header.frames):
        image = Dataset()
        # highdicom doubts names of one component; the patient is set when it is done.
        for keyword in COPIED:
            setattr(image, keyword, "")
        image.StudyInstanceUID = header.study_uid
        image.SpecificCharacterSet = CHARACTER_SET
        image.SOPClassUID = CTImageStorage
        # Frames of one file share an identifier, which highdicom would take for the same slice.
        image.SOPInstanceUID = result.uid(f"slice {number}")
        image.SeriesInstanceUID = header.series_uid
        image.FrameOfReferenceUID = header.frame_of_reference_uid
        image.Modality = header.modality
        image.Columns, image.Rows = result.image.grid.shape[:2]
        image.ImagePositionPatient = decimals(frame.position_lps)
        image.ImageOrientationPatient = decimals(header.frames[0].orientation)
        image.PixelSpacing = decimals(header.frames[0].spacing_mm)
        image.SliceThickness = decimals([thickness(result)])[0]
        images.append(image)
    return images


def decimals(values: Sequence[float]) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters, as exact as that allows."""
    texts: list[str] = []
    for value in values:
        text = repr(value + 0.0)
        digits = 16
        while len(text) > 16:
            digits -= 1
            text = f"{value:.{digits}g}"
        texts.append(text)
    return texts


def thickness(result: Result) -> float:
    """Return the thickness of a slice in mm: what the source says, else the distance between slices."""
    return result.header.thickness_mm or result.image.grid.spacing_mm[2]


def pixel_measures(result: Result) -> PixelMeasuresSequence:
    """Return spacing, thickness, and the distance between slices along their normal."""
    directions = np.array(result.header.frames[0].orientation)
    normal = np.cross(directions[:3], directions[3:])
    places = []
    for frame in result.header.frames:
        places.append(float(np.array(frame.position_lps) @ normal))
    between = thickness(result)
    if len(places) > 1:
        between = abs(places[-1] - places[0]) / (len(places) - 1)
    return PixelMeasuresSequence(
        pixel_spacing=list(result.header.frames[0].spacing_mm),
        slice_thickness=thickness(result),
        spacing_between_slices=between,
    )


def describe_segment(result: Result, label: Label) -> SegmentDescription:
    """Return the description of one segment."""
    category, kind, side, region = property_codes(label)
    maker = result.maker
    algorithm = None
    if maker.kind != "MANUAL":
        parameters = {"weights_sha256": maker.weights_sha256, "profile": maker.profile}
        stated = {}
        for name, value in parameters.items():
            if value:
                stated[name] = value
        algorithm = AlgorithmIdentificationSequence(
            name=short_text(maker.algorithm),
            family=code_concept(ARTIFICIAL_INTELLIGENCE),
            version=__version__,
            source=MANUFACTURER,
            parameters=stated or None,
        )
    made = SegmentDescription(
        segment_number=segment_numbers(result)[label.value],
        segment_label=short_text(label.name),
        segmented_property_category=code_concept(category),
        segmented_property_type=code_concept(kind),
        algorithm_type=maker.kind,
        algorithm_identification=algorithm,
        tracking_uid=result.tracking_uid(label),
        tracking_id=short_text(TRACKING.format(value=label.value, name=label.name)),
        anatomic_regions=None if region is None else [code_concept(region)],
        display_color=CIELabColor.from_rgb(*label.rgb),
    )
    if side is not None:
        # highdicom has no word for the side, which belongs to the type.
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code_concept(side)]
    return made


def property_codes(label: Label) -> tuple[Code, Code, Code | None, Code | None]:
    """Return category, type, side and region of a structure; where no code is certain, one of our own."""
    structure = label.structure
    own = Code(private_value(label), short_text(label.name), PRIVATE_SCHEME)
    if structure is None:
        return NO_CATEGORY, own, None, None
    return structure.category or NO_CATEGORY, structure.snomed or own, structure.side, structure.region


def code_concept(code: Code) -> CodedConcept:
    """Return a code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, short_text(code.meaning))


def set_equipment(made: Dataset, result: Result) -> None:
    """Name highdicom as what wrote the file, at the date of the study."""
    kept: list[Dataset] = []
    for item in made.get("ContributingEquipmentSequence") or []:
        if "highdicom" in str(item.get("ManufacturerModelName") or item.get("Manufacturer") or "").lower():
            item.ContributionDateTime = "".join(result.when)
            kept.append(item)
    made.ContributingEquipmentSequence = kept


def set_dimensions(made: Dataset, result: Result) -> None:
    """Set the identifier of the dimensions, which highdicom draws by chance."""
    uid = result.uid("dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def set_references(made: Dataset, result: Result) -> None:
    """Let every frame, and the object, refer to the slices of the scan by their real identifiers."""
    header = result.header
    real = {result.uid(f"slice {number}"): frame for number, frame in enumerate(header.frames)}
    for item in made.PerFrameFunctionalGroupsSequence:
        for source in item.DerivationImageSequence[0].SourceImageSequence:
            frame = real.get(source.ReferencedSOPInstanceUID)
            # Segments on one slice share the item, which is done then.
            if frame is None:
                continue
            source.ReferencedSOPClassUID = header.sop_class_uid
            source.ReferencedSOPInstanceUID = frame.instance_uid
            if frame.number:
                source.ReferencedFrameNumber = frame.number
    for series in made.ReferencedSeriesSequence:
        unique: dict[str, Dataset] = {}
        for item in series.ReferencedInstanceSequence:
            item.ReferencedSOPClassUID = header.sop_class_uid
            item.ReferencedSOPInstanceUID = real[item.ReferencedSOPInstanceUID].instance_uid
            unique.setdefault(item.ReferencedSOPInstanceUID, item)
        series.ReferencedInstanceSequence = list(unique.values())
