"""Label values and their names for other programs: what each program reads is what the labels are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import results
from prosect.errors import OutputError
from prosect.io.stored import Label
from prosect.labelmap import LabelLayers
from prosect.results import request_for
from prosect.results.label_tables import as_itksnap, as_slicer, file_values

ITKSNAP_LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+([01])\s+"([^"]*)"')


def itksnap(text: str) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Read label descriptions as ITK-SNAP does: eight columns, lines of # aside."""
    rows = [ITKSNAP_LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    return {int(row[1]): (row[8], tuple(int(row[n]) for n in (2, 3, 4))) for row in rows if row}


def slicer(text: str) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Read a colour table as 3D Slicer does: six columns parted by blanks."""
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(len(row) == 6 for row in rows)
    return {int(row[0]): (row[1], tuple(map(int, row[2:5]))) for row in rows}


@pytest.mark.parametrize("renumber", [False, True])
def test_every_table_names_the_values_in_the_file(found, tmp_path: Path, renumber: bool) -> None:
    labels, volume = found
    place = tmp_path / "ct.nii.gz"
    results.write(labels, volume, request_for(place, label_tables=True, renumber=renumber))
    stored = prosect.read_labels(place)
    assert set(np.unique(stored.array)) <= {0, *stored.names}
    colours = {structure.name: structure.color for structure in labels.vocabulary}
    expected = {value: (name, colours[name]) for value, name in stored.names.items()}
    snap = itksnap((tmp_path / "ct.label.txt").read_text())
    assert snap.pop(0) == ("Clear Label", (0, 0, 0))
    assert snap == expected
    table = slicer((tmp_path / "ct.ctbl").read_text())
    assert table.pop(0)[0] == "background"
    assert table == {value: (name.replace(" ", "_"), rgb) for value, (name, rgb) in expected.items()}
    dataset = json.loads((tmp_path / "ct_dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, **{name: value for value, name in stored.names.items()}}
    assert (dataset["file_ending"], dataset["channel_names"]) == (".nii.gz", {"0": "CT"})


def test_renumbered_files_hold_1_to_n_and_are_read_back_by_name(found, tmp_path: Path) -> None:
    labels, volume = found
    results.write(labels, volume, request_for(tmp_path / "out", multilabel=True, per_class=True, renumber=True))
    for kind in ("nii.gz", "nrrd"):
        place = tmp_path / f"labels.{kind}"
        results.write(labels, volume, request_for(place, renumber=True))
        stored = prosect.read_labels(place)
        assert list(stored.names) == list(range(1, len(labels.sought) + 1)), "absent structures keep their number"
        for value, name in stored.names.items():
            np.testing.assert_array_equal(stored.array == value, labels.mask(name))
    np.testing.assert_array_equal(prosect.read_labels(tmp_path / "out" / "liver.nii.gz").array, labels.mask("liver"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["value"] for row in report["structures"]] == list(range(1, len(labels.sought) + 1))
    assert [row["index"] for row in report["structures"]] == list(labels.sought)


def test_layers_are_renumbered_too(found, tmp_path: Path) -> None:
    labels, volume = found
    layers = LabelLayers(
        np.stack([labels.array > 0, labels.array == 1]), (25, 1), labels.grid, labels.vocabulary, {"classes": [1, 25]}
    )
    results.write(layers, volume, request_for(tmp_path / "o.nii.gz", overlap=True, renumber=True))
    stored = prosect.read_labels(tmp_path / "o.nii.gz")
    assert (stored.layers, stored.names) == ((2, 1), {2: "hepatic vessel", 1: "liver"})


def test_values_above_255_shrink_to_one_byte(found) -> None:
    labels, _ = found
    assert file_values(labels, renumber=False) == {}
    assert list(file_values(labels, renumber=True)) == list(labels.sought)
    assert list(file_values(labels, renumber=True).values()) == [*range(1, len(labels.sought) + 1)]


@pytest.mark.parametrize(
    ("name", "flags", "word"),
    [
        ("a.nrrd", {"label_tables": True}, "NIfTI file"),
        ("masks", {"label_tables": True}, "with -ml"),
        ("a.nii.gz", {"label_tables": True, "overlap": True}, "leave out --overlap"),
        ("a.mha", {"renumber": True}, "holds no names"),
    ],
)
def test_what_no_table_can_describe_is_refused_before_the_work(tmp_path: Path, name: str, flags, word: str) -> None:
    with pytest.raises(OutputError, match=word):
        results.refuse(request_for(tmp_path / name, **flags))


def test_tables_of_a_folder_have_the_names_that_programs_look_for(found, tmp_path: Path) -> None:
    labels, volume = found
    results.write(labels, volume, request_for(tmp_path / "out", multilabel=True, label_tables=True))
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"labels.nii.gz", "labels.label.txt", "labels.ctbl", "dataset.json", "report.json"}


def test_a_table_that_exists_is_not_replaced(found, tmp_path: Path) -> None:
    (tmp_path / "ct.ctbl").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        results.refuse(request_for(tmp_path / "ct.nii.gz", label_tables=True))


def test_odd_names_break_no_table() -> None:
    odd = [Label(7, 'a "b"  c', (1, 2, 3))]
    assert itksnap(as_itksnap(odd).decode())[7] == ("a 'b'  c", (1, 2, 3))
    assert slicer(as_slicer(odd).decode())[7] == ('a_"b"_c', (1, 2, 3))


def test_results_of_a_finetuned_model_have_the_values_of_its_training(found, tmp_path: Path) -> None:
    labels, volume = found
    index = labels.present[0]
    taught = replace(labels, provenance={**labels.provenance, "label_values": {index: 7}})
    results.write(taught, volume, request_for(tmp_path / "ct.nii.gz", report=True))
    assert prosect.read_labels(tmp_path / "ct.nii.gz").names[7] == labels.name_of(index)
    listed = json.loads((tmp_path / "ct_report.json").read_text())["structures"]
    assert {row["index"]: row["value"] for row in listed}[index] == 7
    prosect.write(taught, tmp_path / "own.nii.gz", like=volume)
    assert (prosect.read_labels(tmp_path / "own.nii.gz").array == 7).sum() == labels.voxel_counts[index]
    results.write(taught, volume, request_for(tmp_path / "counted.nii.gz", renumber=True))
    assert 7 not in prosect.read_labels(tmp_path / "counted.nii.gz").names or len(labels.sought) >= 7
