"""Label files that exist are judged by name, in millimetres, and a miss counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.errors import RecipeError
from prosect.evaluation.mask_pairs import pair_masks
from prosect.geometry import Grid
from prosect.jobs import EvaluateMasksJob
from prosect.labelmap import LabelMap

WORDS = vocabulary.load("prosect")
GRID = Grid((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))


def write_pair(folder: Path, case: str, shift: int, with_spleen: bool) -> None:
    """Write a liver and a spleen, and a result whose liver is moved and that may lack the spleen."""
    truth = np.zeros(GRID.shape, np.uint8)
    truth[1:5, 2:6, 2:5], truth[8:10, 2:6, 2:5] = 1, 3
    result = np.roll(truth * (truth == 1), shift, axis=1)
    if with_spleen:
        result[truth == 3] = 3
    for name, array, ending in (("truths", truth, "nii.gz"), ("results", result, "seg.nrrd")):
        (folder / name).mkdir(exist_ok=True)
        prosect.write(LabelMap(array, GRID, WORDS), folder / name / f"{case}.{ending}")


@pytest.mark.parametrize("pairs", [(), ("1=liver", "3=spleen"), ("liver", "spleen")])
def test_a_miss_is_counted_and_no_mean_is_no_number(pairs: tuple[str, ...], tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 0, with_spleen=True)
    write_pair(tmp_path, "b", 2, with_spleen=False)
    job = EvaluateMasksJob(tmp_path / "truths", tmp_path / "results", tmp_path / "out", pairs)
    assert EvaluateMasksJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    found, _ = job.run()
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    liver, spleen = written["sections"]["masks"]["structures"]
    assert (liver["structure"], liver["missed"], liver["hd95_mm"]) == ("liver", 0, pytest.approx(1.0))
    assert (spleen["structure"], spleen["missed"], spleen["present"]) == ("spleen", 1, 2)
    assert spleen["dice"]["value"] == pytest.approx(0.5), "the miss counts 0"
    assert (spleen["hd95_mm"], spleen["surface_mm"]) == (0, 0), "a miss has no distance"
    assert written["sections"]["masks"]["means"]["hd95_mm"]["value"] == pytest.approx(0.5)
    assert {row.case for row in found.rows} == {"a", "b"}
    assert "missed" in (tmp_path / "out" / "summary.csv").read_text().splitlines()[0]
    assert "1 of 2" in (tmp_path / "out" / "report.md").read_text()


def test_a_truth_without_a_result_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 0, with_spleen=True)
    write_pair(tmp_path, "b", 0, with_spleen=True)
    (tmp_path / "results" / "b.seg.nrrd").unlink()
    with pytest.raises(RecipeError, match="no result for the truth b"):
        pair_masks(tmp_path / "truths", tmp_path / "results")


def test_a_result_elsewhere_is_refused_and_the_others_are_judged(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 0, with_spleen=True)
    write_pair(tmp_path, "b", 0, with_spleen=True)
    moved = Grid(GRID.shape, np.diag([1.0, 1.0, 3.0, 1.0]))
    prosect.write(LabelMap(np.ones(GRID.shape, np.uint8), moved, WORDS), tmp_path / "results" / "b.seg.nrrd")
    found, _ = EvaluateMasksJob(tmp_path / "truths", tmp_path / "results", tmp_path / "out").run()
    assert [(each.case, each.code) for each in found.refused] == [("b", "LABEL_AFFINE")]
    assert {row.case for row in found.rows} == {"a"}
