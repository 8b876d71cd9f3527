"""Enhanced multi-frame images and compressed pixels read like a plain classic series, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from prosect.errors import FormatError, GeometryError
from prosect.io import read
from prosect.io.dicom import pixels
from worlds.dicom import dicom_slice, enhanced, save_series, save_slice
from worlds.files import letter_f
from worlds.refusals import refused_file

SCAN = letter_f()


def stream(plane: Any, syntax: str, folder: Path) -> bytes:
    """Return one compressed frame."""
    path = transcoded(save_slice(folder, "frame", dicom_slice(plane, (0, 0, 0))), syntax)
    return next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLosslessSV1])
def test_an_enhanced_image_reads_like_its_classic_series(tmp_path: Path, syntax: str | None) -> None:
    affine = save_series(tmp_path / "classic", SCAN)
    data = enhanced(SCAN, [(k * 7) % 11 for k in range(11)])
    if syntax is not None:
        planes = np.frombuffer(data.PixelData, "<i2").reshape(11, 9, 7)
        data.PixelData = encapsulate([stream(plane, syntax, tmp_path) for plane in planes])
        data.file_meta.TransferSyntaxUID = syntax
    volume = read(save_slice(tmp_path / "e", "x.dcm", data))
    assert np.array_equal(volume.array, SCAN)
    assert np.abs(volume.grid.affine - affine).max() < 1e-9
    assert volume.grid == read(tmp_path / "classic").grid
    assert volume.source.notes == ()


def private_copy(**values: Any) -> tuple[int, str, Dataset]:
    """Return a private group as Philips adds to each frame, repeating public attributes with other values."""
    inner = Dataset()
    for tag, value in values.items():
        setattr(inner, tag, value)
    return 0x2005, "Philips MR Imaging DD 005", inner


@pytest.mark.parametrize("where", ["each", "shared"])
def test_private_groups_override_no_public_attribute(tmp_path: Path, where: str) -> None:
    data = enhanced(SCAN, range(11))
    right = read(save_slice(tmp_path / "right", "e.dcm", data))
    frames = data.PerFrameFunctionalGroupsSequence if where == "each" else data.SharedFunctionalGroupsSequence
    for frame in frames:
        group, creator, inner = private_copy(
            ImagePositionPatient=[7, 7, 7], ImageOrientationPatient=[0, 1, 0, 1, 0, 0], PixelSpacing=[3, 3],
            RescaleSlope=2, RescaleIntercept=5, RescaleType="US", SliceThickness=9, ImageType=["LOCALIZER"],
            TemporalPositionIndex=len(frame),
        )  # fmt: skip
        frame.private_block(group, creator, create=True).add_new(0x0F, "SQ", [inner])
    volume = read(save_slice(tmp_path / "private", "e.dcm", data))
    assert volume.grid == right.grid
    assert np.array_equal(volume.array, right.array)


def test_volumes_within_one_enhanced_image_are_listed_and_chosen(tmp_path: Path) -> None:
    stacks = [{"StackID": "A", "TemporalPositionIndex": t} for t in (1, 2)]
    path = save_slice(tmp_path, "x.dcm", enhanced(SCAN, range(11), parts=stacks))
    message = refused_file(tmp_path, "DICOM_SEVERAL_SERIES")
    assert "stack A, time 1" in message
    assert "stack A, time 2" in message
    assert np.array_equal(read(path.parent, series="#2").array, SCAN)


@pytest.mark.parametrize(
    ("order", "step", "code"),
    [
        ([0, 1, 2, 4, 5], 2.5, "DICOM_MISSING_SLICES"),
        ([0, 1, 2, 3, 3], 2.5, None),
        ([0, 1, 2], 0.0, "DICOM_DUPLICATE_SLICES"),
    ],
)
def test_frames_are_held_to_the_rules_of_slices(
    tmp_path: Path, order: list[int], step: float, code: str | None
) -> None:
    path = save_slice(tmp_path, "x.dcm", enhanced(SCAN, order, step))
    if code is not None:
        refused_file(path, code)
        return
    with pytest.warns(match="1 duplicate"):
        assert read(path).array.shape == (7, 9, 4)


@pytest.mark.parametrize("damage", ["frames", "groups", "pixels", "position"])
def test_contradictory_enhanced_images_are_refused(tmp_path: Path, damage: str) -> None:
    data = enhanced(SCAN, range(5))
    if damage == "frames":
        data.NumberOfFrames = 4
    elif damage == "groups":
        del data.PerFrameFunctionalGroupsSequence
    elif damage == "position":
        del data.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    else:
        data.PixelData = data.PixelData[:-126]
    path = save_slice(tmp_path, "x.dcm", data)
    code, kind = ("INPUT_TRUNCATED", FormatError) if damage == "pixels" else ("DICOM_NO_POSITION", GeometryError)
    refused_file(path.parent, code, kind)


def transcoded(path: Path, syntax: str) -> Path:
    """Compress a file in place."""
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    return path


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_each_lossless_compression_gives_the_stored_values(tmp_path: Path, syntax: str) -> None:
    for k in range(3):
        transcoded(save_slice(tmp_path, f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k))), syntax)
    assert np.array_equal(read(tmp_path).array, SCAN[..., :3])


def test_a_jpeg_lossless_series_written_by_itk_is_read(tmp_path: Path) -> None:
    for k in range(3):
        image = SimpleITK.GetImageFromArray(SCAN[..., k : k + 1].T)
        for tag, value in (("0008|0060", "CT"), ("0020|000e", "1.2.3"), ("0028|0030", "1\\1"), ("0018|0050", "2.5"),
                           ("0020|0032", f"0\\0\\{2.5 * k}"), ("0020|0037", "1\\0\\0\\0\\1\\0")):  # fmt: skip
            image.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(tmp_path / f"{k}.dcm"))
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(image)
    assert pydicom.dcmread(tmp_path / "0.dcm").file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(read(tmp_path).array, SCAN[..., :3])


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_deflated_and_big_endian_files_are_read(tmp_path: Path, syntax: str) -> None:
    for k in range(3):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k))
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = SCAN[..., k].T.astype(">i2").tobytes()
            data["PixelData"].VR = "OW"
        save_slice(tmp_path, f"{k}", data)
    assert np.array_equal(read(tmp_path).array, SCAN[..., :3])


def unextended(k: int) -> Dataset:
    """Return a slice of signed 12-bit values whose upper four bits are not the sign."""
    values = (SCAN[..., k].T.astype("<i2").view("<u2") & 0xFFF).tobytes()
    return dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), BitsStored=12, HighBit=11, PixelData=values)


def overlaid(k: int) -> Dataset:
    """Return a slice of unsigned 12-bit values with an overlay in the highest bit."""
    values = ((SCAN[..., k].T + 1024).astype("<u2") | 0x8000).tobytes()
    return dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), BitsStored=12, HighBit=11, PixelRepresentation=0,
                       RescaleIntercept=-1024, PixelData=values)  # fmt: skip


@pytest.mark.parametrize("make", [unextended, overlaid])
def test_bits_beyond_the_stored_ones_do_not_count(tmp_path: Path, make: Callable[[int], Dataset]) -> None:
    for k in range(3):
        save_slice(tmp_path, f"{k}", make(k))
    assert np.array_equal(read(tmp_path).array, SCAN[..., :3])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("size", [64, 1024])
def test_blank_slices_of_a_compressed_series_are_read(tmp_path: Path, syntax: str, size: int) -> None:
    planes = np.random.default_rng(3).integers(0, 99, (size, size, 3), np.int16)
    planes[..., 0] = 0
    for k in range(3):
        transcoded(save_slice(tmp_path / "s", f"{k}", dicom_slice(planes[..., k], (0, 0, 2.5 * k))), syntax)
    assert np.array_equal(read(tmp_path / "s").array, planes.swapaxes(0, 1))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_huge_blank_frame_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    blank = np.zeros((1024, 1024), np.int16)
    path = transcoded(save_slice(tmp_path / "s", "0", dicom_slice(blank, (0, 0, 0))), syntax)
    monkeypatch.setattr(pixels, "FREE_FRAME_BYTES", 1 << 20)
    monkeypatch.setattr(pixels, "decompress", None)
    assert "1024 x 1024 pixels are declared" in refused_file(path.parent, "INPUT_CORRUPT")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_forged_sizes_of_compressed_slices_are_refused(tmp_path: Path, syntax: str) -> None:
    path = transcoded(save_slice(tmp_path, "x", dicom_slice(SCAN[..., 0].T, (0, 0, 0))), syntax)
    for rows, columns in ((8000, 8000), (9, 6), (8, 7), (9, 14)):
        data = pydicom.dcmread(path)
        data.Rows, data.Columns = rows, columns
        data.save_as(tmp_path / "x")
        refused_file(tmp_path, "INPUT_CORRUPT")


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = transcoded(save_slice(tmp_path, "x", dicom_slice(SCAN[..., 0].T, (0, 0, 0))), JPEG2000Lossless)
    monkeypatch.setattr(get_decoder(JPEG2000Lossless), "_available", {})
    assert "Install pylibjpeg-openjpeg" in refused_file(tmp_path, "DICOM_NO_DECODER")
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.save_as(path)
    assert "Convert the series" in refused_file(tmp_path, "DICOM_NO_DECODER")


def test_a_file_of_several_frames_is_a_volume_by_itself(tmp_path: Path) -> None:
    for name in "ab":
        save_slice(tmp_path, name, enhanced(SCAN + np.int16(name == "b"), range(11)))
    for name in "ab":
        assert np.array_equal(read(tmp_path / name).array, SCAN + (name == "b"))
    message = refused_file(tmp_path, "DICOM_SEVERAL_SERIES")
    assert "file a" in message
    assert np.array_equal(read(tmp_path, series="#2").array, SCAN + 1)


@pytest.mark.parametrize(
    "tags",
    [
        {"SpacingBetweenSlices": 2},
        {"SliceThickness": 2},
        {"SliceThickness": 9, "GridFrameOffsetVector": [2 * n for n in range(11)]},
    ],
)
def test_frames_are_stacked_where_only_the_top_says_where_they_lie(tmp_path: Path, tags: dict[str, Any]) -> None:
    data = dicom_slice(SCAN[..., 0].T, (1, 2, 3), NumberOfFrames=11, **tags)
    data.PixelData = SCAN.swapaxes(0, 1).transpose(2, 0, 1).astype("<i2").tobytes()
    volume = read(save_slice(tmp_path, "c.dcm", data))
    assert np.array_equal(volume.array, SCAN)
    assert np.allclose(volume.grid.affine[:3, 2:], [[0, -1], [0, -2], [2, 3]])


@pytest.mark.parametrize("tags", [{"SliceThickness": None}, {"FrameIncrementPointer": 0x00181063}])
def test_frames_without_a_distance_or_in_time_are_no_volume(tmp_path: Path, tags: dict[str, Any]) -> None:
    data = dicom_slice(SCAN[..., 0].T, (1, 2, 3), NumberOfFrames=11, **tags)
    data.PixelData = SCAN.swapaxes(0, 1).transpose(2, 0, 1).astype("<i2").tobytes()
    save_slice(tmp_path, "c.dcm", data)
    assert "no positions of their own" in refused_file(tmp_path, "DICOM_NO_POSITION", GeometryError)
