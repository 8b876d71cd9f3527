"""Deflated files of any length are read, their beginnings too, and damaged ones are refused."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

import prosect
from prosect import vocabulary
from prosect.errors import FormatError
from prosect.io.dicom.choices import DicomChoices
from prosect.io.dicom.deflated import inflate_beginning, inflate_file
from prosect.io.dicom.header import HEADER_BYTES
from prosect.labelmap import LabelMap
from worlds.dicom import dicom_slice, save_series, save_slice

NOISE = np.random.default_rng(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a deflated slice of noise, longer than the beginning that is looked at first."""
    pixels = NOISE.integers(-1000, 1000, (256, 256), dtype=np.int16)
    data = dicom_slice(pixels, (0, 0, 0))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return save_slice(tmp_path, "a.dcm", data)


def test_an_inflated_file_is_the_same_data_set_in_a_plain_syntax(path: Path) -> None:
    raw = path.read_bytes()
    plain = pydicom.dcmread(BytesIO(inflate_file("a.dcm", raw)))
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert plain.pixel_array.tobytes() == pydicom.dcmread(path).pixel_array.tobytes()


def test_a_beginning_says_what_the_file_is(path: Path) -> None:
    beginning = path.read_bytes()[:HEADER_BYTES]
    assert len(beginning) == HEADER_BYTES
    found = pydicom.dcmread(BytesIO(inflate_beginning(beginning)), specific_tags=["Rows"], stop_before_pixels=True)
    assert found.Rows == 256


def test_a_file_that_is_cut_or_damaged_is_refused(path: Path) -> None:
    raw = path.read_bytes()
    for broken in (raw[:-2000], raw[:5000] + b"\xff" * 400 + raw[5400:]):
        with pytest.raises(FormatError) as refused:
            inflate_file("a.dcm", broken)
        assert refused.value.code == "INPUT_CORRUPT"


@pytest.mark.parametrize("encoding", ["binary", "labelmap"])
def test_a_long_deflated_seg_comes_back_voxel_by_voxel(tmp_path: Path, encoding: str) -> None:
    save_series(tmp_path / "ct", NOISE.integers(-1000, 1000, (256, 256, 6), dtype=np.int16))
    volume = prosect.read(tmp_path / "ct")
    values = NOISE.integers(0, 6, volume.grid.shape).astype(np.uint16)
    labels = LabelMap(values, volume.grid, vocabulary.load("prosect"), {})
    place = tmp_path / "labels.seg.dcm"
    prosect.write(labels, place, like=volume, dicom=DicomChoices(encoding, seg_compression="deflate"))
    assert place.stat().st_size > HEADER_BYTES
    assert np.array_equal(prosect.read_labels(place, like=volume).array, values)
