"""Slices that were packed one by one or together read like their folder, and other packages say what to do."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from prosect.cohort.manifest import find_scans
from prosect.errors import ProsectWarning
from prosect.io import read, read_labels
from prosect.io.dicom import archives, deflated
from worlds.dicom import dicom_slice, save_series, save_slice
from worlds.files import letter_f, oblique, save_nifti
from worlds.refusals import refused_file

SCAN = letter_f()


def pack(folder: Path, path: Path, mode: str = "w:gz") -> Path:
    """Return a tar archive of a folder, with a link, a hidden file and notes beside its slices."""
    (folder / "notes.txt").write_text("hello")
    (folder / "._IM000").write_bytes(b"\0\5\x16\7")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, "study/series")
        link = tarfile.TarInfo("study/link.dcm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.tgz", "w:gz"), ("a.tar.gz", "w:gz"), ("a.tar", "w")])
def test_a_tar_archive_reads_like_its_folder(tmp_path: Path, name: str, mode: str) -> None:
    affine = save_series(tmp_path / "s", SCAN)
    path = pack(tmp_path / "s", tmp_path / name, mode)
    before = set(tmp_path.rglob("*"))
    volume = read(path)
    assert np.array_equal(volume.array, SCAN)
    assert np.abs(volume.grid.affine - affine).max() < 1e-6
    assert set(tmp_path.rglob("*")) == before, "nothing is unpacked onto the disk"
    assert volume.source.sha256 == read(tmp_path / "s").source.sha256


def test_a_tar_of_several_series_lists_them(tmp_path: Path) -> None:
    save_series(tmp_path / "s" / "a", SCAN)
    save_series(tmp_path / "s" / "b", SCAN[..., :5], SeriesInstanceUID="1.2.3.99")
    path = pack(tmp_path / "s", tmp_path / "a.tgz")
    assert "1.2.3.99" in refused_file(path, "DICOM_SEVERAL_SERIES")
    assert read(path, series="99").grid.shape == (7, 9, 5)


def test_damaged_and_huge_tars_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_series(tmp_path / "s", SCAN)
    raw = pack(tmp_path / "s", tmp_path / "a.tgz").read_bytes()
    plain = gzip.decompress(raw)
    cases = {
        "cut.tgz": (raw[: len(raw) // 2], ("INPUT_TRUNCATED", "INPUT_CORRUPT", "INPUT_HEADER_INVALID")),
        "flipped.tgz": (raw[:-200] + bytes([raw[-200] ^ 1]) + raw[-199:], ("INPUT_CORRUPT", "INPUT_TRUNCATED")),
        "cut.tar": (plain[: len(plain) // 2 + 100], ("INPUT_CORRUPT", "INPUT_TRUNCATED")),
    }
    for name, (content, codes) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Exception, match=name.replace(".", r"\.")) as caught:
            read(tmp_path / name)
        assert getattr(caught.value, "code", "") in codes
    monkeypatch.setattr(archives, "MAX_TAR_BYTES", 100)
    assert "Unpack it" in refused_file(tmp_path / "a.tgz", "INPUT_TOO_LARGE")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    (tmp_path / "whole.tar").write_bytes(plain)
    refused_file(tmp_path / "whole.tar", "INPUT_TOO_LARGE")


def test_a_tar_without_slices_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    refused_file(pack(tmp_path / "s", tmp_path / "a.tgz"), "DICOM_NO_IMAGES")


def test_slices_that_were_gzipped_one_by_one_are_a_series(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    (tmp_path / "z").mkdir()
    for path in sorted((tmp_path / "s").iterdir()):
        (tmp_path / "z" / f"{path.name}.dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
    save_nifti(tmp_path / "z" / "other.nii.gz", SCAN)
    assert np.array_equal(read(tmp_path / "z").array, SCAN)
    assert np.array_equal(read(tmp_path / "z" / "IM003.dcm.gz").array, SCAN)
    scans = find_scans(tmp_path / "z").scans
    assert sorted(len(scan.files) for scan in scans) == [1, SCAN.shape[2]], "the series is a scan of a folder run"
    damaged = tmp_path / "z" / "IM002.dcm.gz"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with pytest.raises(Exception, match=r"IM002\.dcm\.gz: the file"):
        read(tmp_path / "z")


def zip_of(path: Path, **members: bytes) -> Path:
    """Return a zip of these members; two underscores stand for a dot."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr("top/" + name.replace("__", "."), content)
    return path


