"""What the reading campaigns share: small valid scans in every format, written by other libraries, with their truth."""

from __future__ import annotations

import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gdcm
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

Array = NDArray[Any]
Files = dict[str, bytes]

SHAPE = (7, 9, 6)
BRIGHT = (1, 2, 4)
SPACING = (0.75, 1.0, 2.5)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIGIN_LPS = np.array([40.0, -25.0, 100.0])
NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Sample:
    """A valid scan.

    Attributes:
        name: What it is.
        family: `nifti`, `nrrd`, `metaimage` or `dicom`.
        files: Content by file name; more than one stands for a folder or for a header with its data.
        main: The name to read; empty for the folder.
        array: The true intensities (i j k).
        affine: The true affine, RAS mm.
        pack: Makes the file from its plain content where that is compressed as a whole, with a checksum.
    """

    name: str
    family: str
    files: Files
    main: str
    array: Array
    affine: Array
    pack: Callable[[bytes], bytes] | None = None

    def save(self, folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
        """Write the files to a folder, which is emptied first, and return the path to read."""
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, content in (self.files if files is None else files).items():
            (folder / name).write_bytes(content)
        return folder / self.main if self.main else folder


def letter(shape: tuple[int, int, int] = SHAPE) -> Array:
    """Return a letter F with one brightest voxel: no mirror, shift or transposition maps it to itself."""
    scan = np.full(shape, -1000, np.int16)
    scan[1:3, 1:8, 2:4] = 40
    scan[1:6, 6:8, 2:4] = 80
    scan[1:4, 3:5, 2:5] = 120
    scan[BRIGHT] = 1234
    return scan + np.arange(scan.size, dtype=np.int16).reshape(shape) % 7


def affine_ras() -> Array:
    """Return the affine that all samples have."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN_LPS
    return np.asarray(LPS @ affine)


@cache
def samples() -> tuple[Sample, ...]:
    """Return all valid samples."""
    return (*nifti_samples(), *nrrd_samples(), *metaimage_samples(), *dicom_samples())


def nifti_samples() -> list[Sample]:
    """Return NIfTI files as nibabel writes them."""
    array, affine = letter(), affine_ras()

    def made(kind: type, endianness: str = "<", **fields: Any) -> bytes:
        image = kind(array, affine)
        image.set_sform(affine, fields.pop("sform", 1))
        image.set_qform(affine, fields.pop("qform", 1))
        image.header.set_xyzt_units("mm")
        raw = bytearray(kind(array, affine, image.header.as_byteswapped(endianness)).to_bytes())
        header = np.frombuffer(raw, kind.header_class.template_dtype.newbyteorder(endianness), count=1)
        for name, value in fields.items():
            header[name][0] = value
        return bytes(raw)

    plain = {
        "NIfTI-1": made(nib.Nifti1Image),
        "NIfTI-1 big endian": made(nib.Nifti1Image, ">"),
        "NIfTI-2": made(nib.Nifti2Image),
        "NIfTI-1 sform only": made(nib.Nifti1Image, qform=0),
        "NIfTI-1 qform only": made(nib.Nifti1Image, sform=0),
        "NIfTI-1 scaled": made(nib.Nifti1Image, scl_slope=0.5, scl_inter=3.0),
    }
    found = []
    for name, raw in plain.items():
        truth = array * 0.5 + 3.0 if "scaled" in name else array
        found.append(Sample(name, "nifti", {"a.nii": raw}, "a.nii", truth, affine))
        found.append(Sample(f"{name} gz", "nifti", {"a.nii.gz": gz(raw)}, "a.nii.gz", truth, affine, gz))
    return found


def gz(raw: bytes) -> bytes:
    """Return a gzip stream."""
    return gzip.compress(raw, 6, mtime=0)


def nrrd_samples() -> list[Sample]:
    """Return NRRD files as pynrrd and ITK write them."""
    array, affine = letter(), affine_ras()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for encoding in ("raw", "gzip", "bzip2"):
            header = {"space": "left-posterior-superior", "space directions": np.diag(SPACING),
                      "space origin": ORIGIN_LPS, "kinds": ["domain"] * 3, "encoding": encoding}  # fmt: skip
            nrrd.write(str(folder / "a.nrrd"), array, header)
            raw = (folder / "a.nrrd").read_bytes()
            found.append(Sample(f"NRRD {encoding}", "nrrd", {"a.nrrd": raw}, "a.nrrd", array, affine))
        SimpleITK.WriteImage(itk_image(array), str(folder / "b.nhdr"))
        files = {path.name: path.read_bytes() for path in folder.glob("b.*")}
        found.append(Sample("NRRD detached", "nrrd", files, "b.nhdr", array, affine))
    return found


def metaimage_samples() -> list[Sample]:
    """Return MetaImage files as ITK writes them."""
    array, affine = letter(), affine_ras()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, compressed in (("a.mha", False), ("b.mha", True), ("c.mhd", False)):
            SimpleITK.WriteImage(itk_image(array), str(folder / file), compressed)
            files = {path.name: path.read_bytes() for path in folder.glob(f"{file[0]}.*")}
            kind = f"MetaImage{' compressed' * compressed}{' detached' * (len(files) > 1)}"
            found.append(Sample(kind, "metaimage", files, file, array, affine))
    return found


def itk_image(array: Array) -> Any:
    """Return the scan as an ITK image."""
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN_LPS.tolist())
    return image


def dicom_samples() -> list[Sample]:
    """Return DICOM series: plain, compressed, enhanced, and as a zip."""
    array, affine = letter(), affine_ras()
    count = array.shape[2]
    plain = {f"IM{(k * 5) % count}": as_bytes(dicom_slice(array, k)) for k in range(count)}
    found = [Sample("DICOM series", "dicom", plain, "", array, affine)]
    for kind in ("RLELossless", "JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"):
        files = {name: transcoded(raw, getattr(gdcm.TransferSyntax, kind)) for name, raw in plain.items()}
        found.append(Sample(f"DICOM {kind}", "dicom", files, "", array, affine))
    found.append(Sample("DICOM enhanced", "dicom", {"e.dcm": as_bytes(enhanced(array))}, "e.dcm", array, affine))
    found.append(Sample("DICOM zip", "dicom", {"s.zip": zipped(plain)}, "s.zip", array, affine))
    return found


def dicom_slice(array: Array, k: int, **tags: Any) -> Dataset:
    """Return slice `k` of the scan; `tags` override or, where None, remove."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    uid = generate_uid(entropy_srcs=["prosect campaign", str(k)])
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
    data.PatientName, data.PatientID, data.Modality = "Secret^Person", "SECRET-7", "CT"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    data.InstanceNumber = (k * 3) % array.shape[2]
    data.Rows, data.Columns = array.shape[1], array.shape[0]
    data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    data.ImageOrientationPatient = list(NO_TURN)
    data.ImagePositionPatient = (ORIGIN_LPS + np.array([0, 0, SPACING[2] * k])).tolist()
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, -24
    data.PixelData = (array[..., k].T + 24).astype("<i2").tobytes()
    for tag, value in tags.items():
        if value is None:
            delattr(data, tag)
        else:
            setattr(data, tag, value)
    return data


def enhanced(array: Array) -> Dataset:
    """Return the scan as one enhanced CT image, its frames shuffled."""
    data = dicom_slice(array, 0, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
                       RescaleSlope=None, RescaleIntercept=None, SOPClassUID=EnhancedCTImageStorage)  # fmt: skip
    data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    orientation.ImageOrientationPatient = list(NO_TURN)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], []
    order = [(k * 5) % array.shape[2] for k in range(array.shape[2])]
    for k in order:
        place, scale, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = (ORIGIN_LPS + np.array([0, 0, SPACING[2] * k])).tolist()
        scale.RescaleSlope, scale.RescaleIntercept = 1, -24 - k
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        data.PerFrameFunctionalGroupsSequence.append(frame)
    data.NumberOfFrames = len(order)
    data.PixelData = b"".join((array[..., k].T + 24 + k).astype("<i2").tobytes() for k in order)
    return data


