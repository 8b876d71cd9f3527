"""Asymmetric phantoms and damaged files for the tests of prosect.io."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from prosect.errors import ProsectError
from prosect.geometry import AxisOrder, Grid
from prosect.io import read
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import Structure, Vocabulary

SHAPE = (7, 9, 11)
BRIGHT = (1, 2, 8)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORDERS = [AxisOrder(axes, flips) for axes in itertools.permutations(range(3))
          for flips in itertools.product((False, True), repeat=3)]  # fmt: skip


def letter_f(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.int16]:
    """Return a solid letter F with one brightest voxel: no mirror, shift or transposition maps it to itself."""
    scan = np.full(shape, -1000, np.int16)
    scan[1:3, 1:8, 2:4] = 40
    scan[1:6, 6:8, 2:4] = 80
    scan[1:4, 3:5, 2:6] = 120
    scan[BRIGHT] = 1234
    return scan


def oblique(spacing: tuple[float, float, float] = (0.7, 0.9, 2.5), degrees: float = 20.0) -> NDArray[np.float64]:
    """Return an affine turned about two axes, with an off-centre origin."""
    a, b = np.radians([degrees, degrees / 2])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 12.25, 207.0)
    return affine


def outcome(path: Path, reader: Callable[[Path], Any] = read) -> Any:
    """Return what was read, or the refusal, which must be one line with a code; any other exception passes."""
    try:
        return reader(path)
    except ProsectError as error:
        if "\n" in str(error) or not error.code:
            raise
        return error


def bright_world(array: NDArray[Any], affine: NDArray[Any]) -> NDArray[np.float64]:
    """Return the world position of the brightest voxel."""
    index = np.unravel_index(int(np.argmax(array)), array.shape)
    return np.asarray(affine @ np.array([*index, 1.0]))[:3]


def save_nifti(path: Path, array: NDArray[Any], affine: NDArray[Any] | None = None, **fields: Any) -> Path:
    """Write with nibabel, then overwrite header fields; returns the path."""
    image = nib.Nifti1Image(array, oblique() if affine is None else affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    raw = bytearray(image.to_bytes())
    set_fields(raw, **fields)
    path.write_bytes(raw if not path.name.endswith(".gz") else gzipped(bytes(raw)))
    return path


def set_fields(raw: bytearray, **fields: Any) -> None:
    """Overwrite fields of a little-endian NIfTI-1 header in place."""
    header = np.frombuffer(raw, nib.Nifti1Header.template_dtype, count=1)
    for name, value in fields.items():
        header[name][0] = value


def gzipped(raw: bytes) -> bytes:
    """Return a gzip stream."""
    import gzip

    return gzip.compress(raw, 6, mtime=0)


VOCABULARY = Vocabulary("phantom", (
    Structure(1, "liver", color=(221, 130, 101)),
    Structure(3, "spleen", color=(157, 108, 162)),
    Structure(5, "kidney <left> & ]]> more", color=(0, 255, 1)),
    Structure(300, "high value", color=(1, 2, 3)),
))  # fmt: skip


def label_map(grid: Grid, high: bool = False) -> LabelMap:
    """Return a label map with the values 0, 1 and 5, and with `high` 300."""
    array = np.zeros(grid.shape, np.uint16 if high else np.uint8)
    array[1:3, 1:8, 2:4] = 1
    array[1:6, 6:8, 2:4] = 5
    array[0, 0, 0] = 300 * high
    return LabelMap(array, grid, VOCABULARY)


def label_layers(grid: Grid, count: int = 2) -> LabelLayers:
    """Return overlapping masks of the labels 300 and 3, or the first alone."""
    masks = np.zeros((2, *grid.shape), bool)
    masks[0, 1:5, 1:8, 2:4] = True
    masks[1, 3:6, 6:8, 2:7] = True
    return LabelLayers(masks[:count], (300, 3)[:count], grid, VOCABULARY)


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
