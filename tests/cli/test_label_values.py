"""`--renumber` and `--label-tables` from the command line to a verified result."""

from __future__ import annotations

import json

import pytest

import prosect


def test_a_renumbered_result_with_tables_is_verified(run, model, scan_path, tmp_path) -> None:
    words = ["-rs", "kidney", "liver", "--renumber", "--label-tables", "-ml"]
    assert run("segment", scan_path, "-o", tmp_path / "out", *words)[0] == 0
    names = prosect.read_labels(tmp_path / "out" / "labels.nii.gz").names
    assert list(names) == [1, 2, 3]
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"] == {
        "background": 0, **{name: value for value, name in names.items()}
    }  # fmt: skip
    status, said, err = run("verify", tmp_path / "out", "--input", scan_path)
    assert (status, err) == (0, "")
    assert "4 of 4 equal byte for byte" in said


def test_folders_of_scans_take_both(run, model, scan_path, tmp_path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    scan_path.rename(scans / "a.nii.gz")
    words = ["-rs", "liver", "--renumber", "--label-tables"]
    assert run("segment", scans, "-o", tmp_path / "out", *words)[0] == 0
    assert prosect.read_labels(tmp_path / "out" / "a.nii.gz").names == {1: "liver"}
    assert (tmp_path / "out" / "a.label.txt").is_file()
    assert (tmp_path / "out" / "a_dataset.json").is_file()


@pytest.mark.parametrize(("place", "flag"), [("a.mha", "--renumber"), ("a.nrrd", "--label-tables")])
def test_both_are_refused_where_they_mean_nothing_before_a_model_is_loaded(
    run, model, scan_path, tmp_path, place, flag
) -> None:
    assert run("segment", scan_path, "-o", tmp_path / place, flag)[0] == 3
    assert model.calls == []
