"""DICOM files, each of a plain CT slice, with whatever tags a test wants otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

__all__ = ["LPS", "dicom_slice", "enhanced", "save_series", "save_slice"]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIGIN = np.array([-40.0, 25.0, 100.0])


def dicom_slice(pixels: NDArray[np.int16], position: Any, **tags: Any) -> pydicom.Dataset:
    """Return a CT slice whose first pixel lies at `position` (LPS mm); `tags` override or, if None, remove."""
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID = "Secret^Person", "SECRET-7"
    data.Modality, data.ImageType, data.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "chest 2.5"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing, data.SliceThickness = [0.9, 0.7], 2.5
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [float(np.format_float_positional(x, 8)) for x in position]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = pixels.astype("<i2").tobytes()
    for tag, value in tags.items():
        if value is None:
            delattr(data, tag)
        else:
            setattr(data, tag, value)
    return data


def save_slice(folder: Path, name: str, data: pydicom.Dataset) -> Path:
    """Write a slice as a DICOM file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def save_series(
    folder: Path, scan: NDArray[np.int16], iop: Any = (1, 0, 0, 0, 1, 0), step: Any = None, **tags: Any
) -> NDArray[np.float64]:
    """Write a scan (i j k) as a series with shuffled names and instance numbers; return the true RAS affine."""
    row, column = np.array(iop[:3], float), np.array(iop[3:], float)
    step = np.cross(row, column) * 2.5 if step is None else np.asarray(step, float)
    origin = np.array([-40.0, 25.0, 100.0])
    affine = np.eye(4)
    affine[:3, :] = np.stack([row * 0.7, column * 0.9, step, origin], axis=1)
    for k in range(scan.shape[2]):
        data = dicom_slice(scan[..., k].T, origin + k * step, ImageOrientationPatient=list(iop), **tags)
        data.InstanceNumber = (k * 3) % scan.shape[2]
        save_slice(folder, f"IM{(k * 7) % scan.shape[2]:03d}", data)
    return LPS @ affine


def enhanced(scan: Any, order: Sequence[int], step: float = 2.5, parts: Sequence[dict[str, Any]] = ({},)) -> Dataset:
    """Return an enhanced CT whose frames lie in `order`, the whole stack once for each of `parts`."""
    data = dicom_slice(scan[..., 0].T, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None,
                       PixelSpacing=None, RescaleSlope=None, RescaleIntercept=None,
                       SOPClassUID=EnhancedCTImageStorage)  # fmt: skip
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.7], 2.5
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence, planes = [], []
    for part in parts:
        for k in order:
            place, scale, content, frame = Dataset(), Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = (ORIGIN + np.array([0, 0, k * step])).tolist()
            scale.RescaleSlope, scale.RescaleIntercept = 1, -1000 - k
            for tag, value in part.items():
                setattr(content, tag, value)
            frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
            frame.FrameContentSequence = [content]
            data.PerFrameFunctionalGroupsSequence.append(frame)
            planes.append(scan[..., k].T + 1000 + k)
    data.NumberOfFrames = len(planes)
    data.PixelData = np.stack(planes).astype("<i2").tobytes()
    return data
