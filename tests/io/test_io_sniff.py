"""What is no image is refused with the name of what it is."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from prosect.errors import FormatError, ProsectError
from prosect.io import read, read_labels

PAGES = {
    b"": "an empty file",
    b"<!DOCTYPE html><html><body>404</body></html>": "an HTML page",
    b"\n  <HTML><head>": "an HTML page",
    b'<?xml version="1.0"?><a/>': "an XML document",
    b'{"error": "no such key"}': "a JSON document",
    b"just some notes\n": "a text file",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n": "a Git LFS pointer",
    b"\x89PNG\r\n\x1a\n": "a PNG picture",
    b"%PDF-1.4": "a PDF document",
    b"\x28\xb5\x2f\xfd0000": "a Zstandard stream",
    b"\x93NUMPY\x01\x00": "a NumPy array",
    bytes(range(256)): "a file of unknown kind",
    bytes(4000): "a file of unknown kind",
}


@pytest.mark.parametrize(("content", "words"), PAGES.items())
@pytest.mark.parametrize("zipped", [False, True])
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, words: str, zipped: bool) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(content) if zipped else content)
    for reader in (read, read_labels):
        with pytest.raises(FormatError) as caught:
            reader(path)
        assert caught.value.code == "INPUT_NOT_AN_IMAGE"
        assert words in str(caught.value)
        assert ("gzip" in str(caught.value)) == zipped


def test_a_zip_without_slices_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(FormatError) as caught:
        read(tmp_path / "a.zip")
    assert caught.value.code == "DICOM_NO_IMAGES"
    with zipfile.ZipFile(tmp_path / "b.zip", "w"):
        pass
    with pytest.raises(FormatError, match="an empty zip"):
        read(tmp_path / "b.zip")


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.nii").symlink_to(tmp_path / "loop.nii")
    (tmp_path / "gone.nii").symlink_to(tmp_path / "nowhere.nii")
    os.mkfifo(tmp_path / "pipe.nii")
    cases = {"missing.nii": "INPUT_NOT_FOUND", "gone.nii": "INPUT_NOT_FOUND", "loop.nii": "INPUT_UNREADABLE",
             "pipe.nii": "INPUT_UNREADABLE", "nul\x00.nii": "INPUT_UNREADABLE"}  # fmt: skip
    for name, code in cases.items():
        with pytest.raises(FormatError) as caught:
            read(tmp_path / name)
        assert caught.value.code == code
        assert str(tmp_path) not in str(caught.value)


def test_random_bytes_are_always_refused_with_a_code(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    starts = [b"", b"NRRD0004\n", b"\x5c\x01\x00\x00", b"\x1f\x8b\x08\x00", b"PK\x03\x04", bytes(128) + b"DICM",
              b"ObjectType = Image\n"]  # fmt: skip
    for start in starts:
        for size in (0, 3, 40, 400, 4000):
            path = tmp_path / "a.nii"
            path.write_bytes(start + rng.bytes(size))
            with pytest.raises(ProsectError) as caught:
                read(path)
            assert caught.value.code
            assert "\n" not in str(caught.value)
