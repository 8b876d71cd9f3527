"""DICOM files, each of a plain CT slice, with whatever tags a test wants otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

__all__ = ["LPS", "dicom_slice", "save_series", "save_slice"]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
