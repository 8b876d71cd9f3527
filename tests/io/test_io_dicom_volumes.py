"""A series of several volumes gives each of them whole, by what tells them apart, and never two mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prosect.errors import ProsectWarning
from prosect.io import read
from worlds.dicom import dicom_slice, save_slice
from worlds.files import letter_f
from worlds.refusals import refused_file

SCAN = letter_f()[..., :4]
PHASES = 3


def save_phases(folder: Path, tags: Any, phases: int = PHASES) -> None:
    """Write volumes of four slices, each 100 brighter than the one before, with `tags(phase, slice)`."""
    for phase in range(phases):
        for k in range(4):
            pixels = SCAN[..., k].T + np.int16(100 * phase)
            data = dicom_slice(pixels, (0, 0, 2.5 * k), **tags(phase, k))
            save_slice(folder, f"{(7 * k + 5 * phase) % 12:02d}-{phase}{k}", data)


MARKS = {
    "time 2": lambda phase, k: {"TemporalPositionIdentifier": phase + 1, "AcquisitionNumber": 1},
    "acquisition 2": lambda phase, k: {"AcquisitionNumber": phase + 1, "InstanceNumber": 1 + k + 4 * phase},
    "echo time 5": lambda phase, k: {"EchoTime": [2.5, 5, 10][phase]},
    "b value 500": lambda phase, k: {"DiffusionBValue": [0.0, 500.0, 1000.0][phase]},
    "diffusion direction 0.0/1.0/0.0": lambda phase, k: {"DiffusionGradientOrientation": np.eye(3)[2 - phase].tolist()},
    "sequence ep2d_B": lambda phase, k: {"SequenceName": "ep2d_" + "ABC"[phase]},
    "kernel B60f": lambda phase, k: {"ConvolutionKernel": f"B{30 * (phase + 1)}f"},
    "breath phase 30": lambda phase, k: {"NominalPercentageOfRespiratoryPhase": 30 * phase},
    "heart phase 40": lambda phase, k: {"NominalPercentageOfCardiacPhase": 40 * phase},
    "trigger time 41": lambda phase, k: {"TriggerTime": 41 * phase},
    "type DERIVED/PRIMARY/B": lambda phase, k: {"ImageType": ["DERIVED", "PRIMARY", "ABC"[phase]]},
    "number 2": lambda phase, k: {"InstanceNumber": 1 + phase + PHASES * k},
    "content time 120001": lambda phase, k: {"ContentTime": f"12000{phase}"},
}


@pytest.mark.parametrize("words", MARKS)
def test_each_volume_of_a_series_is_listed_with_what_it_is_and_read_whole(tmp_path: Path, words: str) -> None:
    save_phases(tmp_path / "s", MARKS[words])
    message = refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES")
    assert words in message
    assert "1.2.3.4#3" in message
    for phase in range(PHASES):
        for choice in ({"series": f"#{phase + 1}"}, {"volume": phase}, {"series": "1.2.3.4", "volume": phase}):
            volume = read(tmp_path / "s", **choice)
            assert np.array_equal(volume.array, SCAN + 100 * phase)
        assert f"The series holds 3 volumes; number {phase + 1}" in volume.source.notes[0]
    refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES", volume=3)
    refused_file(tmp_path / "s", "DICOM_SEVERAL_SERIES", series="#4")


def test_two_marks_together_tell_volumes_apart(tmp_path: Path) -> None:
    save_phases(
        tmp_path, lambda phase, k: {"EchoNumbers": 1 + phase % 2, "TemporalPositionIdentifier": 1 + phase // 2}, 4
    )
    assert "time 2, echo 1" in refused_file(tmp_path, "DICOM_SEVERAL_SERIES")
    assert np.array_equal(read(tmp_path, series="#3").array, SCAN + 200)


def test_a_slice_given_by_name_stands_for_its_own_volume(tmp_path: Path) -> None:
    save_phases(tmp_path, MARKS["time 2"])
    for path in tmp_path.iterdir():
        assert np.array_equal(read(path).array, SCAN + 100 * int(path.name[3]))


def test_blank_slices_that_two_volumes_share_are_no_duplicates(tmp_path: Path) -> None:
    for phase in range(2):
        for k in range(4):
            pixels = np.zeros((9, 7), np.int16) if k == 0 else SCAN[..., k].T + np.int16(phase)
            tags = {"TemporalPositionIdentifier": phase}
            save_slice(tmp_path, f"{phase}{k}", dicom_slice(pixels, (0, 0, 2.5 * k), **tags))
    assert read(tmp_path, series="#2").grid.shape == (7, 9, 4)


def test_one_slice_of_another_acquisition_does_not_cost_the_scan(tmp_path: Path) -> None:
    for k in range(4):
        save_slice(tmp_path, f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), AcquisitionNumber=2))
    save_slice(tmp_path, "more", dicom_slice(SCAN[..., 0].T + np.int16(9), (0, 0, 5), AcquisitionNumber=1))
    with pytest.warns(ProsectWarning, match="1 slices lie where others of the series do .acquisition 1. and were left"):
        assert np.array_equal(read(tmp_path).array, SCAN)
    with pytest.warns(ProsectWarning, match="single slice"):
        assert read(tmp_path, series="#1").grid.shape == (7, 9, 1)


def test_the_number_one_names_the_only_volume(tmp_path: Path) -> None:
    save_phases(tmp_path, MARKS["time 2"], 1)
    assert read(tmp_path, series="#1").grid == read(tmp_path, volume=0).grid
    refused_file(tmp_path, "DICOM_SEVERAL_SERIES", volume=1)


@pytest.mark.parametrize("uids", [["1.9.1", "1.9.2", "1.9.3", "1.9.4"], ["1.9.1", None, "1.9.1", "1.9.1"], [None] * 4])
def test_frames_of_reference_that_came_apart_are_one_scan(tmp_path: Path, uids: list[str | None]) -> None:
    for k, uid in enumerate(uids):
        save_slice(tmp_path, f"{k}", dicom_slice(SCAN[..., k].T, (0, 0, 2.5 * k), FrameOfReferenceUID=uid))
    if len(set(uids)) == 1:
        assert np.array_equal(read(tmp_path).array, SCAN)
        return
    with pytest.warns(ProsectWarning, match="Frames of Reference; their positions fit together"):
        assert np.array_equal(read(tmp_path).array, SCAN)


def save_uneven(folder: Path, depths: tuple[float, ...], thickness: tuple[float, ...], lean: float = 0) -> None:
    """Write slices whose value is their depth times 10, sheared by `lean` mm a mm."""
    for n, (depth, thick) in enumerate(zip(depths, thickness, strict=True)):
        pixels = np.full((9, 7), depth * 10, np.int16)
        save_slice(folder, f"{n}", dicom_slice(pixels, (0, lean * depth, depth), SliceThickness=thick))


HEAD = (0, 2.5, 5, 7.5, 10, 15, 20, 25)


@pytest.mark.parametrize("lean", [0, 0.25])
def test_slices_that_get_thicker_are_not_missing_and_resampled_on_request(tmp_path: Path, lean: float) -> None:
    save_uneven(tmp_path, HEAD, (2.5,) * 5 + (5,) * 3, lean)
    message = refused_file(tmp_path, "DICOM_IRREGULAR_SPACING")
    for part in ("2.500 to 5.000 mm", "as their thickness does", "no slice is missing", "`regularise`"):
        assert part in message
    with pytest.warns(ProsectWarning, match="resampled linearly to 11, 2.500 mm apart"):
        volume = read(tmp_path, regularise=True)
    assert np.allclose(volume.array[3, 4], 25 * np.arange(11), atol=1e-4)
    assert np.allclose(volume.grid.affine[:3, 2], (0, -2.5 * lean, 2.5))
    assert "resampled linearly" in " ".join(volume.source.notes)


def test_distances_of_no_whole_ratio_are_resampled_to_the_smallest(tmp_path: Path) -> None:
    save_uneven(tmp_path, (0, 4.2, 8.4, 15.8, 23.2), (4.2,) * 3 + (7.4,) * 2)
    with pytest.warns(ProsectWarning, match="4.200 mm apart"):
        volume = read(tmp_path, regularise=True)
    assert volume.grid.shape == (7, 9, 6)
    assert np.allclose(volume.array[0, 0], 42 * np.arange(6), atol=1)


def test_missing_slices_stay_refused_and_even_ones_as_they_are(tmp_path: Path) -> None:
    save_uneven(tmp_path / "gap", HEAD, (2.5,) * 8)
    refused_file(tmp_path / "gap", "DICOM_MISSING_SLICES", regularise=True)
    save_uneven(tmp_path / "even", HEAD[:5], (2.5,) * 5)
    assert read(tmp_path / "even", regularise=True).source.notes == ()


TEXTS = {"PixelSpacing": (0x00280030, "0.9\\0.7"), "ImagePositionPatient": (0x00200032, "0\\0\\0"),
         "SliceThickness": (0x00180050, "2.5"), "RescaleSlope": (0x00281053, "1")}  # fmt: skip


@pytest.mark.parametrize("tag", TEXTS)
@pytest.mark.parametrize("comma", [False, True])
def test_numbers_as_text_are_read_and_what_is_none_is_named(tmp_path: Path, tag: str, comma: bool) -> None:
    number, words = TEXTS[tag]
    data = dicom_slice(SCAN[..., 0].T, (0, 0, 0), **{tag: None})
    words = words.replace("1", "1.0").replace(".", ",") if comma else words
    words = "0,5\\0\\0" if comma and tag == "ImagePositionPatient" else words
    data.add_new(number, "UT", words)
    save_slice(tmp_path, "0", data)
    if comma:
        message = refused_file(tmp_path, "INPUT_HEADER_INVALID")
        assert f"{tag} is {words!r}" in message
        return
    with pytest.warns(ProsectWarning, match="single slice"):
        assert np.array_equal(read(tmp_path).array, SCAN[..., :1])


def test_a_decimal_comma_in_its_own_type_is_named(tmp_path: Path) -> None:
    path = save_slice(tmp_path, "0", dicom_slice(SCAN[..., 0].T, (0, 0, 0), PixelSpacing=[0.75, 0.25]))
    path.write_bytes(path.read_bytes().replace(b"0.75\\0.25", b"0,75\\0,25"))
    assert "PixelSpacing is '0,75" in refused_file(tmp_path, "INPUT_HEADER_INVALID")


def test_orientations_that_jitter_are_one_scan_and_said(tmp_path: Path) -> None:
    for k in range(8):
        turned = [1, 5e-4 * (k % 2), 0, -5e-4 * (k % 2), 1, 0]
        data = dicom_slice(SCAN[..., k % 4].T, (-200, -300, 100 + 2.5 * k), ImageOrientationPatient=turned)
        save_slice(tmp_path, f"{k}", data)
    with pytest.warns(ProsectWarning, match="orientation of slices differs by up to 0.029 degrees"):
        volume = read(tmp_path)
    assert volume.grid.shape == (7, 9, 8)
    assert np.allclose(volume.grid.spacing_mm, [0.7, 0.9, 2.5])


def test_half_of_a_series_is_not_read_without_a_warning(tmp_path: Path) -> None:
    for k in range(8):
        spacing = [0.9, 0.7 + 0.003 * (k % 2)]
        save_slice(tmp_path, f"{k}", dicom_slice(SCAN[..., k % 4].T, (0, 0, 2.5 * k), PixelSpacing=spacing))
    refused_file(tmp_path, "DICOM_SEVERAL_SERIES")
    with pytest.warns(ProsectWarning, match="3 slices of the series lie between those that were read"):
        assert read(tmp_path, series="#1").grid.shape == (7, 9, 4)
