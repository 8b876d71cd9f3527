"""A Siemens mosaic is the volume that its tiles are, where its private elements say so, and never one picture."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.testing import data_path  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from prosect.errors import ProsectWarning
from prosect.io import read
from prosect.io.dicom.csa import csa_values
from worlds.dicom import LPS, dicom_slice, save_slice
from worlds.files import letter_f
from worlds.refusals import refused_file

SCAN = letter_f()[..., :7]
# Image Orientation, and to which side of its axis the stack grows.
STACKS = {
    "axial": ((1, 0, 0, 0, 1, 0), 1),
    "coronal": ((1, 0, 0, 0, 0, -1), 1),
    "sagittal to the left": ((0, 1, 0, 0, 0, -1), -1),
    "sagittal to the right": ((0, 1, 0, 0, 0, -1), 1),
    "axial to the feet": ((1, 0, 0, 0, 1, 0), -1),
    "oblique": ((1, 0, 0, 0, 0.8, 0.6), -1),
}


def csa(second: bool = True, **values: Any) -> bytes:
    """Return a private header with these tags, of type 2 or 1."""
    out = (b"SV10\x04\x03\x02\x01" if second else b"") + struct.pack("<II", len(values), 77)
    # The lengths of type 1 count from the number of items of the first tag.
    offset = 0 if second else 6
    for name, items in values.items():
        out += struct.pack("<64si4siii", name.encode(), len(items), b"FD", 4, 6, 77)
        for n in range(6):
            raw = f"{items[n]:.8f}".encode() + b"\0" if n < len(items) else b""
            lengths = (0, len(raw), 77, 0) if second else (len(raw) + offset, 0, 77, 0)
            out += struct.pack("<4i", *lengths) + raw + b"\0" * (-len(raw) % 4)
    return out


def mosaic(scan: NDArray[np.int16], iop: Any = STACKS["axial"][0], header: bytes | None = None, **tags: Any) -> Any:
    """Return a scan (i j k) as the tiles of one image."""
    columns, rows, count = scan.shape
    across = int(np.ceil(np.sqrt(count)))
    sheet = np.zeros((across * rows, across * columns), np.int16)
    for k in range(count):
        top, left = k // across * rows, k % across * columns
        sheet[top : top + rows, left : left + columns] = scan[..., k].T
    words = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    extra = {"ImageType": words, "Modality": "MR", "SpacingBetweenSlices": 3.0, "ImageOrientationPatient": list(iop)}
    data = dicom_slice(sheet, (-40, 25, 100), **(extra | tags))
    data.Manufacturer, data.SOPClassUID = "SIEMENS", "1.2.840.10008.5.1.4.1.1.4"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    if header is not None:
        data.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    return data


def full_header(scan: NDArray[np.int16], iop: Any, side: int, second: bool = True) -> bytes:
    """Return the private header that the scanner writes: the number of tiles, and the way the stack grows."""
    normal = np.cross(iop[:3], iop[3:]) * side
    return csa(second, NumberOfImagesInMosaic=[scan.shape[2]], SliceNormalVector=list(normal))


def true_affine(scan: NDArray[np.int16], iop: Any, side: int) -> NDArray[np.float64]:
    """Return where the tiles lie, RAS mm: the image and a tile have one centre, pixels are 0.7 x 0.9 mm."""
    row, column = np.array(iop[:3], float), np.array(iop[3:], float)
    across = int(np.ceil(np.sqrt(scan.shape[2])))
    rest = [(across * size - size) / 2 for size in scan.shape[:2]]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * 0.7, column * 0.9
    affine[:3, 2] = np.cross(row, column) * side * 3
    affine[:3, 3] = np.array([-40, 25, 100]) + affine[:3, 0] * rest[0] + affine[:3, 1] * rest[1]
    return np.asarray(LPS @ affine)


@pytest.mark.parametrize("second", [True, False], ids=["type 2", "type 1"])
@pytest.mark.parametrize("name", STACKS)
def test_tiles_become_slices_where_they_were_taken(tmp_path: Path, name: str, second: bool) -> None:
    iop, side = STACKS[name]
    save_slice(tmp_path, "m.dcm", mosaic(SCAN, iop, full_header(SCAN, iop, side, second)))
    volume = read(tmp_path / "m.dcm")
    assert volume.grid.shape == SCAN.shape
    # Slices are kept in the order of their normal, so a stack that grows the other way is turned round.
    truth = true_affine(SCAN, iop, side)
    expected = SCAN[..., ::side]
    assert np.array_equal(volume.array, expected)
    first = truth @ [0, 0, 0 if side == 1 else SCAN.shape[2] - 1, 1]
    assert np.abs(volume.grid.affine[:, 3] - first).max() < 1e-5
    assert np.abs(volume.grid.affine[:3, :3] - truth[:3, :3] * [1, 1, side]).max() < 1e-6
    assert volume.source.notes == ()


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="needs dcm2niix")
@pytest.mark.parametrize("name", STACKS)
def test_dcm2niix_unpacks_the_same_volume(tmp_path: Path, name: str) -> None:
    iop, side = STACKS[name]
    save_slice(tmp_path / "in", "m.dcm", mosaic(SCAN, iop, full_header(SCAN, iop, side)))
    (tmp_path / "out").mkdir()
    subprocess.run(["dcm2niix", "-o", tmp_path / "out", tmp_path / "in"], check=True, capture_output=True, timeout=60)
    theirs = nib.as_closest_canonical(nib.load(next((tmp_path / "out").glob("*.nii"))))
    volume = read(tmp_path / "in")
    ours = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.grid.affine))
    assert np.abs(theirs.affine - ours.affine).max() < 1e-3
    assert np.array_equal(theirs.get_fdata(), ours.get_fdata())


def test_a_real_mosaic_is_what_nibabel_makes_of_it(tmp_path: Path) -> None:
    packed = Path(data_path).parents[1] / "nicom" / "tests" / "data" / "siemens_dwi_0.dcm.gz"
    if not packed.is_file():
        pytest.skip("this nibabel came without its test data")
    (tmp_path / "m.dcm").write_bytes(gzip.decompress(packed.read_bytes()))
    volume = read(tmp_path / "m.dcm")
    assert volume.grid.shape == (128, 128, 48)
    # The corner by nibabel 5.4, LPS mm.
    assert np.abs(volume.grid.affine[:3, 3] - np.array([115.0, 135.028779, -78.710481])).max() < 1e-4
    sheet = pydicom.dcmread(tmp_path / "m.dcm").pixel_array
    for k, (top, left) in {0: (0, 0), 8: (128, 128), 47: (768, 640)}.items():
        assert np.array_equal(volume.array[..., k], sheet[top : top + 128, left : left + 128].T)


def test_several_mosaics_of_a_series_are_its_volumes(tmp_path: Path) -> None:
    header = full_header(SCAN, STACKS["axial"][0], 1)
    for n in range(3):
        save_slice(tmp_path / "s", f"{n}", mosaic(SCAN + np.int16(100 * n), header=header, AcquisitionNumber=n + 1))
    assert "3 volumes of series" in refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES")
    for n in range(3):
        assert np.array_equal(read(tmp_path / "s", volume=n).array, SCAN + 100 * n)
    assert np.array_equal(read(tmp_path / "s" / "1").array, SCAN + 100)


def with_count_alone(iop: Any) -> Any:
    """Return a mosaic that says only how many tiles it has, in the other private group."""
    data = mosaic(SCAN, iop)
    data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", SCAN.shape[2])
    return data


@pytest.mark.parametrize("name", ["axial", "coronal"])
def test_the_order_of_slices_is_taken_with_a_warning_where_only_their_number_is_said(tmp_path: Path, name: str) -> None:
    iop, _ = STACKS[name]
    save_slice(tmp_path, "m.dcm", with_count_alone(iop))
    with pytest.warns(ProsectWarning, match="does not say in which order"):
        volume = read(tmp_path)
    assert np.array_equal(volume.array, SCAN)
    assert np.abs(volume.grid.affine - true_affine(SCAN, iop, 1)).max() < 1e-5


WORDS = ["DERIVED", "PRIMARY", "M"]
MATRIX = [0, SCAN.shape[1], SCAN.shape[0], 0]


def test_a_mosaic_whose_image_type_was_rewritten_is_known_by_its_tiles(tmp_path: Path) -> None:
    iop, side = STACKS["coronal"]
    header = full_header(SCAN, iop, side)
    data = mosaic(SCAN, iop, header, ImageType=WORDS, AcquisitionMatrix=MATRIX)
    assert np.array_equal(read(save_slice(tmp_path, "m.dcm", data)).array, SCAN)
    unconfirmed = mosaic(SCAN, iop, header, ImageType=WORDS)
    message = refused_file(save_slice(tmp_path / "u", "m.dcm", unconfirmed), "DICOM_MOSAIC")
    assert "7 tiles are named" in message


def test_a_mosaic_without_any_word_is_known_by_its_size(tmp_path: Path) -> None:
    data = mosaic(SCAN, ImageType=WORDS, AcquisitionMatrix=MATRIX)
    assert "it seems so" in refused_file(save_slice(tmp_path / "s", "m.dcm", data), "DICOM_MOSAIC")
    # Other makers interpolate four times, and theirs are no mosaics.
    data.Manufacturer = "GE MEDICAL SYSTEMS"
    with pytest.warns(ProsectWarning, match="a single slice"):
        assert read(save_slice(tmp_path / "g", "m.dcm", data)).grid.shape == (3 * SCAN.shape[0], 3 * SCAN.shape[1], 1)


@pytest.mark.parametrize("times", [1, 2])
def test_slices_that_were_unpacked_from_a_mosaic_are_slices(tmp_path: Path, times: int) -> None:
    header = full_header(SCAN, STACKS["axial"][0], 1)
    matrix = [0, SCAN.shape[1] // times, SCAN.shape[0] // times, 0]
    for k in range(SCAN.shape[2]):
        data = mosaic(SCAN[..., k : k + 1], header=header, ImageType=WORDS, AcquisitionMatrix=matrix)
        data.ImagePositionPatient = [-40, 25, 100 + 3 * k]
        save_slice(tmp_path / "s", f"{k}", data)
    assert np.array_equal(read(tmp_path / "s").array, SCAN)


def test_a_mosaic_that_does_not_say_its_geometry_is_refused(tmp_path: Path) -> None:
    iop, side = STACKS["sagittal to the left"]
    header = full_header(SCAN, iop, side)
    cases = {
        "give nothing as the number of tiles": mosaic(SCAN, iop),
        "to which side": with_count_alone(iop),
        "give nothing": mosaic(SCAN, iop, header[: len(header) // 2]),
        "is not that of its Image Orientation": mosaic(SCAN, STACKS["axial"][0], header),
        "do not fit": mosaic(SCAN, iop, csa(NumberOfImagesInMosaic=[70], SliceNormalVector=[1, 0, 0])),
        "how far apart": mosaic(SCAN, iop, header, SpacingBetweenSlices=0, SliceThickness=None),
    }
    for n, (words, data) in enumerate(cases.items()):
        assert words in refused_file(save_slice(tmp_path / f"{n}", "m.dcm", data), "DICOM_MOSAIC")
    contrary = with_count_alone(iop)
    contrary.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    contrary[0x0019, 0x100A].value = 9
    assert "give 7 and 9" in refused_file(save_slice(tmp_path / "c", "m.dcm", contrary), "DICOM_MOSAIC")


def test_a_private_header_is_read_or_refused_but_never_an_accident() -> None:
    header = csa(NumberOfImagesInMosaic=[60], SliceNormalVector=[0, 0, 1])
    assert csa_values(header) == {
        "NumberOfImagesInMosaic": ["60.00000000"],
        "SliceNormalVector": ["0.00000000", "0.00000000", "1.00000000"],
    }
    for end in range(0, len(header) - 8, 7):
        with pytest.raises(ValueError, match="private header"):
            csa_values(header[:end])
