"""Which label file is judged by which: by case in folders and lists, by place where both are DICOM."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.errors import GeometryError, ProsectError, RecipeError
from prosect.evaluation.mask_pairs import MaskPair, pair_masks, read_pair
from prosect.evaluation.report import Evaluation
from prosect.geometry import Grid
from prosect.jobs import EvaluateMasksJob
from prosect.labelmap import LabelMap
from prosect.volume import Volume
from worlds.label_objects import labelled_series

WORDS = vocabulary.load("vista3d-ct")
GRID = Grid((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Volume, LabelMap]:
    """Return a folder with a DICOM series, the scan, and labels on it."""
    folder = tmp_path_factory.mktemp("series") / "ct"
    volume, labels = labelled_series(folder)
    return folder, volume, labels


def only_slices(labels: LabelMap, start: int, stop: int) -> LabelMap:
    """Return labels that are left in some slices alone."""
    array = np.zeros_like(labels.array)
    array[..., start:stop] = labels.array[..., start:stop]
    return replace(labels, array=array)


def store(labels: LabelMap, path: Path, volume: Volume | None = None) -> Path:
    """Write labels, in a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return prosect.write(labels, path, like=volume)


def judge(tmp_path: Path, truths: Path, results: Path, **words: object) -> Evaluation:
    """Return what comes of a job on these."""
    return EvaluateMasksJob(truths, results, tmp_path / "out", **words).run()[0]  # type: ignore[arg-type]


def dices(found: Evaluation) -> dict[tuple[str, str], float | None]:
    """Return the Dice by case and structure."""
    return {(row.case, row.structure): row.dice for row in found.rows}


SEG, PLAIN, OUTLINES = "a.seg.dcm", "a.nii.gz", "a.rtstruct.dcm"


@pytest.mark.parametrize(
    ("truth", "result"), [(SEG, SEG), (SEG, PLAIN), (PLAIN, SEG), (SEG, OUTLINES), (OUTLINES, SEG)]
)
def test_folders_of_dicom_labels_are_judged_whichever_holds_more_slices(
    series: tuple[Path, Volume, LabelMap], tmp_path: Path, truth: str, result: str
) -> None:
    _, volume, labels = series
    store(only_slices(labels, 1, 5), tmp_path / "truths" / truth, volume)
    store(only_slices(labels, 2, 6), tmp_path / "results" / result, volume)
    found = judge(tmp_path, tmp_path / "truths", tmp_path / "results")
    assert found.refused == []
    # Of the box in slices 1 to 3 the result has 2 and 3; of the block in 2 to 5 the truth has 2 to 4.
    assert dices(found)["a", "left kidney"] == pytest.approx(2 * 2 / (3 + 2))
    assert dices(found)["a", "liver"] == pytest.approx(2 * 3 / (3 + 4))


@pytest.mark.parametrize("layout", ["file", "folder of the object", "folder of results"])
def test_a_case_is_a_file_or_a_folder(series: tuple[Path, Volume, LabelMap], tmp_path: Path, layout: str) -> None:
    _, volume, labels = series
    results = tmp_path / "results"
    store(labels, tmp_path / "truths" / "p1.nii.gz")
    if layout == "file":
        store(labels, results / "p1.seg.dcm", volume)
    elif layout == "folder of the object":
        store(labels, results / "p1" / "1.2.3.4.seg.dcm", volume)
    else:
        store(labels, results / "p1" / "labels.seg.dcm", volume)
        store(labels, results / "p1" / "labels.rtstruct.dcm", volume)
    (pair,) = pair_masks(tmp_path / "truths", results)
    truth, result = read_pair(pair)
    assert pair.name == "p1"
    assert np.array_equal(truth.grid.affine, result.grid.affine)
    assert np.count_nonzero(result.array) == np.count_nonzero(labels.array)


def test_segmentations_of_two_series_are_refused(series: tuple[Path, Volume, LabelMap], tmp_path: Path) -> None:
    _, volume, labels = series
    other, its = labelled_series(tmp_path / "ct", "coronal")
    first = store(labels, tmp_path / "a.seg.dcm", volume)
    second = prosect.write(its, tmp_path / "b.seg.dcm", like=other)
    with pytest.raises(GeometryError, match="do not lie on slices of one series") as refused:
        read_pair(MaskPair("a", first, second))
    assert refused.value.code == "LABELS_ELSEWHERE"


