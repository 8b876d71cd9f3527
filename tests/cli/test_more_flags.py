"""Flags of TotalSegmentator that mean something: sets, lists, small pieces, medians, radiomics and the coarse grid."""

from __future__ import annotations

import json

import numpy as np
import pytest

import prosect
from prosect.checkpoints import catalog
from prosect.cli.arguments.tasks import LISTS, TASKS
from prosect.geometry import Grid
from prosect.volume import Volume
from worlds.refusals import names


@pytest.mark.parametrize("flag", ["-f", "--fast", "-ff", "--fastest"])
def test_fast_reaches_the_model_and_the_report(run, model, scan_path, tmp_path, flag) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o", flag)[0] == 0
    assert model.calls[0]["fast"] is True
    assert json.loads((tmp_path / "o" / "report.json").read_text())["parameters"]["fast"] is True


@pytest.mark.parametrize("name", ["prosect-small", "prosect-torso"])
def test_fast_says_what_it_cost_on_validation_by_the_figures_of_the_catalogue(run, model, scan_path, tmp_path, name):
    cost = catalog.CATALOG[name].fast_cost
    assert cost is not None
    assert 0 < cost.fast_dice < cost.dice < 1
    model.name = f"{name}+fake"
    out = run("segment", scan_path, "-o", tmp_path / "a.nii.gz", "-f")[1]
    said = f"--fast, {name}: on {cost.scans} validation scans the coarser grid has a mean Dice of {cost.fast_dice:.2f}"
    assert said in " ".join(out.split())
    assert "--fast, fake: nobody measured" in out
    assert "--fast" not in run("segment", scan_path, "-o", tmp_path / "b.nii.gz")[1]


def test_the_set_total_is_everything_and_body_is_the_body(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "a.nii.gz", "-ta", "total")[0] == 0
    assert "liver" in prosect.read_labels(tmp_path / "a.nii.gz").names.values()
    assert run("segment", scan_path, "-o", tmp_path / "b.nii.gz", "-ta", "body")[0] == 0
    assert list(prosect.read_labels(tmp_path / "b.nii.gz").names.values()) == ["body"]


def test_an_unknown_set_and_a_set_beside_names_are_refused(run, model, scan_path, tmp_path) -> None:
    status, _, err = run("segment", scan_path, "-o", tmp_path / "a.nii.gz", "-ta", "head_muscles")
    assert (status, "head_muscles: no model here has a set of this name" in err) == (2, True)
    status, _, err = run("segment", scan_path, "-o", tmp_path / "a.nii.gz", "-ta", "body", "-rs", "liver")
    assert (status, "give one of them" in err) == (2, True)
    assert model.calls == []


def test_sets_and_their_structures_are_listed_without_a_scan(run) -> None:
    status, out, _ = run("segment", "-lt", "-m", "vista3d")
    assert status == 0
    for name in ("total", *TASKS, *LISTS):
        assert f"{name}: " in out
    status, out, _ = run("segment", "-lc", "-m", "vista3d")
    assert (status, "1 liver\n" in out) == (0, True)
    assert run("segment", "-lc", "kidney_cysts", "-m", "vista3d")[1].splitlines()[0].endswith("left kidney cyst")


def test_small_blobs_go_with_the_default_or_a_given_volume(run, model, tmp_path) -> None:
    array = np.full((12, 10, 8), -1000.0, dtype=np.float32)
    array[1:8, 1:7, 1:6], array[10, 8, 6] = 55.0, 55.0
    scan = Volume(array, Grid(array.shape, np.diag([3.0, 3.0, 5.0, 1.0])), "CT")
    path = prosect.write(scan, tmp_path / "s.nii.gz")
    for number, (words, voxels) in enumerate(
        [([], 211), (["-rmb"], 210), (["-rmb", "40"], 211), (["-rmb", "46"], 210)]
    ):
        place = tmp_path / f"{number}.nii.gz"
        assert run("segment", path, "-o", place, *words)[0] == 0
        assert (prosect.read_labels(place).array > 0).sum() == voxels, words


def test_the_median_replaces_the_mean_in_the_json(run, model, tmp_path) -> None:
    array = np.full((6, 5, 4), -1000.0, dtype=np.float32)
    array[1, 1, 1:4] = [10, 20, 90]
    path = prosect.write(Volume(array, Grid(array.shape, np.eye(4)), "CT"), tmp_path / "s.nii.gz")
    for words, value in (([], 40), (["-sa", "mean"], 40), (["-sa", "median"], 20)):
        assert run("segment", path, "-o", tmp_path / "o.nii.gz", "--overwrite", *words, "-s")[0] == 0
        rows = json.loads((tmp_path / "o_statistics.json").read_text())
        assert rows["liver"]["intensity"] == value


def test_radiomics_are_written_under_the_names_of_ibsi(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-r", "-rs", "liver", "spleen")[0] == 0
    rows = json.loads((tmp_path / "o_statistics_radiomics.json").read_text())
    assert rows["liver"]["stat_mean"] == 55
    assert rows["liver"]["morph_vol_approx"] == 96 * 45
    assert rows["spleen"] == {}
    assert "o_statistics.json" not in names(tmp_path)
