"""DICOM labels of sources that are unusual: frames of one enhanced file, one of its stacks, a series changed since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedCTImageStorage

import prosect
from prosect import vocabulary
from prosect.errors import GeometryError, OutputError
from prosect.io.dicom.choices import DicomChoices
from worlds.dicom import enhanced, save_slice
from worlds.files import letter_f
from worlds.label_objects import label_points, labelled_series, same_points, seg_points

SCAN = letter_f()
WORDS = vocabulary.load("vista3d-ct")


def enhanced_labels(folder: Path, series: str | None = None, **more: object) -> tuple[prosect.Volume, prosect.LabelMap]:
    """Return an enhanced CT whose frames are stored in an odd order, and labels on it."""
    data = enhanced(SCAN, [4, 0, 2, 1, 3, 5, 6, 7, 8, 9, 10], **more)  # type: ignore[arg-type]
    data.FrameOfReferenceUID = "1.2.3.5"
    save_slice(folder, "e.dcm", data)
    volume = prosect.read(folder, series=series)
    array = np.zeros(volume.grid.shape, np.uint8)
    array[1:4, 2:6, 1:5] = 1
    array[5, 7, 9] = 14
    return volume, prosect.LabelMap(array, volume.grid, WORDS, {"model": "prosect-small"})


@pytest.mark.parametrize("encoding", ["binary", "labelmap"])
def test_segments_of_an_enhanced_image_refer_to_its_frames(tmp_path: Path, encoding: str) -> None:
    volume, labels = enhanced_labels(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume, dicom=DicomChoices(encoding))  # type: ignore[arg-type]
    assert same_points(seg_points(path), label_points(labels)) < 1e-6
    source = pydicom.dcmread(tmp_path / "ct" / "e.dcm")
    places = []
    for item in source.PerFrameFunctionalGroupsSequence:
        places.append(list(item.PlanePositionSequence[0].ImagePositionPatient))
    for item in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        referred = item.DerivationImageSequence[0].SourceImageSequence[0]
        assert referred.ReferencedSOPClassUID == EnhancedCTImageStorage
        assert referred.ReferencedSOPInstanceUID == source.SOPInstanceUID
        own = list(item.PlanePositionSequence[0].ImagePositionPatient)
        assert places[referred.ReferencedFrameNumber - 1] == pytest.approx(own)
    assert np.array_equal(prosect.read_labels(path, like=volume).array, labels.array)


def test_segments_of_one_stack_refer_to_its_frames_alone(tmp_path: Path) -> None:
    volume, labels = enhanced_labels(
        tmp_path / "ct", "#2", parts=({"TemporalPositionIndex": 1}, {"TemporalPositionIndex": 2})
    )
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    numbers = set()
    for item in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        numbers.add(int(item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber))
    assert numbers
    assert min(numbers) > SCAN.shape[2], "the frames of the first stack come before"


def test_outlines_are_not_drawn_on_frames_of_one_file(tmp_path: Path) -> None:
    volume, labels = enhanced_labels(tmp_path / "ct")
    with pytest.raises(OutputError) as refused:
        prosect.write(labels, tmp_path / "o.rtstruct.dcm", like=volume)
    assert refused.value.code == "RTSTRUCT_NEEDS_AXIAL"


@pytest.mark.parametrize("ending", ["seg.dcm", "rtstruct.dcm"])
def test_a_series_exported_again_under_other_identifiers_is_met_by_position(tmp_path: Path, ending: str) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / f"o.{ending}", like=volume)
    for number, file in enumerate(sorted((tmp_path / "ct").iterdir())):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.99.{number}"
        data.save_as(file)
    assert np.array_equal(prosect.read_labels(path, like=prosect.read(tmp_path / "ct")).array, labels.array)


@pytest.mark.parametrize("ending", ["seg.dcm", "rtstruct.dcm"])
def test_a_series_that_was_moved_since_is_another_place(tmp_path: Path, ending: str) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / f"o.{ending}", like=volume)
    for number, file in enumerate(sorted((tmp_path / "ct").iterdir())):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.99.{number}"
        data.ImagePositionPatient = [*data.ImagePositionPatient[:2], data.ImagePositionPatient[2] + 1.25]
        data.save_as(file)
    with pytest.raises(GeometryError) as refused:
        prosect.read_labels(path, like=prosect.read(tmp_path / "ct"))
    assert refused.value.code == "LABELS_ELSEWHERE"
