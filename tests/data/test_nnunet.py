"""Folders of nnU-Net are read as they are: names, regions, channels, test scans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect import Grid, Volume
from prosect.data.check import check_datalist
from prosect.data.datalist import DataList, read_datalist, write_datalist
from prosect.data.labels import read_labelled
from prosect.data.mapping import mapping_of, mark_new, with_new
from prosect.data.mapping_pairs import parse_pair
from prosect.data.nnunet import label_pairs
from prosect.errors import RecipeError
from prosect.evaluation.masks import by_mapping
from prosect.io import read_labels
from worlds.files import save_nifti

GRID = Grid((10, 10, 10), np.eye(4))
TUMOUR = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3}


def block(first: int, last: int) -> tuple[slice, slice, slice]:
    """Return the cube between two corners on the diagonal."""
    return (slice(first, last),) * 3


def nested() -> np.ndarray:
    """Return labels 1, 2, 3 (i j k) that lie one in another, as edema, core and what enhances."""
    labels = np.zeros(GRID.shape, np.uint8)
    for value, (first, last) in {1: (1, 9), 2: (3, 8), 3: (4, 6)}.items():
        labels[block(first, last)] = value
    return labels


def data_set(folder: Path, labels: Any, cases: int = 2, channel: str = "_0000", **more: Any) -> Path:
    """Write a data set of version 2."""
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / name).mkdir(parents=True)
    scan = Volume(np.random.default_rng(0).normal(0, 99, GRID.shape).astype(np.float32), GRID)
    for n in range(cases):
        prosect.write(scan, folder / "imagesTr" / f"case_{n:03d}{channel}.nii.gz")
        save_nifti(folder / "labelsTr" / f"case_{n:03d}.nii.gz", nested(), np.eye(4))
    prosect.write(scan, folder / "imagesTs" / f"case_900{channel}.nii.gz")
    plain = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": cases, "file_ending": ".nii.gz", **more}
    (folder / "dataset.json").write_text(json.dumps(plain))
    return folder


@pytest.mark.parametrize("place", ["folder", "dataset.json"])
def test_names_and_files_come_from_the_folder(tmp_path: Path, place: str) -> None:
    folder = data_set(tmp_path / "Dataset003_Liver", {"background": 0, "liver": 1, "odd thing": 2, "spleen": 3})
    found = read_datalist(folder if place == "folder" else folder / place)
    assert [(entry.name, entry.split) for entry in found] == [
        ("case_000", "training"),
        ("case_001", "training"),
        ("case_900", "testing"),
    ]
    words = found.vocabulary
    names = {value: words[index or 0].name for value, index in found.mapping(found.entries[0]).values.items()}
    assert names == {1: "liver", 2: "odd thing", 3: "spleen"}
    assert all(report.fit for report in check_datalist(found.part("training")))
    labels = read_labelled(found.entries[0], found).labels
    for value, name in names.items():
        assert np.array_equal(labels.mask(name), nested() == value)


def test_a_region_is_where_any_of_its_values_is(tmp_path: Path) -> None:
    found = read_datalist(data_set(tmp_path, TUMOUR, regions_class_order=[1, 2, 3]))
    scan = read_labelled(found.entries[0], found)
    for name, least in {"whole tumor": 1, "tumor core": 2, "enhancing tumor": 3}.items():
        assert np.array_equal(scan.truth(name), nested() >= least), name
    assert sorted(found.vocabulary[index].name for index in scan.known) == [
        "enhancing tumor", "tumor core", "whole tumor",
    ]  # fmt: skip
    again = read_datalist(write_datalist(found.part("training"), tmp_path / "list.json"))
    assert np.array_equal(read_labelled(again.entries[0], again).truth("tumor core"), nested() >= 2)


def test_a_value_outside_all_regions_is_refused(tmp_path: Path) -> None:
    found = read_datalist(data_set(tmp_path, {"background": 0, "whole tumor": [1, 2]}))
    with pytest.raises(RecipeError) as refused:
        read_labelled(found.entries[0], found)
    assert refused.value.code == "LABELS_UNMAPPED"


def test_regions_are_typed_and_judged_like_those_of_a_list(tmp_path: Path) -> None:
    words = prosect.vocabulary.load("prosect")
    pairs = mark_new([parse_pair("1, 2,3=whole tumor"), parse_pair("3=enhancing tumor")], words)
    words = with_new(words, pairs)
    mapping = mapping_of(pairs, words)
    stored = read_labels(save_nifti(tmp_path / "a.nii.gz", nested()))
    masks = by_mapping(stored, mapping, words, "a.nii.gz")
    sums = sorted(int(mask.sum()) for _, mask in masks.values())
    assert sums == [int((nested() == 3).sum()), int((nested() >= 1).sum())]


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        ({"background": 0, "liver": 1, "ignore": 4}, {}, "ignored"),
        ({"background": 0, "liver": "one"}, {}, "whole numbers"),
        ({"background": 0, "liver": []}, {}, "whole numbers"),
        ({"background": 0, "liver": 1}, {"channel_names": {"0": "T1", "1": "FLAIR"}}, "2 images (T1, FLAIR)"),
    ],
)
def test_what_cannot_be_meant_here_is_refused(tmp_path: Path, labels: Any, more: Any, words: str) -> None:
    folder = data_set(tmp_path, labels, **more)
    for place in (folder, folder / "dataset.json"):
        with pytest.raises(RecipeError) as refused:
            read_datalist(place)
        assert refused.value.code == "DATALIST_INVALID"
        assert words in str(refused.value)


def test_version_1_has_the_value_first(tmp_path: Path) -> None:
    assert label_pairs({"0": "background", "1": "liver", "2": "cancer"}) == [[1, "liver"], [2, "cancer"]]
    folder = data_set(tmp_path, {"0": "background", "1": "liver", "2": "cancer", "3": "spleen"})
    found = read_datalist(folder)
    assert found.vocabulary[found.mapping(found.entries[0]).values[2] or 0].name == "cancer"


def test_a_mapping_of_ones_own_comes_first(tmp_path: Path) -> None:
    folder = data_set(tmp_path, {"background": 0, "x": 1, "y": 2, "z": 3})
    given = {"default": [(1, "liver"), (2, None), (3, "spleen")]}
    found: DataList = read_datalist(folder, mappings=given)
    assert found.mapping(found.entries[0]).values == {1: 1, 2: None, 3: 3}
