"""Reading SEG and RTSTRUCT as labels: on the scan by named slices, else by position; alone on their own grid."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect import vocabulary
from prosect.io.dicom.choices import DicomChoices
from worlds.label_objects import ZOO, label_points, labelled_series, same_points

VOCABULARY = vocabulary.load("vista3d-ct")
SAMPLES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "dicom_samples"
KINDS = {"binary": DicomChoices(), "labelmap": DicomChoices("labelmap"), "deidentified": DicomChoices(deidentify=True)}


@pytest.fixture(scope="module")
def axial(tmp_path_factory):
    """Return a folder with a series, its labels, and a SEG and an RTSTRUCT of them."""
    folder = tmp_path_factory.mktemp("axial")
    volume, labels = labelled_series(folder / "ct")
    seg = prosect.write(labels, folder / "o.seg.dcm", like=volume)
    structures = prosect.write(labels, folder / "o.rtstruct.dcm", like=volume)
    return volume, labels, seg, structures


def nifti_grid(volume: prosect.Volume) -> prosect.Grid:
    """Return the grid of the same voxels with axes as converters lay them."""
    return volume.grid.reorder(volume.grid.to_ras())


@pytest.mark.parametrize("way", list(KINDS))
@pytest.mark.parametrize("kind", [kind for kind in ZOO if kind != "tilted gantry"])
def test_a_segmentation_comes_back_on_its_scan_with_values_and_names(kind, way, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", kind)
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume, dicom=KINDS[way])
    stored = prosect.read_labels(path, like=volume)
    assert np.array_equal(stored.array, labels.array)
    assert stored.grid == volume.grid
    assert stored.names == {1: "liver", 14: "left kidney", 115: "heart"}
    assert stored.notes == ()


@pytest.mark.parametrize("which", [2, 3])
def test_labels_are_placed_by_position_on_a_converted_scan(which, axial) -> None:
    volume, labels, *_ = axial
    grid = nifti_grid(volume)
    assert grid != volume.grid
    stored = prosect.read_labels(axial[which], like=grid)
    expected = volume.grid.to_ras().apply(labels.array)
    assert np.array_equal(stored.array, expected)


def test_a_segmentation_alone_has_a_grid_of_its_own(axial) -> None:
    _, labels, path, _ = axial
    stored = prosect.read_labels(path)
    assert stored.grid.shape == (21, 17, 5)  # the first slice shows nothing
    alone = prosect.LabelMap(stored.array, stored.grid, VOCABULARY)
    assert same_points(label_points(alone), label_points(labels)) < 1e-6


def test_slices_without_a_frame_are_in_its_grid(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    array = labels.array.copy()
    array[..., 2:4] = 0
    sparse = prosect.LabelMap(array, labels.grid, VOCABULARY)
    stored = prosect.read_labels(prosect.write(sparse, tmp_path / "o.seg.dcm", like=volume))
    alone = prosect.LabelMap(stored.array, stored.grid, VOCABULARY)
    assert same_points(label_points(alone), label_points(sparse)) < 1e-6


def test_structures_that_overlap_come_back_as_layers(tmp_path) -> None:
    volume, flat = labelled_series(tmp_path / "ct")
    layers = prosect.LabelLayers(np.stack([flat.array == 14, flat.array > 0]), (14, 1), flat.grid, VOCABULARY)
    for ending in ("seg", "rtstruct"):
        stored = prosect.read_labels(prosect.write(layers, tmp_path / f"o.{ending}.dcm", like=volume), like=volume)
        assert stored.layers == (1, 14)
        assert np.array_equal(stored.array, layers.masks[::-1])


def test_outlines_need_their_scan(axial) -> None:
    with pytest.raises(prosect.ProsectError, match="no voxels of their own") as refused:
        prosect.read_labels(axial[3])
    assert refused.value.code == "LABELS_NEED_SCAN"


@pytest.mark.parametrize("which", [2, 3])
def test_labels_of_another_place_are_refused(which, axial) -> None:
    volume = axial[0]
    affine = volume.grid.affine.copy()
    affine[2, 3] += 400
    with pytest.raises(prosect.ProsectError, match=r"elsewhere|outside") as refused:
        prosect.read_labels(axial[which], like=prosect.Grid(volume.grid.shape, affine))
    assert refused.value.code == "LABELS_ELSEWHERE"


def test_a_quarter_of_a_voxel_off_is_another_place(axial) -> None:
    volume = axial[0]
    affine = volume.grid.affine.copy()
    affine[0, 3] += 0.2
    with pytest.raises(prosect.ProsectError, match=r"0\.29 voxels off"):
        prosect.read_labels(axial[2], like=prosect.Grid(volume.grid.shape, affine))


def test_a_frame_lies_on_the_slice_that_it_names_whatever_its_position(axial, tmp_path) -> None:
    volume, labels, path, _ = axial
    data = pydicom.dcmread(path)
    for item in data.PerFrameFunctionalGroupsSequence:
        item.PlanePositionSequence[0].ImagePositionPatient[2] += 7
    data.save_as(tmp_path / "moved.dcm")
    with pytest.warns(prosect.ProsectWarning, match=r"7\.00 mm from the slices that they name"):
        stored = prosect.read_labels(tmp_path / "moved.dcm", like=volume)
    assert np.array_equal(stored.array, labels.array)


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_or_zip_with_one_label_object_is_read(axial, tmp_path, packed) -> None:
    volume, labels, path, _ = axial
    shutil.copytree(path.parent / "ct", tmp_path / "all")
    shutil.copy(path, tmp_path / "all" / "x")
    place = tmp_path / "all"
    if packed:
        place = tmp_path / "all.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for file in (tmp_path / "all").iterdir():
                archive.write(file, file.name)
    assert np.array_equal(prosect.read_labels(place, like=volume).array, labels.array)


def test_a_folder_with_two_and_a_scan_are_refused(axial, tmp_path) -> None:
    for name in ("a", "b"):
        shutil.copy(axial[2], tmp_path / name)
    for place, said in ((tmp_path, "2 are here"), (next((axial[2].parent / "ct").iterdir()), "holds no labels")):
        with pytest.raises(prosect.ProsectError, match=said) as refused:
            prosect.read_labels(place)
        assert refused.value.code == "LABELS_UNSUPPORTED"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", [2, 3])
def test_damaged_objects_are_refused_by_name(which, axial, tmp_path) -> None:
    raw = axial[which].read_bytes()
    rng = np.random.default_rng(which)
    for _ in range(60):
        spoilt = bytearray(raw)
        for place in rng.integers(200, len(raw), 6):
            spoilt[place] = rng.integers(256)
        (tmp_path / "x.dcm").write_bytes(spoilt[: rng.integers(len(raw) // 2, len(raw))])
        # Anything but a refusal or labels fails the test.
        with contextlib.suppress(prosect.ProsectError):
            prosect.read_labels(tmp_path / "x.dcm", like=axial[0])


def test_points_and_open_lines_are_left_out_with_a_warning(axial, tmp_path) -> None:
    volume, labels, _, path = axial
    data = pydicom.dcmread(path)
    data.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "POINT"
    data.save_as(tmp_path / "x.dcm")
    with pytest.warns(prosect.ProsectWarning, match="1 POINT"):
        stored = prosect.read_labels(tmp_path / "x.dcm", like=volume)
    assert np.array_equal(stored.array == 14, labels.array == 14)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data is not here")
class TestSamples:
    """Objects that other software wrote."""

    def test_fractions_count_from_one_half_on(self) -> None:
        with pytest.warns(prosect.ProsectWarning, match="one half"):
            stored = prosect.read_labels(SAMPLES / "highdicom" / "seg_image_ct_true_fractional.dcm")
        assert stored.array.any()

    def test_segments_that_overlap_are_layers(self) -> None:
        stored = prosect.read_labels(SAMPLES / "dcmqi" / "partial_overlaps.dcm")
        assert len(stored.layers) == 5

    @pytest.mark.parametrize("name", ["liver.dcm", "sparse-labelmap-noppv.dcm", "sparse-labelmap-ppv5.dcm"])
    def test_other_writers_are_read(self, name) -> None:
        stored = prosect.read_labels(SAMPLES / "dcmqi" / name)
        assert stored.array.any()
        assert stored.names
