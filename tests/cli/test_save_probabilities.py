"""`-sp`: a NIfTI file in the scan's geometry, a volume for each structure, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect


def names_in(path: Path) -> list[str]:
    """Read the names of the volumes as another program would: from the comment in the header."""
    comments = [each for each in nibabel.load(path).header.extensions if each.get_code() == 6]
    named: list[str] = json.loads(comments[0].text)["volumes"]
    return named


def test_each_structure_is_a_volume_in_the_geometry_of_the_scan(run, model, scan_path, tmp_path) -> None:
    words = ["-rs", "liver", "spleen", "-sp"]
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", *words)[0] == 0
    file = tmp_path / "o_probabilities.nii.gz"
    scan, stored = nibabel.load(scan_path), nibabel.load(file)
    assert (stored.shape, stored.get_data_dtype()) == ((*scan.shape, 2), np.float32)
    np.testing.assert_array_equal(stored.affine, scan.affine)
    assert names_in(file) == ["liver", "spleen"]
    labels = prosect.read_labels(tmp_path / "o.nii.gz")
    np.testing.assert_array_equal(stored.get_fdata().argmax(axis=3)[labels.array > 0], 0)
    np.testing.assert_array_equal(stored.get_fdata()[..., 0] > 0.5, labels.array == 1)
    assert prosect.read(file, volume=1).array.max() == 0.25, "prosect reads one back as a volume"


def test_a_folder_has_the_file_and_a_report_that_is_verified(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "out", "-rs", "liver", "-sp")[0] == 0
    assert (tmp_path / "out" / "probabilities.nii.gz").is_file()
    status, said, err = run("verify", tmp_path / "out", "--input", scan_path)
    assert (status, err) == (0, "")
    assert "2 of 2 equal byte for byte" in said


def test_a_name_of_its_own_is_taken(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-rs", "liver", "-sp", tmp_path / "p.nii")[0] == 0
    assert nibabel.load(tmp_path / "p.nii").shape[3] == 1


@pytest.mark.parametrize("name", ["p.npz", "p"])
def test_another_ending_is_refused_before_a_model_is_loaded(run, model, scan_path, tmp_path, name) -> None:
    status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-sp", tmp_path / name)
    assert (status, "must end in .nii.gz or .nii" in err) == (3, True)
    assert model.calls == []


def test_folders_of_scans_are_refused(run, model, scan_path, tmp_path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    scan_path.rename(scans / "a.nii.gz")
    status, _, err = run("segment", scans, "-o", tmp_path / "out", "-sp")
    assert (status, "-sp is for one scan" in err) == (2, True)


def test_a_model_that_gives_none_is_refused(run, model, scan_path, tmp_path, monkeypatch) -> None:
    monkeypatch.delattr(type(model), "weigh")
    status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-sp")
    assert (status, "leave out -sp" in err) == (6, True)


def test_dicom_is_totalsegmentators_name_of_a_structure_set(run, model, scan_path, tmp_path) -> None:
    status, _, err = run("segment", scan_path, "-o", tmp_path / "out", "-ot", "dicom")
    assert status == 3
    assert "structure set" in err.lower() or "dicom" in err.lower()
    assert "there is no such type" not in err
