"""What other readers of NRRD, MetaImage and NIfTI accept and truth allows is read, with the right voxels."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect.errors import FormatError, OutputError

ARRAY = np.arange(6 * 5 * 4, dtype=np.int16).reshape((6, 5, 4), order="F")
VOXELS = ARRAY.tobytes(order="F")
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 6 5 4\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    "endian: little\nspace origin: (0,0,0)\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\n"
    "DimSize = 6 5 4\nElementType = MET_SHORT\n"
)
FOUR = (
    "ObjectType = Image\nNDims = 4\nTransformMatrix = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\nOffset = 1 2 3 0\n"
    "ElementSpacing = 1 1 2 9\nElementType = MET_SHORT\n"
)


def equal(path: Path) -> tuple[str, ...]:
    volume = prosect.read(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    return volume.source.notes


@pytest.mark.parametrize("place", ["x.raw", "./x.raw", "././x.raw", ".//x.raw"])
def test_a_data_file_may_be_named_from_the_folder_of_its_header(tmp_path: Path, place: str) -> None:
    (tmp_path / "x.raw").write_bytes(VOXELS)
    (tmp_path / "a.nhdr").write_text(f"{NRRD}encoding: raw\ndata file: {place}\n")
    (tmp_path / "b.mhd").write_text(f"{META}ElementDataFile = {place}\n")
    equal(tmp_path / "a.nhdr")
    equal(tmp_path / "b.mhd")


@pytest.mark.parametrize("place", ["../x.raw", "./../x.raw", "/x.raw", ".//../x.raw", "./", "./."])
def test_a_data_file_elsewhere_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "in" / "sub"):
        (folder / "x.raw").write_bytes(VOXELS)
    (tmp_path / "in" / "a.nhdr").write_text(f"{NRRD}encoding: raw\ndata file: {place}\n")
    with pytest.raises(FormatError):
        prosect.read(tmp_path / "in" / "a.nhdr")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(
    ("field", "before"), [("byte skip: 7", b"1234567"), ("byteskip: 7", b"1234567"), ("byte skip: -1", b"any header")]
)
def test_bytes_before_the_voxels_are_skipped(tmp_path: Path, encoding: str, field: str, before: bytes) -> None:
    stored = before + VOXELS
    data = gzip.compress(stored) if encoding == "gzip" else stored
    (tmp_path / "y.raw").write_bytes(data)
    (tmp_path / "a.nhdr").write_text(f"{NRRD}encoding: {encoding}\n{field}\ndata file: y.raw\n")
    equal(tmp_path / "a.nhdr")
    (tmp_path / "b.nrrd").write_bytes(f"{NRRD}encoding: {encoding}\n{field}\n\n".encode() + data)
    equal(tmp_path / "b.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_lines_before_the_voxels_are_skipped_before_decompression(tmp_path: Path, encoding: str) -> None:
    voxels = gzip.compress(b"ab" + VOXELS) if encoding == "gzip" else b"ab" + VOXELS
    (tmp_path / "y.raw").write_bytes(b"a line\nand another\n" + voxels)
    (tmp_path / "a.nhdr").write_text(f"{NRRD}encoding: {encoding}\nline skip: 2\nbyte skip: 2\ndata file: y.raw\n")
    equal(tmp_path / "a.nhdr")


@pytest.mark.parametrize("field", ["byte skip: 8", "byte skip: 6", "byte skip: -2", "byte skip: x", "line skip: 99999",
                                   "line skip: -1", "byte skip: 99999999999"])  # fmt: skip
def test_skips_that_the_data_contradict_are_refused(tmp_path: Path, field: str) -> None:
    (tmp_path / "a.nrrd").write_bytes(f"{NRRD}encoding: raw\n{field}\n\n1234567".encode() + VOXELS)
    with pytest.raises(FormatError):
        prosect.read(tmp_path / "a.nrrd")


@pytest.mark.parametrize("size", [-1, 4])
def test_header_size_of_metaimage_is_skipped(tmp_path: Path, size: int) -> None:
    (tmp_path / "y.raw").write_bytes(b"junk" + VOXELS)
    (tmp_path / "a.mhd").write_text(f"{META}HeaderSize = {size}\nElementDataFile = y.raw\n")
    equal(tmp_path / "a.mhd")
    for wrong in (5, 3, -2, 10**9):
        (tmp_path / "a.mhd").write_text(f"{META}HeaderSize = {wrong}\nElementDataFile = y.raw\n")
        with pytest.raises(FormatError):
            prosect.read(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    "first", ["Comment = by x", "Comment = a = b\nComment = c", "BinaryData = True", "Modality = MET_MOD_CT", "ID = 3"]
)
def test_a_metaimage_may_begin_with_any_field(tmp_path: Path, first: str) -> None:
    (tmp_path / "a.mha").write_bytes(f"{first}\n{META}ElementDataFile = LOCAL\n".encode() + VOXELS)
    equal(tmp_path / "a.mha")


def test_metaimages_of_several_volumes_give_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(f"{FOUR}DimSize = 6 5 4 1\nElementDataFile = LOCAL\n".encode() + VOXELS)
    equal(path)
    np.testing.assert_allclose(prosect.read(path).grid.affine[:3, 3], [-1, -2, 3])
    np.testing.assert_allclose(prosect.read(path).grid.spacing_mm, [1, 1, 2])
    second = (ARRAY + 500).tobytes(order="F")
    path.write_bytes(f"{FOUR}DimSize = 6 5 4 2\nElementDataFile = LOCAL\n".encode() + VOXELS + second)
    with pytest.raises(FormatError, match="2 volumes"):
        prosect.read(path)
    np.testing.assert_array_equal(prosect.read(path, volume=1).array, ARRAY + 500)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_few_bytes_after_the_voxels_are_noted_and_a_slice_is_refused(tmp_path: Path, ending: str) -> None:
    start = f"{NRRD}encoding: raw\n\n".encode()
    if ending == ".mha":
        start = f"{META}ElementDataFile = LOCAL\n".encode()
    if ending.startswith(".nii"):
        header = nibabel.Nifti1Image(ARRAY, np.eye(4)).header
        header.set_sform(np.eye(4), 1)
        header["vox_offset"] = 352
        start = header.binaryblock + bytes(4)
    wrap = gzip.compress if ending == ".nii.gz" else bytes
    path = tmp_path / f"a{ending}"
    path.write_bytes(wrap(start + VOXELS))
    assert not any("bytes follow" in note for note in equal(path))
    path.write_bytes(wrap(start + VOXELS + b"tail"))
    assert any("4 bytes follow" in note for note in equal(path))
    path.write_bytes(wrap(start + VOXELS + bytes(2 * 5 * 4)))  # the thinnest slice: the header may declare too few
    with pytest.raises(FormatError) as refused:
        prosect.read(path)
    assert refused.value.code == "INPUT_HEADER_INVALID"


def test_a_nifti_file_may_leave_out_its_bits_per_voxel_but_not_contradict_them(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.set_sform(np.eye(4), 1)
    nibabel.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[72:74] = b"\0\0"
    (tmp_path / "a.nii").write_bytes(raw)
    assert any("0 bits" in note for note in equal(tmp_path / "a.nii"))
    raw[72:74] = b"\x08\0"
    (tmp_path / "a.nii").write_bytes(raw)
    with pytest.raises(FormatError):
        prosect.read(tmp_path / "a.nii")


def test_a_file_that_exists_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    volume = prosect.Volume(ARRAY, prosect.Grid((6, 5, 4), np.eye(4)))
    path = prosect.write(volume, tmp_path / "a.nii.gz", overwrite=False)
    before = path.read_bytes()
    with pytest.raises(OutputError) as refused:
        prosect.write(prosect.Volume(ARRAY + 1, volume.grid), path, overwrite=False)
    assert refused.value.code == "OUTPUT_EXISTS"
    assert path.read_bytes() == before


def test_nan_in_a_label_map_is_called_that(tmp_path: Path) -> None:
    labels = ARRAY.astype(np.float32)
    labels[0, 0, 0] = np.nan
    image = nibabel.Nifti1Image(labels, np.eye(4))
    image.set_sform(np.eye(4), 1)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(FormatError, match="1 values are NaN") as refused:
        prosect.read_labels(tmp_path / "a.nii")
    assert refused.value.code == "LABELS_OUT_OF_RANGE"