def test_a_zip_with_one_nifti_is_that_scan(tmp_path: Path) -> None:
    raw = save_nifti(tmp_path / "a.nii.gz", SCAN, oblique()).read_bytes()
    path = zip_of(tmp_path / "a.zip", scan__nii__gz=raw, readme__txt=b"hello")
    volume = read(path)
    assert np.array_equal(volume.array, SCAN)
    assert np.abs(volume.grid.affine - oblique()).max() < 1e-4
    assert np.array_equal(read_labels(zip_of(tmp_path / "l.zip", l__nii=nifti_labels(tmp_path))).array, SCAN > 0)
    several = zip_of(tmp_path / "b.zip", one__nii__gz=raw, two__nii__gz=raw)
    message = refused_file(several, "INPUT_SEVERAL_IMAGES")
    assert "one.nii.gz, two.nii.gz" in message


def test_scans_of_other_formats_in_an_archive_are_named(tmp_path: Path) -> None:
    members = {f"scan{n}__mha": b"ObjectType = Image" for n in range(5)}
    message = refused_file(zip_of(tmp_path / "a.zip", **members), "DICOM_NO_IMAGES")
    assert "(scan0.mha, scan1.mha, scan2.mha and 2 more)" in message
    assert "unpack them, and give one by name" in message
    assert "other formats" not in refused_file(zip_of(tmp_path / "b.zip", readme__txt=b"hello"), "DICOM_NO_IMAGES")


def nifti_labels(folder: Path) -> bytes:
    """Return the bytes of a plain NIfTI file of labels."""
    return save_nifti(folder / "l.nii", (SCAN > 0).astype(np.uint8), oblique()).read_bytes()


def test_a_nifti_beside_slices_in_a_zip_hides_no_series(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    slices = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    raw = save_nifti(tmp_path / "a.nii.gz", SCAN + np.int16(5)).read_bytes()
    assert np.array_equal(read(zip_of(tmp_path / "a.zip", old__nii__gz=raw, **slices)).array, SCAN)


def test_a_damaged_nifti_in_a_zip_is_refused(tmp_path: Path) -> None:
    raw = save_nifti(tmp_path / "a.nii", SCAN).read_bytes()
    packed = bytearray(zip_of(tmp_path / "a.zip", scan__nii=raw).read_bytes())
    packed[600] ^= 1
    (tmp_path / "a.zip").write_bytes(packed)
    with pytest.raises(Exception, match=r"scan\.nii in a\.zip: the file is damaged"):
        read(tmp_path / "a.zip")


def test_a_dicomdir_sends_to_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path, SCAN)
    index = pydicom.Dataset()
    index.file_meta = FileMetaDataset()
    index.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    index.file_meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    index.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    index.FileSetID = "DISC"
    pydicom.dcmwrite(tmp_path / "DICOMDIR", index, enforce_file_format=True)
    assert "Give the folder" in refused_file(tmp_path / "DICOMDIR", "DICOM_NO_IMAGES")
    assert np.array_equal(read(tmp_path).array, SCAN)


def test_a_large_deflated_file_is_refused_for_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dicom_slice(SCAN[..., 0].T, (0, 0, 0))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save_slice(tmp_path, "a.dcm", data)
    with pytest.warns(ProsectWarning, match="a single slice"):
        assert read(path).grid.shape[2] == 1
    monkeypatch.setattr(deflated, "MAX_INFLATED_BYTES", 100)
    message = refused_file(path, "DICOM_UNSUPPORTED")
    assert "deflated" in message
    assert "no decoder" not in message


@pytest.mark.parametrize("words", [["DERIVED", "SECONDARY", "REF_SURVIEW"], ["ORIGINAL", "PRIMARY", "SCOUT"]])
def test_pictures_that_show_where_slices_lie_are_no_slices(tmp_path: Path, words: Any) -> None:
    save_series(tmp_path, SCAN)
    picture = dicom_slice(np.zeros((40, 40), np.int16), (0, 0, 0), ImageType=words)
    save_slice(tmp_path, "survey", picture)
    with pytest.warns(ProsectWarning, match="1 localizers"):
        assert np.array_equal(read(tmp_path).array, SCAN)
    assert [len(scan.files) for scan in find_scans(tmp_path).scans] == [SCAN.shape[2]]


def test_a_stream_of_bytes_is_no_tar_by_chance(tmp_path: Path) -> None:
    stream = io.BytesIO(np.random.default_rng(0).bytes(2000))
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    refused_file(tmp_path / "a.tar", "INPUT_NOT_AN_IMAGE")
