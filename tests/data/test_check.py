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
from prosect.data.datalist import DataList, read_datalist, write_datalist
from prosect.data.labels import read_labelled, refuse_other_grid
from prosect.data.mapping import mapping_of, with_new
from prosect.data.mapping_pairs import parse_pair
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
    with pytest.raises(RecipeError, match=r"1 of 1 scans.*scan \[INPUT_NOT_FOUND\]") as refused:
        refuse_unfit(reports)
    assert refused.value.code == "DATALIST_UNFIT"


def test_more_may_be_tolerated_by_name(tmp_path: Path) -> None:
    write_labels(tmp_path / "label.nii.gz", values((1, 2)), np.diag([2.0, 2.0, 3.01, 1.0]))
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


def test_a_name_in_the_file_that_is_not_the_mappings_is_refused(tmp_path: Path) -> None:
    labels = LabelMap(values((1, 3), (3, 2)), GRID, WORDS)
    prosect.write(labels, tmp_path / "label.nii.gz")  # its names: 1 liver, 3 spleen
    assert problems(listed(tmp_path)) == []
    swapped = listed(tmp_path, label_mapping=[[1, "spleen"], [3, "liver"]])
    (report,) = check_datalist(swapped)
    (problem,) = report.problems
    assert (problem.code, problem.fatal) == ("LABELS_CONTRADICTED", True)
    for part in ("label.nii.gz", "value 1 'liver'", "'spleen'"):
        assert part in problem.message


def test_new_structures_whose_names_are_swapped_in_the_file_are_refused(tmp_path: Path) -> None:
    names = {1: "lesion A", 2: "lesion B"}
    mapping = mapping_of([(1, "+lesion B"), (2, "+lesion A")], with_new(WORDS, [(1, "+lesion B"), (2, "+lesion A")]))
    words = with_new(WORDS, [(1, "+lesion B"), (2, "+lesion A")])
    with pytest.raises(RecipeError) as refused:
        mapping.in_file(names, (1,), words, "a.nrrd")
    assert refused.value.code == "LABELS_CONTRADICTED"
    assert mapping.in_file({1: "Segment_1"}, (1, 2), words, "a.nrrd").values == mapping.values


@pytest.mark.parametrize("pairs", [["Liver", "spleen", "bone="], ["hepar X=liver", "spleen", "bone="]])
def test_a_mapping_by_name_follows_the_values_of_each_file(pairs: list[str], tmp_path: Path) -> None:
    own_name = pairs[0].partition("=")[0]
    for case, (liver, spleen) in {"a": (1, 2), "b": (7, 1)}.items():
        names = {liver: own_name, spleen: "spleen", 9: "bone"}
        keys = "".join(f"Segment{v}_Name:={n}\nSegment{v}_LabelValue:={v}\n" for v, n in names.items())
        header = (
            "NRRD0004\ntype: uint8\ndimension: 3\nspace: RAS\nsizes: 6 5 4\n"
            "space directions: (2,0,0) (0,2,0) (0,0,3)\nencoding: raw\nspace origin: (0,0,0)\n"
        )
        array = values((liver, 3), (spleen, 2), (9, 1)).astype(np.uint8)
        (tmp_path / f"{case}.nrrd").write_bytes((header + keys + "\n").encode() + array.tobytes(order="F"))
        prosect.write(Volume(np.zeros(SHAPE, np.float32), GRID), tmp_path / f"{case}.nii.gz")
    entries = [{"image": f"{case}.nii.gz", "label": f"{case}.nrrd", "labelled": "liver"} for case in ("a", "b")]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}))
    given = {"default": [parse_pair(text) for text in pairs]}
    refused = read_datalist(tmp_path / "list.json", mappings=given)
    assert problems(refused) == [("label", "LABELS_UNLISTED", True)], "the spleen was not looked for"
    for entry in entries:
        del entry["labelled"]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}))
    found = read_datalist(tmp_path / "list.json", mappings=given)
    for entry in found:
        scan = read_labelled(entry, found)
        assert scan.known == (1, 3)
        assert (scan.truth("liver").sum(), scan.truth("spleen").sum()) == (3, 2)
    again = read_datalist(write_datalist(found, tmp_path / "again.json"))
    assert again.mappings == found.mappings


