"""DICOM labels of other writers, or of a series that is no longer what it was: right, or said, never silently wrong."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect.io.dicom.choices import DicomChoices
from worlds.label_objects import label_points, labelled_series, same_points


@pytest.fixture
def made(tmp_path: Path) -> tuple[prosect.Volume, prosect.LabelMap, pydicom.Dataset, pydicom.Dataset]:
    """Return a scan, its labels, and a SEG and an RTSTRUCT of them."""
    volume, labels = labelled_series(tmp_path / "ct")
    objects = []
    for ending in ("seg", "rtstruct"):
        objects.append(pydicom.dcmread(prosect.write(labels, tmp_path / f"o.{ending}.dcm", like=volume)))
    return volume, labels, objects[0], objects[1]


@pytest.mark.parametrize("number", [0, -3, 70000, 2**31 - 1])
def test_regions_whose_numbers_are_no_label_values_are_numbered_in_their_order(made, tmp_path, number) -> None:
    volume, labels, _, regions = made
    for item in (regions.ROIContourSequence[0], regions.RTROIObservationsSequence[0]):
        item.ReferencedROINumber = number
    regions.StructureSetROISequence[0].ROINumber = number
    for item in regions.RTROIObservationsSequence:
        del item.ROIObservationDescription
    regions.save_as(tmp_path / "other.dcm")
    with pytest.warns(prosect.ProsectWarning, match=f"Region number {number} is no label value"):
        back = prosect.read_labels(tmp_path / "other.dcm", like=volume)
    assert back.names == {1: "liver", 2: "left kidney", 3: "heart"}
    for value, ours in {1: 1, 2: 14, 3: 115}.items():
        assert np.array_equal(back.array == value, labels.array == ours)


@pytest.mark.parametrize("value", ["0", "65536", "99999"])
def test_a_tracking_identifier_that_is_no_label_value_is_not_taken_for_one(made, tmp_path, value) -> None:
    volume, labels, segments, _ = made
    segments.SegmentSequence[0].TrackingID = f"prosect:{value}:liver"
    segments.save_as(tmp_path / "other.dcm")
    back = prosect.read_labels(tmp_path / "other.dcm", like=volume)
    assert np.array_equal(back.array == 1, labels.array == 1)
    assert set(back.names) == {1, 2, 3}


def test_a_frame_that_names_several_slices_lies_at_its_position(made, tmp_path) -> None:
    volume, labels, segments, _ = made
    frames = segments.PerFrameFunctionalGroupsSequence
    named = []
    for frame in frames:
        named.append(frame.DerivationImageSequence[0].SourceImageSequence[0])
    for frame in frames:
        frame.DerivationImageSequence[0].SourceImageSequence = copy.deepcopy(named)
    segments.save_as(tmp_path / "other.dcm")
    assert np.array_equal(prosect.read_labels(tmp_path / "other.dcm", like=volume).array, labels.array)


def test_an_outline_that_names_several_slices_lies_at_its_position(made, tmp_path) -> None:
    volume, labels, _, regions = made
    every = regions.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    for region in regions.ROIContourSequence:
        for outline in region.ContourSequence:
            outline.ContourImageSequence = copy.deepcopy(every.ContourImageSequence)
    regions.save_as(tmp_path / "other.dcm")
    assert np.array_equal(prosect.read_labels(tmp_path / "other.dcm", like=volume).array, labels.array)


def test_segments_that_the_file_does_not_describe_are_said(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    choices = DicomChoices("labelmap", seg_compression="none")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume, dicom=choices)
    data = pydicom.dcmread(path)
    data.SegmentSequence = [item for item in data.SegmentSequence if item.SegmentNumber != 1]
    data.save_as(path)
    with pytest.warns(prosect.ProsectWarning, match="does not describe were left out: 1"):
        back = prosect.read_labels(path, like=volume)
    assert np.array_equal(back.array, np.where(labels.array == 1, 0, labels.array))


def test_a_series_mirrored_under_its_old_identifiers_keeps_labels_in_their_places(made, tmp_path) -> None:
    volume, labels, _, _ = made
    for path in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = np.ascontiguousarray(data.pixel_array[:, ::-1]).tobytes()
        x, y, z = map(float, data.ImagePositionPatient)
        data.ImagePositionPatient = [x + 0.7 * (data.Columns - 1), y, z]
        data.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        data.save_as(path)
    mirrored = prosect.read(tmp_path / "ct")
    assert not np.array_equal(mirrored.grid.affine, volume.grid.affine)
    for ending in ("seg", "rtstruct"):
        back = prosect.read_labels(tmp_path / f"o.{ending}.dcm", like=mirrored)
        placed = prosect.LabelMap(back.array, back.grid, labels.vocabulary)
        assert same_points(label_points(placed), label_points(labels)) < 1e-3


def test_a_slice_that_is_gone_since_is_refused_or_said(made, tmp_path) -> None:
    _, labels, _, _ = made
    highest = max((tmp_path / "ct").iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    highest.unlink()
    fewer = prosect.read(tmp_path / "ct")
    with pytest.raises(prosect.ProsectError) as refused:
        prosect.read_labels(tmp_path / "o.seg.dcm", like=fewer)
    assert refused.value.code == "LABELS_ELSEWHERE"
    with pytest.warns(prosect.ProsectWarning, match="3 of 9 outlines lie outside"):
        back = prosect.read_labels(tmp_path / "o.rtstruct.dcm", like=fewer)
    assert np.array_equal(back.array, labels.array[..., :-1])
