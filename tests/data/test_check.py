"""Every file of a list is looked at before the first step, and everything that is wrong is told, by file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.data.check import EntryReport, check_datalist, refuse_unfit
from prosect.data.datalist import DataList, read_datalist
from prosect.data.labels import read_labelled
from prosect.errors import ProsectError, RecipeError
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
SHAPE = (6, 5, 4)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))


def values(*places: tuple[int, int]) -> np.ndarray:
    """Return labels with a value in the first voxels."""
    array = np.zeros(SHAPE, dtype=np.uint16)
    for n, (value, count) in enumerate(places):
        array[n, 0, :count] = value
    return array


def write_labels(path: Path, array: np.ndarray, affine: np.ndarray = GRID.affine) -> None:
    """Write labels as any tool may."""
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def listed(tmp_path: Path, entry: dict[str, Any] | None = None, **about: Any) -> DataList:
    """Return a list of one scan with a liver (1), and a bone (2) that means nothing here."""
    prosect.write(Volume(np.zeros(SHAPE, np.float32), GRID), tmp_path / "scan.nii.gz")
    if not (tmp_path / "label.nii.gz").exists():
        write_labels(tmp_path / "label.nii.gz", values((1, 3), (2, 1)))
    plain = {
        "training": [{"image": "scan.nii.gz", "label": "label.nii.gz", "fold": 0, **(entry or {})}],
        "label_mapping": [[1, "liver"], [2, None], [3, "spleen"]],
        **about,
    }
    (tmp_path / "list.json").write_text(json.dumps(plain))
    return read_datalist(tmp_path / "list.json")


def problems(datalist: DataList) -> list[tuple[str, str, bool]]:
    """Return file, code and weight of what is wrong with the only entry."""
    (report, *_) = check_datalist(datalist)
    return [(problem.file, problem.code, problem.fatal) for problem in report.problems]


def test_a_sound_list_has_no_problem_and_is_described(tmp_path: Path) -> None:
    told: list[EntryReport] = []
    (report,) = check_datalist(listed(tmp_path), on_entry=told.append)
    assert report.fit
    assert told == [report]
    assert (report.shape, report.spacing_mm, report.present, report.known) == (SHAPE, (2.0, 2.0, 3.0), ("liver",), 2)
    refuse_unfit((report,))
    json.dumps(report.to_json())


def test_values_are_translated_and_what_means_nothing_is_background(tmp_path: Path) -> None:
    datalist = listed(tmp_path)
    scan = read_labelled(datalist.entries[0], datalist)
    assert scan.labels.present == (1,)
    assert scan.truth("liver").sum() == 3
    assert scan.known == (1, 3)


@pytest.mark.parametrize(
    ("array", "affine", "found"),
    [
        (values((1, 2), (7, 1)), None, [("label", "LABELS_UNMAPPED", True)]),
        (values((1, 2))[:5], None, [("label", "LABEL_SHAPE", True)]),
        (values((1, 2)), np.diag([2.0, 2.0, 3.01, 1.0]), [("label", "LABEL_AFFINE", True)]),
        (values((1, 2)).astype(np.float32) + 0.5, None, [("label", "LABELS_NOT_INTEGER", True)]),
        (values((1, 2)).astype(np.float32), None, []),
        (values(), None, [("label", "LABELS_EMPTY", False)]),
        (values((2, 4)), None, [("label", "LABELS_EMPTY", False)]),
    ],
)
def test_labels_that_do_not_fit_are_found(tmp_path: Path, array: np.ndarray, affine: Any, found: Any) -> None:
    write_labels(tmp_path / "label.nii.gz", array, GRID.affine if affine is None else affine)
    datalist = listed(tmp_path)
    assert problems(datalist) == found
    fatal = [code for _, code, weight in found if weight]
    if fatal:
        with pytest.raises(ProsectError) as refused:
            read_labelled(datalist.entries[0], datalist)
        assert refused.value.code == fatal[0], "training would meet the same refusal"


def test_missing_and_damaged_files_are_found_by_name(tmp_path: Path) -> None:
    assert problems(listed(tmp_path, {"label": "none.nii.gz"})) == [("label", "INPUT_NOT_FOUND", True)]
    assert problems(listed(tmp_path, {"image": "none.nii.gz"})) == [("image", "INPUT_NOT_FOUND", True)]
    whole = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[:-9])
    assert problems(listed(tmp_path, {"image": "cut.nii.gz"})) == [("image", "INPUT_TRUNCATED", True)]


def test_pseudo_labels_and_supervoxels_are_looked_at_too(tmp_path: Path) -> None:
    write_labels(tmp_path / "pseudo.nii.gz", values((1, 2), (9999, 1)))
    write_labels(tmp_path / "regions.nii.gz", values((5, 2))[:, :4])
    more = {"pseudo_label": "pseudo.nii.gz", "label_sv": "regions.nii.gz"}
    assert problems(listed(tmp_path, more)) == [
        ("pseudo_label", "LABELS_UNMAPPED", True), ("label_sv", "LABEL_SHAPE", True)
    ]  # fmt: skip
    unused = {"pseudo_label": "pseudo.nii.gz", "pseudo_label_reliability": 0}
    assert problems(listed(tmp_path, unused)) == [], "unreliable ones are never read"


def test_a_structure_a_scan_was_not_labelled_for_must_not_be_in_its_labels(tmp_path: Path) -> None:
    assert problems(listed(tmp_path, {"labelled": ["spleen"]})) == [("label", "LABELS_UNLISTED", True)]
    assert problems(listed(tmp_path, {"labelled": ["liver"]})) == []


def test_a_scan_in_two_splits_is_found(tmp_path: Path) -> None:
    datalist = listed(tmp_path, testing=[{"image": "scan.nii.gz", "label": "label.nii.gz", "name": "again"}])
    assert problems(datalist) == [("image", "SPLIT_LEAK", True)]


def test_a_scan_without_labels_is_noted(tmp_path: Path) -> None:
    datalist = listed(tmp_path, training=[{"image": "scan.nii.gz"}])
    assert problems(datalist) == [("label", "LABEL_MISSING", False)]


def test_an_unfit_list_is_refused_with_the_first_few(tmp_path: Path) -> None:
    reports = check_datalist(listed(tmp_path, {"label": "none.nii.gz"}))
    with pytest.raises(RecipeError, match=r"1 of 1 scans.*scan: \[INPUT_NOT_FOUND\]") as refused:
        refuse_unfit(reports)
    assert refused.value.code == "DATALIST_UNFIT"


def test_more_may_be_tolerated_by_name(tmp_path: Path) -> None:
    write_labels(tmp_path / "label.nii.gz", values((1, 2)), np.diag([2.0, 2.0, 3.001, 1.0]))
    datalist = listed(tmp_path)
    assert problems(datalist) == [("label", "LABEL_AFFINE", True)]
    assert check_datalist(datalist, tolerance_mm=0.1)[0].fit


def test_layered_labels_keep_their_layers(tmp_path: Path) -> None:
    masks = np.zeros((2, *SHAPE), dtype=bool)
    masks[0, :3], masks[1, 2:5] = True, True
    prosect.write(LabelLayers(masks, (1, 3), GRID, WORDS), tmp_path / "label.nii.gz")
    datalist = listed(tmp_path)
    scan = read_labelled(datalist.entries[0], datalist)
    np.testing.assert_array_equal(scan.truth("liver"), masks[0])
    np.testing.assert_array_equal(scan.truth("spleen"), masks[1])


def test_labels_above_255_keep_their_values(tmp_path: Path) -> None:
    prosect.write(LabelMap(values((300, 2)), GRID, vocabulary.load("vista3d-ctmr")), tmp_path / "label.nii.gz")
    datalist = listed(tmp_path, label_mapping=[[300, 300], [44, 3]])
    assert read_labelled(datalist.entries[0], datalist).labels.present == (300,)
