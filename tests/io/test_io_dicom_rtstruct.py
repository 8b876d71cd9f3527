"""Structure sets: Dice 1 by hand and by plastimatch, what each region says of itself, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

import prosect
from prosect import vocabulary
from prosect.io.dicom.choices import DicomChoices
from worlds.label_objects import label_points, labelled_series, same_points

VOCABULARY = vocabulary.load("vista3d-ct")


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    """Return a series, labels on it with a hole and an island, and their structure set."""
    folder = tmp_path_factory.mktemp("rt")
    volume, labels = labelled_series(folder / "ct", StudyDate="20200304")
    array = labels.array.copy()
    array[5, 6, 2] = 14
    labels = prosect.LabelMap(array, labels.grid, VOCABULARY, labels.provenance)
    return volume, labels, prosect.write(labels, folder / "o.rtstruct.dcm", like=volume)


def points_by_hand(path: Path, volume: prosect.Volume) -> dict:
    """Return the voxel centres in each region in LPS mm, by shooting rays at the contours of each slice."""
    from reference.even_odd import inside

    data = pydicom.dcmread(path)
    names = {item.ROINumber: item.ROIName for item in data.StructureSetROISequence}
    frames = {frame.instance_uid: frame for frame in volume.source.header.frames}
    columns, rows, _ = volume.grid.shape
    found = {}
    for region in data.ROIContourSequence:
        slices: dict = {}
        for contour in region.ContourSequence:
            uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            frame = frames[uid]
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert contour.NumberOfContourPoints == len(points)
            assert np.all(points[:, 2] == round(frame.position_lps[2], 3))
            away = points - frame.position_lps
            slices.setdefault(uid, []).append(np.stack([away[:, 1] / 0.9, away[:, 0] / 0.7], axis=1))
        centres = []
        for uid, rings in slices.items():
            row, column = np.nonzero(inside(rings, (rows, columns)))
            centres.append(np.stack([column * 0.7, row * 0.9, row * 0], axis=1) + frames[uid].position_lps)
        found[names[region.ReferencedROINumber]] = np.concatenate(centres)
    return found


def test_every_voxel_is_inside_its_outline_and_no_other(structures) -> None:
    volume, labels, path = structures
    assert same_points(points_by_hand(path, volume), label_points(labels)) < 1e-6


def test_plastimatch_gives_every_voxel_back(structures, tmp_path) -> None:
    if shutil.which("plastimatch") is None:
        pytest.skip("plastimatch is not installed")
    import SimpleITK

    volume, labels, path = structures
    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", path.parent / "ct"]
    command += ["--output-prefix", tmp_path / "out", "--prefix-format", "nrrd"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    files = {file.stem.replace("_", " "): file for file in (tmp_path / "out").iterdir()}
    for index in labels.present:
        image = SimpleITK.ReadImage(str(files[labels.name_of(index)]))
        array = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
        assert array.shape == volume.grid.shape
        assert np.array_equal(array > 0, labels.own_mask(index))


def test_the_validator_finds_no_errors(structures) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    done = subprocess.run(["dciodvfy", "-new", structures[2]], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_regions_say_what_they_are(structures) -> None:
    volume, _, path = structures
    data = pydicom.dcmread(path)
    assert [item.ROIName for item in data.StructureSetROISequence] == ["liver", "left kidney", "heart"]
    assert {item.ROIGenerationAlgorithm for item in data.StructureSetROISequence} == {"AUTOMATIC"}
    assert [item.RTROIInterpretedType for item in data.RTROIObservationsSequence] == ["ORGAN"] * 3
    kidney = data.RTROIObservationsSequence[1]
    assert kidney.RTROIIdentificationCodeSequence[0].CodeValue == "64033007"
    assert data.ROIContourSequence[0].ROIDisplayColor == list(VOCABULARY["liver"].color)
    assert (data.StructureSetDate, data.ApprovalStatus) == ("20200304", "UNAPPROVED")
    series = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    referred = [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence]
    assert referred == list(volume.source.header.instance_uids)


def test_the_body_is_external_and_nothing_is_a_target(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    words = vocabulary.load("prosect")
    body = prosect.LabelMap(labels.array.astype(bool) * words["body"].index, labels.grid, words)
    data = pydicom.dcmread(prosect.write(body, tmp_path / "o.rtstruct.dcm", like=volume))
    assert [item.RTROIInterpretedType for item in data.RTROIObservationsSequence] == ["EXTERNAL"]


def test_the_same_labels_give_the_same_bytes(structures, tmp_path) -> None:
    volume, labels, path = structures
    again = prosect.write(labels, tmp_path / "o.rtstruct.dcm", like=volume)
    assert again.read_bytes() == path.read_bytes()


def test_layers_each_have_their_region(tmp_path) -> None:
    volume, flat = labelled_series(tmp_path / "ct")
    layers = prosect.LabelLayers(np.stack([flat.array == 14, flat.array > 0]), (14, 1), flat.grid, VOCABULARY)
    path = prosect.write(layers, tmp_path / "o.rtstruct.dcm", like=volume)
    assert same_points(points_by_hand(path, volume), label_points(layers)) < 1e-6


def test_deidentified_structure_sets_hold_neither_patient_nor_identifiers(structures, tmp_path) -> None:
    volume, labels, _ = structures
    path = prosect.write(labels, tmp_path / "o.rtstruct.dcm", like=volume, dicom=DicomChoices(deidentify=True))
    raw = path.read_bytes()
    for text in ["Secret", "SECRET-7", "20200304", *volume.source.header.instance_uids]:
        assert text.encode() not in raw


@pytest.mark.parametrize("kind", ["coronal", "sagittal", "turned", "oblique", "tilted gantry"])
def test_slices_on_which_radiotherapy_does_not_draw_are_refused(kind, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", kind)
    with pytest.raises(prosect.ProsectError, match="axial") as refused:
        prosect.write(labels, tmp_path / "o.rtstruct.dcm", like=volume)
    assert refused.value.code == "RTSTRUCT_NEEDS_AXIAL"


@pytest.mark.parametrize("kind", ["mirrored columns", "mirrored rows"])
def test_mirrored_axial_slices_come_back_voxel_for_voxel(kind, tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct", kind)
    stored = prosect.read_labels(prosect.write(labels, tmp_path / "o.rtstruct.dcm", like=volume), like=volume)
    assert np.array_equal(stored.array, labels.array)