def test_names_are_needed_where_the_mapping_goes_by_names(tmp_path: Path) -> None:
    assert problems(listed(tmp_path, label_mapping=[["liver", "liver"]])) == [("label", "LABELS_UNMAPPED", True)]


def test_pseudo_labels_with_the_names_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    datalist = listed(tmp_path, {"pseudo_label": "pseudo.nrrd"})
    header = "NRRD0004\ntype: uint8\ndimension: 3\nspace: RAS\nsizes: 6 5 4\nencoding: raw\nspace origin: (0,0,0)\n"
    header += "space directions: (2,0,0) (0,2,0) (0,0,3)\nSegment0_Name:=spleen\nSegment0_LabelValue:=1\n\n"
    (tmp_path / "pseudo.nrrd").write_bytes(header.encode() + values((1, 3)).astype(np.uint8).tobytes(order="F"))
    assert problems(datalist) == [("pseudo_label", "LABELS_CONTRADICTED", True)]


def test_overlapping_segments_are_labels_like_others(tmp_path: Path) -> None:
    stored = np.zeros((2, *SHAPE), np.uint8)
    stored[0, :3, 0, 0], stored[0, 4, 0, 0], stored[1, 1, 0, 0] = 1, 2, 1
    header = "NRRD0004\ntype: uint8\ndimension: 4\nspace: RAS\nsizes: 2 6 5 4\nkinds: list domain domain domain\n"
    header += "space directions: none (2,0,0) (0,2,0) (0,0,3)\nencoding: raw\nspace origin: (0,0,0)\n"
    for n, (name, value, layer) in enumerate((("liver", 1, 0), ("spleen", 2, 0), ("hepatic tumor", 1, 1))):
        header += f"Segment{n}_Name:={name}\nSegment{n}_LabelValue:={value}\nSegment{n}_Layer:={layer}\n"
    (tmp_path / "a.seg.nrrd").write_bytes((header + "\n").encode() + stored.tobytes(order="F"))
    pairs = [["liver", "liver"], ["spleen", "spleen"], ["hepatic tumor", "hepatic tumor"]]
    datalist = listed(tmp_path, {"label": "a.seg.nrrd"}, label_mapping=pairs)
    assert problems(datalist) == []
    labels = read_labelled(datalist.entries[0], datalist).labels
    counts = [int(labels.mask(name).sum()) for name in ("liver", "spleen", "hepatic tumor")]
    assert counts == [3, 1, 1]


def test_label_values_beside_whole_numbers_are_taken_and_said(tmp_path: Path) -> None:
    write_labels(tmp_path / "label.nii.gz", values((1, 3)).astype(np.float32) * np.float32(1.003))
    with pytest.warns(prosect.errors.ProsectWarning, match="by up to 0.003, in 3 voxels; they were rounded"):
        assert problems(listed(tmp_path)) == []
    write_labels(tmp_path / "label.nii.gz", values((1, 3)).astype(np.float32) * np.float32(1.02))
    (report,) = check_datalist(listed(tmp_path))
    assert report.problems[0].code == "LABELS_NOT_INTEGER"
    assert "1.02" in report.problems[0].message
    array = values((1, 3)).astype(np.float32)
    array[5] = np.nan
    write_labels(tmp_path / "label.nii.gz", array)
    (report,) = check_datalist(listed(tmp_path))
    assert "20 values are NaN" in report.problems[0].message


@pytest.mark.parametrize(("shift_mm", "fits"), [(0.007, True), (0.02, False)])
def test_headers_that_differ_by_rounding_are_one_grid(shift_mm: float, fits: bool, tmp_path: Path) -> None:
    affine = GRID.affine.copy()
    affine[0, 3] += shift_mm
    write_labels(tmp_path / "label.nii.gz", values((1, 3)), affine)
    assert problems(listed(tmp_path)) == ([] if fits else [("label", "LABEL_AFFINE", True)])


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(prosect.errors.UsageError, match="-1 mm"):
        refuse_other_grid(GRID, GRID, "a.nii.gz", -1.0)
