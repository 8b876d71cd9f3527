"""A DICOM series is one exact volume, or the message says why it is none."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import RLELossless

from prosect.errors import FormatError, GeometryError, ProsectError, ProsectWarning
from prosect.io import read, read_labels, write
from prosect.io.dicom import archives, files, member
from prosect.io.dicom.pixels import parse_beginning
from prosect.volume import Volume
from worlds.dicom import LPS, dicom_slice, save_series, save_slice
from worlds.files import SHAPE, bright_world, label_map, letter_f, outcome
from worlds.refusals import refused_file

SCAN = letter_f()
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "negative columns": (1, 0, 0, 0, -1, 0),
    "negative rows": (-1, 0, 0, 0, 1, 0),
    "both negative": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (0.9396926208, 0.3420201433, 0, -0.3213938048, 0.8830222216, 0.3420201433),
}

NO_SLICES: tuple[dict[str, object], ...] = (
    {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    {"Rows": None, "Columns": None, "PixelData": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"},
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
    {"SamplesPerPixel": 3},
    {"ImagePositionPatient": None},
)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_lies_where_its_header_says(tmp_path: Path, orientation: str) -> None:
    affine = save_series(tmp_path / "s", SCAN, ORIENTATIONS[orientation])
    volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN)
    assert np.abs(volume.grid.affine - affine).max() < 1e-6
    assert volume.modality == "CT"
    assert volume.source.notes == ()
    assert "Secret" not in repr(volume)
    labels = write(label_map(volume.grid), tmp_path / "labels.nii.gz", like=volume)
    assert read_labels(labels).grid.distance_to(volume.grid) < 1e-3


@pytest.mark.parametrize("orientation", ["axial", "negative columns", "sagittal", "oblique"])
def test_itk_finds_the_bright_voxel_at_the_same_place(tmp_path: Path, orientation: str) -> None:
    save_series(tmp_path / "s", SCAN, ORIENTATIONS[orientation])
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "s")))
    image = reader.Execute()
    values = SimpleITK.GetArrayFromImage(image).T
    index = [int(n) for n in np.unravel_index(int(values.argmax()), values.shape)]
    volume = read(tmp_path / "s")
    truth = bright_world(volume.array, volume.grid.affine)
    assert np.abs(LPS[:3, :3] @ image.TransformIndexToPhysicalPoint(index) - truth).max() < 1e-5


def test_slices_are_sorted_by_place_even_downwards(tmp_path: Path) -> None:
    affine = save_series(tmp_path / "s", SCAN, step=(0, 0, -2.5))
    volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN[..., ::-1])
    assert np.abs(bright_world(volume.array, volume.grid.affine) - bright_world(SCAN, affine)).max() < 1e-6


def test_a_tilted_gantry_is_a_sheared_grid_and_said_so(tmp_path: Path) -> None:
    affine = save_series(tmp_path / "s", SCAN, step=(0, 0.66, 2.4))
    volume = read(tmp_path / "s")
    assert np.abs(volume.grid.affine - affine).max() < 1e-6
    assert volume.grid.shear > 0.2
    assert "tilted by 15.38 degrees" in volume.source.notes[0]


def test_each_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    for k in range(5):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), RescaleSlope=0.5 + k, RescaleIntercept=-1024 + k)
        save_slice(tmp_path / "s", f"{k}", data)
    expected = np.stack([SCAN[..., k] * (0.5 + k) - 1024 + k for k in range(5)], axis=2)
    assert np.array_equal(read(tmp_path / "s").array, expected.astype(np.float32))


def save_scaled(folder: Path, modality: str, scales: list[dict[str, float]]) -> Path:
    """Write a series whose slices have these parts of a scale, and no others."""
    for k, scale in enumerate(scales):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), Modality=modality)
        for tag in ("RescaleSlope", "RescaleIntercept"):
            data.pop(tag, None)
        for tag, value in scale.items():
            setattr(data, tag, value)
        save_slice(folder, f"{k}", data)
    return folder


WHOLE = {"RescaleSlope": 2.0, "RescaleIntercept": -1024.0}


@pytest.mark.parametrize("modality", ["CT", "PT"])
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({}, "1 of 5 slices have no Rescale Slope, and it is 2 in others"),
        ({"RescaleSlope": 2.0}, "1 of 5 slices have no Rescale Intercept, and it is -1024 in others"),
        ({"RescaleIntercept": -1024.0}, "1 of 5 slices have no Rescale Slope"),
    ],
)
def test_slices_that_lack_the_scale_of_the_others_are_refused(
    tmp_path: Path, modality: str, odd: dict[str, float], words: str
) -> None:
    folder = save_scaled(tmp_path / "s", modality, [WHOLE, WHOLE, odd, WHOLE, WHOLE])
    assert words in refused_file(folder, "INPUT_HEADER_INVALID")


def test_slices_that_lack_what_changes_nothing_are_read(tmp_path: Path) -> None:
    neutral = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    folder = save_scaled(tmp_path / "s", "PT", [neutral, {}, {"RescaleSlope": 3.0, "RescaleIntercept": 0.0}, neutral])
    assert "1 of 4 slices have no Rescale Slope, and it is 3" in refused_file(folder, "INPUT_HEADER_INVALID")
    save_slice(folder, "2", dicom_slice(SCAN[..., 2].T, (0, 0, 5.0), Modality="PT"))
    assert np.array_equal(read(folder).array, SCAN[..., :4])


@pytest.mark.parametrize(
    ("modality", "scale", "value", "part"),
    [
        ("CT", {"RescaleSlope": None, "RescaleIntercept": -1024}, 976, "Slope; 1 was taken"),
        ("CT", {"RescaleSlope": 2, "RescaleIntercept": None}, 4000, "Intercept; 0 was taken"),
        ("MR", {"RescaleSlope": None, "RescaleIntercept": 24}, 2024, "Slope; 1 was taken"),
        ("PT", {"RescaleSlope": 0.5, "RescaleIntercept": None}, 1000, "Intercept; 0 was taken"),
    ],
)
def test_what_is_missing_of_the_scale_is_neutral_and_said(
    tmp_path: Path, modality: str, scale: dict[str, Any], value: float, part: str
) -> None:
    save_series(tmp_path / "s", np.full_like(SCAN, 2000), Modality=modality, **scale)
    with pytest.warns(ProsectWarning, match=f"11 of 11 slices have no Rescale {part}"):
        volume = read(tmp_path / "s")
    assert set(np.unique(volume.array)) == {value}
    assert any(part in note for note in volume.source.notes)


def test_missing_slices_are_refused_with_their_places(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    for path in list((tmp_path / "s").iterdir()):
        if pydicom.dcmread(path).ImagePositionPatient[2] in (107.5, 112.5, 115.0):
            path.unlink()
    message = refused_file(tmp_path / "s", "DICOM_MISSING_SLICES")
    assert "3 slices are missing, at 107.50, 112.50, 115.00 mm" in message


def test_uneven_spacing_is_refused_and_jitter_is_noted(tmp_path: Path) -> None:
    for folder, offsets in (("bad", (0, 0, 0.2, 0, 0)), ("good", (0, 0.004, -0.003, 0.01, 0)),
                            ("two", (0, 0, 0, 1.2, 2.4))):  # fmt: skip
        for k, offset in enumerate(offsets):
            save_slice(tmp_path / folder, f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k + offset)))
    refused_file(tmp_path / "bad", "DICOM_IRREGULAR_SPACING")
    refused_file(tmp_path / "two", "DICOM_IRREGULAR_SPACING")
    volume = read(tmp_path / "good")
    assert volume.grid.spacing_mm == pytest.approx((0.7, 0.9, 2.5))
    assert "stray by up to 0.0100 mm" in volume.source.notes[0]


@pytest.mark.parametrize(
    ("spacing", "decimals", "read_at_all"),
    [(0.625, 2, True), (0.3, 2, True), (0.625, 1, False), (0.05, 2, True), (0.02, 1, False)],
)
def test_positions_that_were_rounded_are_read_where_the_rounding_is_small(
    tmp_path: Path, spacing: float, decimals: int, read_at_all: bool
) -> None:
    for k in range(11):
        depth = round(100 + spacing * k, decimals)
        save_slice(tmp_path / "s", f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, depth)))
    if not read_at_all:
        with pytest.raises(ProsectError):
            read(tmp_path / "s")
        return
    volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN)
    assert volume.grid.spacing_mm[2] == pytest.approx(spacing, abs=0.002)


def test_identical_duplicates_are_dropped_and_different_ones_refused(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    save_slice(tmp_path / "s", "copy", dicom_slice(SCAN[..., 4].T, (-40, 25, 110)))
    with pytest.warns(ProsectWarning, match="1 duplicate"):
        volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN)
    save_slice(tmp_path / "s", "other", dicom_slice(SCAN[..., 4].T + 1, (-40, 25, 110)))
    assert "110.00 mm" in refused_file(tmp_path / "s", "DICOM_DUPLICATE_SLICES")


def test_several_series_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "s" / "a", SCAN)
    save_series(tmp_path / "s" / "b", SCAN[..., :5] + 1, SeriesInstanceUID="1.2.3.99", SeriesDescription="lung\n1.0")
    message = refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES")
    for part in ("1.2.3.4 'chest 2.5' CT 11 slices 7x9, 0.7 x 0.9 x 2.5 mm", "1.2.3.99 'lung1.0' CT 5 slices"):
        assert part in message
    assert read(tmp_path / "s", series="1.2.3.4").array.shape == SHAPE
    assert read(tmp_path / "s", series="99").array.shape == (7, 9, 5)
    for wrong in ("7.7", "", "."):
        assert "1.2.3.99" in refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES", series=wrong)


@pytest.mark.parametrize(
    "tags",
    [{"FrameOfReferenceUID": "1.2.9"}, {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, {"PixelSpacing": [0.8, 0.8]}],
)
def test_parts_of_one_series_that_cannot_be_one_volume_are_told_apart(tmp_path: Path, tags: dict[str, object]) -> None:
    save_series(tmp_path / "s", SCAN)
    for k in range(3):
        save_slice(tmp_path / "s", f"x{k}", dicom_slice(SCAN[..., k].T, (500 + 2.5 * k, 0, 900 + 2.5 * k), **tags))
    message = refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES")
    assert "1.2.3.4#1" in message
    assert "1.2.3.4#2" in message
    assert read(tmp_path / "s", series="#1").array.shape == SHAPE
    refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES", series="1.2.3.4")


def test_what_is_no_slice_is_passed_over_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    save_series(folder, SCAN)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "notes.txt").write_text("hello")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM rubbish ../../etc/passwd")
    (folder / ".hidden.dcm").write_bytes(b"rubbish")
    assert np.array_equal(read(folder).array, SCAN)
    assert read(folder).source.notes == ("Files passed over: 2 not DICOM.",)


@pytest.mark.parametrize("tags", NO_SLICES)
def test_files_of_the_series_itself_are_not_left_out_without_a_warning(tmp_path: Path, tags: dict[str, object]) -> None:
    save_series(tmp_path / "s", SCAN)
    save_slice(tmp_path / "s", "x", dicom_slice(SCAN[..., 0].T, (0, 0, 0), **tags))
    with pytest.warns(ProsectWarning, match="may be slices: 1"):
        assert np.array_equal(read(tmp_path / "s").array, SCAN)


def test_other_objects_of_a_study_are_counted_and_what_may_be_a_slice_is_warned_of(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    for number, tags in enumerate(NO_SLICES):
        save_slice(
            tmp_path / "s", f"x{number}", dicom_slice(SCAN[..., 0].T, (0, 0, 0), SeriesInstanceUID="1.9", **tags)
        )
    (tmp_path / "s" / "IM099").write_bytes(bytes(range(256)) * 9)
    with pytest.warns(ProsectWarning, match="may be slices") as caught:
        volume = read(tmp_path / "s")
    assert len(caught) == 1
    assert volume.source.notes == (
        "Files left out, which may be slices: 1 of unknown kind, 1 localizers, 1 in colour, "
        "1 images without a position.",
        "Files passed over: 2 not images.",
    )


def test_nothing_but_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no files at all" in refused_file(tmp_path / "empty", "DICOM_NO_IMAGES")
    save_slice(tmp_path / "a", "x", dicom_slice(SCAN[..., 0].T, (0, 0, 0), ImageOrientationPatient=None))
    refused_file(tmp_path / "a", "DICOM_NO_POSITION", GeometryError)
    save_slice(tmp_path / "b", "x", dicom_slice(SCAN[..., 0].T, (0, 0, 0), SamplesPerPixel=3))
    refused_file(tmp_path / "b", "INPUT_NOT_SCALAR")
    frames = dicom_slice(SCAN[..., 0].T, (0, 0, 0), NumberOfFrames=8, SliceThickness=None)
    save_slice(tmp_path / "c", "x", frames)
    refused_file(tmp_path / "c", "DICOM_NO_POSITION", GeometryError)


@pytest.mark.parametrize("cut", [0, 100, 140, 0.3, 0.6, -1])
def test_a_cut_slice_is_refused_by_name(tmp_path: Path, cut: float) -> None:
    save_series(tmp_path / "s", SCAN)
    raw = (tmp_path / "s" / "IM005").read_bytes()
    (tmp_path / "s" / "IM005").unlink()
    (tmp_path / "s" / "IM005.dcm").write_bytes(raw[: int(cut * len(raw)) if isinstance(cut, float) else cut])
    with pytest.raises(FormatError) as caught:
        read(tmp_path / "s")
    assert caught.value.code in ("INPUT_TRUNCATED", "INPUT_CORRUPT", "INPUT_NOT_AN_IMAGE")
    assert "IM005.dcm" in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 60000}, "INPUT_HEADER_INVALID"),
        ({"Rows": 8000}, "INPUT_TRUNCATED"),
        ({"Columns": 6}, "INPUT_CORRUPT"),
        ({"PixelSpacing": [0, 0.7]}, "GEOMETRY_INVALID"),
        ({"PixelSpacing": None}, "GEOMETRY_INVALID"),
        ({"PixelSpacing": [-0.9, 0.7]}, "GEOMETRY_INVALID"),
        ({"RescaleSlope": 0}, "INPUT_HEADER_INVALID"),
        ({"BitsStored": 12}, "DICOM_UNSUPPORTED"),
        ({"PixelRepresentation": 3}, "INPUT_HEADER_INVALID"),
        ({"PixelRepresentation": None}, "INPUT_HEADER_INVALID"),
        ({"SamplesPerPixel": None}, "INPUT_HEADER_INVALID"),
        ({"PhotometricInterpretation": None}, "INPUT_HEADER_INVALID"),
        ({"BitsAllocated": 5}, "INPUT_HEADER_INVALID"),
        ({"BitsStored": 17, "HighBit": 16}, "INPUT_HEADER_INVALID"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "INPUT_NOT_SCALAR"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "GEOMETRY_INVALID"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "GEOMETRY_INVALID"),
        ({"ModalityLUTSequence": [pydicom.Dataset()]}, "DICOM_UNSUPPORTED"),
        ({"Modality": "MR"}, "MODALITY_MISMATCH"),
    ],
)
def test_forged_or_unusable_headers_are_refused(tmp_path: Path, tags: dict[str, object], code: str) -> None:
    for k in range(3):
        save_slice(tmp_path / "s", f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), **tags))
    refused_file(tmp_path / "s", code, GeometryError if code.startswith("GEO") else FormatError, modality="CT")


@pytest.mark.parametrize("excess", [2, 14, 128, 1000])
def test_padding_after_the_pixels_is_no_damage(tmp_path: Path, excess: int) -> None:
    for k in range(4):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k))
        data.PixelData += bytes(excess)
        save_slice(tmp_path / "s", f"{k}", data)
    volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN[..., :4])
    assert f"Up to {excess} bytes of padding follow the pixels; they were left out." in volume.source.notes


def test_padding_of_any_values_is_left_out_where_it_is_shorter_than_a_row_and_a_column(tmp_path: Path) -> None:
    row = 7 * 2  # bytes of the shorter side
    for k in range(4):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k))
        data.PixelData += b"\1" * (row - 2)
        save_slice(tmp_path / "s", f"{k}", data)
    volume = read(tmp_path / "s")
    assert np.array_equal(volume.array, SCAN[..., :4])
    assert f"Up to {row - 2} bytes of padding follow the pixels; they were left out." in volume.source.notes
    data.PixelData += b"\1\1"
    save_slice(tmp_path / "s", "3", data)
    refused_file(tmp_path / "s", "INPUT_CORRUPT")


def test_ct_without_rescale_is_read_with_a_warning(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN, RescaleSlope=None, RescaleIntercept=None)
    with pytest.warns(ProsectWarning, match="no Rescale"):
        assert np.array_equal(read(tmp_path / "s").array, SCAN)


def test_ct_in_another_unit_is_read_with_a_warning(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN, RescaleType="Z_EFF")
    with pytest.warns(ProsectWarning, match="Z_EFF"):
        read(tmp_path / "s")
    save_series(tmp_path / "t", SCAN, RescaleType="US")
    assert read(tmp_path / "t").source.notes == ()


def test_modality_comes_from_the_tag_or_the_caller(tmp_path: Path) -> None:
    save_series(tmp_path / "a", SCAN, Modality="MR")
    assert read(tmp_path / "a").modality == "MR"
    save_series(tmp_path / "b", SCAN, Modality=None)
    assert read(tmp_path / "b").modality is None
    assert read(tmp_path / "b", modality="CT").modality == "CT"


def test_one_file_stands_for_its_series_in_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    save_slice(tmp_path / "s", "other.dcm", dicom_slice(SCAN[..., 0].T, (0, 0, 0), SeriesInstanceUID="1.9"))
    seg = dicom_slice(SCAN[..., 0].T, (0, 0, 0), SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", SeriesInstanceUID="1.8")
    save_slice(tmp_path / "s", "seg.dcm", seg)
    volume = read(tmp_path / "s" / "IM003")
    assert np.array_equal(volume.array, SCAN)
    assert "whole series" in volume.source.notes[0]
    with pytest.warns(ProsectWarning, match="single slice"):
        assert read(tmp_path / "s" / "other.dcm").array.shape == (7, 9, 1)
    refused_file(tmp_path / "s" / "seg.dcm", "DICOM_NO_IMAGES")


def test_a_slice_without_preamble_is_read(tmp_path: Path) -> None:
    for k in range(3):
        data = dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k))
        del data.file_meta
        (tmp_path / "s").mkdir(exist_ok=True)
        pydicom.dcmwrite(tmp_path / "s" / f"{k}", data, implicit_vr=True, little_endian=True)
    assert np.array_equal(read(tmp_path / "s").array, SCAN[..., :3])


def zipped(folder: Path, path: Path, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a folder."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for member in sorted(folder.rglob("*")):
            archive.write(member, Path("study") / member.name)
        archive.writestr("__MACOSX/._IM001", b"rubbish")
        archive.writestr("readme.txt", "hello")
    return path


def test_a_zip_reads_like_its_folder_and_unpacks_nothing(tmp_path: Path) -> None:
    save_series(tmp_path / "s", SCAN)
    path = zipped(tmp_path / "s", tmp_path / "s.zip")
    before = sorted(tmp_path.rglob("*"))
    volume = read(path)
    assert sorted(tmp_path.rglob("*")) == before
    folder = read(tmp_path / "s")
    assert np.array_equal(volume.array, folder.array)
    assert volume.grid == folder.grid
    assert volume.source.sha256 == folder.source.sha256
    assert volume.source.notes == ("Files passed over: 1 not DICOM.",)


def test_damaged_and_explosive_zips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_series(tmp_path / "s", SCAN)
    path = zipped(tmp_path / "s", tmp_path / "s.zip", method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"DICM") + 1500] ^= 1
    (tmp_path / "flipped.zip").write_bytes(raw)
    refused_file(tmp_path / "flipped.zip", "INPUT_CORRUPT")
    (tmp_path / "cut.zip").write_bytes(raw[: len(raw) // 2])
    refused_file(tmp_path / "cut.zip", "INPUT_CORRUPT")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(20_000_000))
    refused_file(tmp_path / "bomb.zip", "INPUT_TOO_LARGE")
    for module in (archives, files):
        monkeypatch.setattr(module, "MAX_MEMBERS", 5)
    refused_file(path, "INPUT_TOO_LARGE")
    refused_file(tmp_path / "s", "INPUT_TOO_LARGE")


def test_fuzzed_slices_are_read_or_refused_but_never_an_accident(tmp_path: Path) -> None:
    data = dicom_slice(SCAN[..., 0].T, (0, 0, 0))
    data.compress(RLELossless)
    raw = save_slice(tmp_path, "x.dcm", data).read_bytes()
    rng = np.random.default_rng(9)
    path, read_count = tmp_path / "x.dcm", 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(300):
            damaged = bytearray(raw)
            for _ in range(rng.integers(1, 4)):
                damaged[rng.integers(len(raw))] = rng.integers(0, 256)
            path.write_bytes(damaged)
            found = outcome(path)
            read_count += isinstance(found, Volume)
    assert 0 < read_count < 300


def save_large_series(folder: Path, private: bytes = b"") -> int:
    """Write three slices of 256 x 256 pixels, with something long before their geometry; return the bytes they take."""
    pixels = np.arange(256 * 256, dtype=np.int16).reshape(256, 256)
    size = 0
    for k in range(3):
        data = dicom_slice(pixels + k, [0.0, 0.0, 2.5 * k], SeriesInstanceUID="1.2.3")
        data.private_block(0x0009, "A MAKER", create=True).add_new(1, "OB", private)
        size += save_slice(folder, f"{k}.dcm", data).stat().st_size
    return size


def test_pixels_are_read_from_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = save_large_series(tmp_path)
    counted = []

    def counting_head(place: Path) -> Callable[[int], bytes]:
        def head(count: int) -> bytes:
            data = place.read_bytes()[:count]
            counted.append(len(data))
            return data

        return head

    monkeypatch.setattr(member, "file_head", counting_head)
    assert read(tmp_path).grid.shape == (256, 256, 3)
    beginnings = 3 + 1  # of each file, to sort them; of the first one again, for what results say of the study
    assert sum(counted) - size == beginnings * (64 << 10), "no pixels are read a second time"


def test_a_header_longer_than_the_beginning_that_is_read_first_is_whole(tmp_path: Path) -> None:
    save_large_series(tmp_path, private=bytes(100 << 10))
    volume = read(tmp_path)
    assert volume.grid.shape == (256, 256, 3)
    assert volume.grid.spacing_mm[2] == pytest.approx(2.5)


@pytest.mark.parametrize("cut", [100, 200, 400, 600])
def test_a_file_that_ends_in_its_header_is_no_whole_header(cut: int, tmp_path: Path) -> None:
    raw = save_slice(tmp_path, "a.dcm", dicom_slice(letter_f()[..., 0].T, [0.0, 0.0, 0.0])).read_bytes()
    assert parse_beginning(raw, ["Rows"]).Rows == letter_f().shape[1]
    assert parse_beginning(raw[:cut], ["Rows"]) is None


def test_what_is_damaged_beside_a_file_of_another_series_does_not_cost_it(tmp_path: Path) -> None:
    save_series(tmp_path, SCAN)
    (tmp_path / "odd.dcm").write_bytes(b"no DICOM at all")
    refused_file(tmp_path, "INPUT_NOT_AN_IMAGE")
    refused_file(tmp_path, "INPUT_NOT_AN_IMAGE", series="1.2.3.4")
    with pytest.warns(ProsectWarning, match="may be slices: 1 of unknown kind"):
        assert np.array_equal(read(tmp_path / "IM003").array, SCAN)
    (tmp_path / "odd.dcm").unlink()
    whole = (tmp_path / "IM004").read_bytes()
    (tmp_path / "IM004").write_bytes(whole[: len(whole) - 20])
    with pytest.raises(FormatError, match="IM004"):  # it says that it is of the series
        read(tmp_path / "IM003")
