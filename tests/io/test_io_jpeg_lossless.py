"""Lossless JPEG as GDCM encodes it is decoded exactly, and damage is an error of Python, never of the process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLosslessSV1

from prosect.io.dicom.jpeg_lossless import decode
from worlds.dicom import dicom_slice, save_slice


def encoded(values: NDArray[Any], folder: Path) -> bytes:
    """Return unsigned values as GDCM compresses them."""
    import gdcm

    data = dicom_slice(values.astype(np.int16), (0, 0, 0), PixelRepresentation=0)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(save_slice(folder, "a", data)))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(JPEGLosslessSV1)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(folder / "b"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    found = pydicom.dcmread(io.BytesIO((folder / "b").read_bytes()))
    return next(generate_frames(found.PixelData, number_of_frames=1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (33, 47), (64, 64)])
@pytest.mark.parametrize("kind", ["flat", "smooth", "noise", "edges"])
def test_every_image_is_decoded_exactly(tmp_path: Path, shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(sum(shape))
    smooth = np.add.outer(np.arange(shape[0]), 3 * np.arange(shape[1]))
    values = {
        "flat": np.full(shape, 1024), "smooth": smooth, "noise": rng.integers(0, 1 << 16, shape),
        "edges": rng.choice([0, 65535, 32768, 32767], shape),
    }[kind]  # fmt: skip
    assert np.array_equal(decode(encoded(values.astype(np.uint16), tmp_path)), values)


def test_damaged_streams_are_refused_by_an_exception(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    good = encoded(rng.integers(0, 4096, (24, 31)).astype(np.uint16), tmp_path)
    refused = 0
    for _ in range(400):
        raw = bytearray(good)
        kind, here = rng.integers(3), int(rng.integers(len(raw)))
        if kind == 0:
            raw[here] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del raw[here:]
        else:
            raw[here : here + 4] = rng.bytes(4)
        try:
            decode(bytes(raw))
        except (ValueError, NotImplementedError):
            refused += 1
    assert 100 < refused < 400


def test_other_predictors_are_not_taken_for_the_one_that_is_read(tmp_path: Path) -> None:
    raw = bytearray(encoded(np.arange(12, dtype=np.uint16).reshape(3, 4), tmp_path))
    scan = raw.index(b"\xff\xda")
    assert raw[scan + 7] == 1
    raw[scan + 7] = 4
    with pytest.raises(NotImplementedError, match="predictor 4"):
        decode(bytes(raw))