def test_outlines_alone_need_the_scan_that_a_list_gives(series: tuple[Path, Volume, LabelMap], tmp_path: Path) -> None:
    folder, volume, labels = series
    path = store(labels, tmp_path / "a.rtstruct.dcm", volume)
    with pytest.raises(ProsectError) as refused:
        read_pair(MaskPair("a", path, path))
    assert refused.value.code == "LABELS_NEED_SCAN"
    truth, result = read_pair(MaskPair("a", path, path, scan=folder))
    assert np.array_equal(truth.array, result.array)
    assert np.count_nonzero(truth.array) == np.count_nonzero(labels.array)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a list of two cases, whose labels call the liver 7 and leave the spleen unnamed."""

    def write(**columns: str) -> Path:
        truth = np.zeros(GRID.shape, np.uint8)
        truth[1:5, 2:6, 2:5], truth[8:10, 2:6, 2:5] = 7, 9
        rows = []
        for case in ("a", "b"):
            prosect.write(Volume(truth * 10.0, GRID), tmp_path / f"{case}_0000.nii.gz")
            plain = LabelMap(truth, GRID, vocabulary.Vocabulary("none", ()))
            prosect.write(plain, tmp_path / f"{case}_truth.nii.gz")
            rows.append({"image": f"{case}_0000.nii.gz", "label": f"{case}_truth.nii.gz", **columns})
        with open(tmp_path / "list.csv", "w", newline="") as handle:
            writer = csv.DictWriter(handle, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        (tmp_path / "results").mkdir()
        return tmp_path / "list.csv"

    return write


def result_of(shift: int) -> LabelMap:
    """Return a result with a liver, and an organ that the list knows nothing of."""
    array = np.zeros(GRID.shape, np.uint8)
    array[1 + shift : 5 + shift, 2:6, 2:5] = WORDS["liver"].index
    array[0, 0, 0] = WORDS["aorta"].index
    return LabelMap(array, GRID, WORDS)


def test_a_list_says_what_truths_mean_and_results_say_it_by_their_names(
    listed: Callable[..., Path], tmp_path: Path
) -> None:
    place = listed()
    prosect.write(result_of(0), tmp_path / "results" / "a_0000.nii.gz")
    prosect.write(result_of(1), tmp_path / "results" / "b.seg.nrrd")
    found = judge(tmp_path, place, tmp_path / "results", pairs=("7=liver", "9=spleen"))
    assert found.refused == []
    by_case = {(case[0], name): value for (case, name), value in dices(found).items()}
    assert by_case == {("a", "liver"): 1, ("a", "spleen"): 0, ("b", "liver"): pytest.approx(0.75), ("b", "spleen"): 0}


def test_results_without_names_are_read_as_the_list_says(listed: Callable[..., Path], tmp_path: Path) -> None:
    place = listed()
    for case in ("a", "b"):
        shutil.copy(tmp_path / f"{case}_truth.nii.gz", tmp_path / "results" / f"{case}.nii.gz")
    found = judge(tmp_path, place, tmp_path / "results", pairs=("7=liver", "9=spleen"))
    assert set(dices(found).values()) == {1}


def test_a_scan_of_a_list_without_a_result_is_refused(listed: Callable[..., Path], tmp_path: Path) -> None:
    place = listed()
    prosect.write(result_of(0), tmp_path / "results" / "a.nii.gz")
    with pytest.raises(RecipeError, match="there is no result for b_0000"):
        judge(tmp_path, place, tmp_path / "results", pairs=("7=liver", "9="))


def test_the_testing_scans_of_a_list_are_judged(listed: Callable[..., Path], tmp_path: Path) -> None:
    place = listed()
    rows = place.read_text().splitlines()
    place.write_text(f"{rows[0]},split\n{rows[1]},testing\n{rows[2]},training\n")
    prosect.write(result_of(0), tmp_path / "results" / "a.nii.gz")
    found = judge(tmp_path, place, tmp_path / "results", pairs=("7=liver", "9="))
    assert [row.case[0] for row in found.rows] == ["a"]
    with pytest.raises(RecipeError, match="no result"):
        judge(tmp_path / "all", place, tmp_path / "results", pairs=("7=liver", "9="), split="all")