def as_bytes(data: Dataset) -> bytes:
    """Return the content of the DICOM file of a data set."""
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def transcoded(raw: bytes, syntax: int) -> bytes:
    """Return a DICOM file with its pixels compressed by GDCM."""
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name) / "a.dcm")
        Path(path).write_bytes(raw)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(path)
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        assert reader.Read()
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(path)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return Path(path).read_bytes()


def zipped(files: Files) -> bytes:
    """Return an archive of files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"study/{name}"), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def witness(path: Path, family: str) -> tuple[Array, Array] | None:
    """Return intensities and affine as other libraries read them, without any of our checks; None where they fail.

    A damaged file can be a valid file that says something else. Then the witness reads the same as we do.
    """
    with np.errstate(all="ignore"):
        try:
            return WITNESSES[family](path)
        except Exception:  # a witness that fails in any way has nothing to say
            return None


def nifti_witness(path: Path) -> tuple[Array, Array]:
    """Return what nibabel reads."""
    raw = path.read_bytes()
    whole = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    size = int.from_bytes(whole[:4], "little")
    kind = nib.Nifti2Image if size in (540, 0x1C020000) else nib.Nifti1Image
    image = kind.from_bytes(whole)
    scale = {1: 1000.0, 3: 0.001}.get(int(image.header["xyzt_units"]) & 7, 1.0)
    affine = image.header.get_best_affine() * [[scale], [scale], [scale], [1.0]]
    return image.get_fdata().reshape((*image.shape, 1)[:4])[..., 0], affine


def nrrd_witness(path: Path) -> tuple[Array, Array]:
    """Return what pynrrd reads; where it does not take the spelling of a field, what ITK reads."""
    try:
        array, header = nrrd.read(str(path))
        header["space origin"]
    except (nrrd.NRRDError, KeyError):
        return itk_witness(path, "NrrdImageIO")
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    signs = {"r": 1, "l": -1, "a": 1, "p": -1, "s": 1, "i": -1}
    words = header["space"].split("-") if "-" in header["space"] else list(header["space"])
    return array, np.diag([*(float(signs[word[0].lower()]) for word in words), 1.0]) @ affine


def metaimage_witness(path: Path) -> tuple[Array, Array]:
    """Return what ITK reads; where it does not take the lines, what they say word by word.

    Without the size of compressed data ITK makes the voxels up.
    """
    if b"CompressedDataSize =" not in path.read_bytes()[:4096] and b"CompressedData = True" in path.read_bytes()[:4096]:
        return literal_metaimage(path)
    try:
        return itk_witness(path, "MetaImageIO")
    except RuntimeError:
        return literal_metaimage(path)


def literal_metaimage(path: Path) -> tuple[Array, Array]:
    """Return what the lines of a MetaImage header say, believing each."""
    raw = path.read_bytes()
    end = raw.index(b"\n", raw.index(b"\nElementDataFile") + 1) + 1
    lines = raw[:end].decode("latin-1").split("\n")
    fields = dict(reversed([[part.strip() for part in line.split("=", 1)] for line in lines if "=" in line]))
    local = fields["ElementDataFile"] == "LOCAL"
    data = raw[end:] if local else (path.parent / fields["ElementDataFile"]).read_bytes()
    data = zlib.decompress(data) if fields.get("CompressedData", "False")[0] in "Tt" else data
    order = ">" if fields.get("BinaryDataByteOrderMSB", "False")[0] in "Tt" else "<"
    code = {"MET_SHORT": "i2", "MET_USHORT": "u2"}[fields["ElementType"]]
    shape = [int(n) for n in fields["DimSize"].split()]
    affine = np.eye(4)
    affine[:3, :3] = np.array(fields["TransformMatrix"].split(), float).reshape(3, 3).T
    affine[:3, :3] *= np.array(fields["ElementSpacing"].split(), float)
    affine[:3, 3] = np.array(fields["Offset"].split(), float)
    return np.frombuffer(data, order + code).reshape(shape, order="F"), LPS @ affine


def itk_witness(path: Path, reader: str) -> tuple[Array, Array]:
    """Return what ITK reads."""
    image = SimpleITK.ReadImage(str(path), imageIO=reader)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, LPS @ affine


def dicom_witness(path: Path) -> tuple[Array, Array]:
    """Return what pydicom reads from each file, stacked by Image Position."""
    found = [
        data for raw in dicom_contents(path) if "PixelData" in (data := pydicom.dcmread(io.BytesIO(raw), force=True))
    ]
    planes = [plane for data in found for plane in witnessed_planes(data)]
    first = planes[0]
    across, down = np.array(first["ImageOrientationPatient"], float).reshape(2, 3)
    normal = np.cross(across, down)
    planes.sort(key=lambda plane: float(np.array(plane["ImagePositionPatient"], float) @ normal))
    places = np.array([plane["ImagePositionPatient"] for plane in planes], float)
    spacing = np.array(first["PixelSpacing"], float)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([across * spacing[1], down * spacing[0], (places[-1] - places[0]) / (len(planes) - 1)], 1)
    affine[:3, 3] = places[0]
    values = [plane["values"] * float(plane.get("RescaleSlope", 1)) + float(plane.get("RescaleIntercept", 0))
              for plane in planes]  # fmt: skip
    return np.stack([value.T for value in values], axis=2), LPS @ affine


def dicom_contents(path: Path) -> list[bytes]:
    """Return the files of a folder or archive, or the one file."""
    if path.is_dir():
        return [file.read_bytes() for file in sorted(path.iterdir())]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in archive.namelist()]
    return [path.read_bytes()]


def witnessed_planes(data: Dataset) -> list[dict[str, Any]]:
    """Return per frame the values and what places and scales them."""
    wanted = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
    values = data.pixel_array
    shared = data.get("SharedFunctionalGroupsSequence") or [Dataset()]
    own = data.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
    found = []
    for number, frame in enumerate(own):
        plane = {tag: data[tag].value for tag in wanted if tag in data}
        for groups in (shared[0], frame):
            plane |= {inner.keyword: inner.value for item in groups for inner in item.value[0]}
        found.append({**plane, "values": values[number] if values.ndim == 3 else values})
    return found


WITNESSES: dict[str, Callable[[Path], tuple[Array, Array]]] = {
    "nifti": nifti_witness, "nrrd": nrrd_witness, "metaimage": metaimage_witness, "dicom": dicom_witness,
}  # fmt: skip
