"""Which scans a folder holds, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.cohort.manifest import find_scans, refuse_clashes, stamp
from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.volume import Volume

Dicom = Callable[..., None]
PLANNED = lambda name: (f"{name}.nii.gz",)  # noqa: E731


def scan(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return prosect.write(Volume(np.zeros((2, 3, 4), np.float32), Grid((2, 3, 4), np.eye(4))), path)


def names(folder: Path) -> list[str]:
    return [found.name for found in find_scans(folder).scans]


def test_every_image_below_the_folder_is_a_scan_named_by_its_place(tmp_path: Path) -> None:
    for place in ("b.nii.gz", "a.nrrd", "p1/ct.mha", "p1/deep/ct.nii"):
        scan(tmp_path / place)
    assert names(tmp_path) == ["a", "b", "p1_ct", "p1_deep_ct"]


def test_an_image_under_a_foreign_name_is_a_scan_by_its_content(tmp_path: Path) -> None:
    scan(tmp_path / "a.nii.gz").rename(tmp_path / "volume.bin")
    assert names(tmp_path) == ["volume.bin"]


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"\x1f\x8b\x08\x00broken"])
def test_a_file_that_only_its_name_calls_an_image_is_not_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert names(tmp_path) == ["a"]


def test_other_files_are_counted_by_what_they_are(tmp_path: Path) -> None:
    scan(tmp_path / "a.nii")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "more.csv").write_text("a,b")
    (tmp_path / "voxels.raw").write_bytes(b"\x08\x00\x05\x00" + bytes(200))
    found = find_scans(tmp_path)
    assert [s.name for s in found.scans] == ["a"]
    assert found.passed == {"a text file": 2, "voxel data of a header": 1}


def test_hidden_files_and_the_folder_of_results_are_left_out(tmp_path: Path) -> None:
    for place in ("a.nii", ".hidden.nii", ".cache/b.nii", "labels/a.nii", "__MACOSX/c.nii"):
        scan(tmp_path / place)
    assert [s.name for s in find_scans(tmp_path, skip=[tmp_path / "labels"]).scans] == ["a"]


def test_a_folder_of_slices_is_one_scan_and_alone_one_series(tmp_path: Path, dicom: Dicom) -> None:
    dicom(tmp_path / "patient", "1.2.333")
    (tmp_path / "patient" / "README").write_text("about")
    found = find_scans(tmp_path)
    assert [(s.name, s.path, s.series, len(s.files)) for s in found.scans] == [
        ("patient", tmp_path / "patient", "1.2.333", 3)
    ]
    assert found.is_one_series
    scan(tmp_path / "a.nii")
    assert not find_scans(tmp_path).is_one_series


def test_each_series_of_a_study_is_a_scan_that_the_reader_can_find(tmp_path: Path, dicom: Dicom) -> None:
    dicom(tmp_path / "study", "1.2.11111111")
    dicom(tmp_path / "study", "1.2.22222222", count=4)
    dicom(tmp_path / "study" / "later", "1.2.33333333", count=5)
    found = find_scans(tmp_path).scans
    assert [s.name for s in found] == ["study_11111111", "study_22222222", "study_later"]
    assert [prosect.read(s.path, series=s.series).grid.shape[2] for s in found] == [3, 4, 5]


def test_series_with_the_same_short_id_keep_their_whole_one(tmp_path: Path, dicom: Dicom) -> None:
    dicom(tmp_path / "study", "1.2.1.99999999")
    dicom(tmp_path / "study", "1.2.2.99999999")
    assert names(tmp_path) == ["study_1.2.1.99999999", "study_1.2.2.99999999"]


def test_a_series_in_a_folder_and_below_it_is_one_and_side_by_side_two(tmp_path: Path, dicom: Dicom) -> None:
    dicom(tmp_path / "a", "1.2.1")
    dicom(tmp_path / "a" / "more", "1.2.1", count=1)
    dicom(tmp_path / "b", "1.2.1")
    assert [(s.name, len(s.files)) for s in find_scans(tmp_path).scans] == [("a", 4), ("b", 3)]


def test_dicom_that_is_no_scan_is_passed_over_and_a_damaged_series_is_not(tmp_path: Path, dicom: Dicom) -> None:
    dicom(tmp_path / "seg", "1.2.1", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    dicom(tmp_path / "cut", "1.2.2", count=1)
    whole = next((tmp_path / "cut").iterdir())
    whole.write_bytes(whole.read_bytes()[:200])
    found = find_scans(tmp_path)
    assert [s.name for s in found.scans] == ["cut"]
    assert found.passed == {"not images": 3}
    with pytest.raises(prosect.ProsectError):
        prosect.read(found.scans[0].path, series=found.scans[0].series)


@pytest.mark.parametrize(("one", "other"), [("a.nii.gz", "a.nrrd"), ("a.nii", "A.mha"), ("p/ct.nii", "p_ct.nii")])
def test_results_that_would_overwrite_one_another_are_refused_with_both_names(
    tmp_path: Path, one: str, other: str
) -> None:
    scan(tmp_path / one)
    scan(tmp_path / other)
    with pytest.raises(FormatError, match="overwrite one another") as refused:
        refuse_clashes(find_scans(tmp_path).scans, PLANNED)
    assert refused.value.code == "OUTPUT_NAME_CLASH"
    assert Path(one).name in str(refused.value)
    assert Path(other).name in str(refused.value)


def test_names_that_differ_only_in_unicode_form_clash(tmp_path: Path) -> None:
    scan(tmp_path / "caf\u00e9.nii")
    scan(tmp_path / "cafe\u0301.nii")
    with pytest.raises(FormatError, match="overwrite"):
        refuse_clashes(find_scans(tmp_path).scans, PLANNED)


def test_a_name_that_the_run_needs_itself_is_refused(tmp_path: Path) -> None:
    scan(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="the run itself"):
        refuse_clashes(find_scans(tmp_path).scans, PLANNED, reserved=["A.nii.gz"])


def test_the_stamp_changes_with_the_content_and_survives_a_look(tmp_path: Path) -> None:
    path = scan(tmp_path / "a.nii")
    (found,) = find_scans(tmp_path).scans
    before = stamp(found)
    path.read_bytes()
    assert stamp(found) == before
    path.write_bytes(path.read_bytes() + b"x")
    assert stamp(found) != before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that is closed to this user")
def test_a_closed_folder_is_refused_rather_than_skipped(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    with pytest.raises(FormatError) as refused:
        find_scans(tmp_path)
    assert refused.value.code == "INPUT_UNREADABLE"
