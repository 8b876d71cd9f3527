"""Statistics that other programs can read and that hide nothing."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.measure import measure
from prosect.results.statistics import COLUMNS, as_csv, as_json
from prosect.volume import Volume


def test_json_has_volume_in_mm3_and_intensity_by_name_as_totalsegmentator(found) -> None:
    labels, volume = found
    table = json.loads(as_json(labels, measure(labels, volume)))
    names = [labels.name_of(index).replace(" ", "_") for index in labels.sought]
    assert list(table) == names
    for index, name in zip(labels.sought, names, strict=True):
        mask = labels.array == index
        assert table[name]["volume"] == pytest.approx(mask.sum() * 64.0)
        if mask.any():
            assert table[name]["intensity"] == pytest.approx(float(volume.array[mask].mean()), abs=1e-3)


def test_what_was_not_found_is_there_and_says_so(found) -> None:
    labels, volume = found
    table = json.loads(as_json(labels, measure(labels, volume)))
    assert table["spleen"] == {"volume": 0.0, "intensity": None, "present": False, "touches_border": False}
    rows = list(csv.DictReader(io.StringIO(as_csv(labels, measure(labels, volume), "case").decode())))
    (spleen,) = (row for row in rows if row["name"] == "spleen")
    assert (spleen["present"], spleen["volume_ml"], spleen["mean_intensity"]) == ("false", "0", "")


def test_a_structure_at_the_edge_keeps_its_numbers_and_says_so(found) -> None:
    labels, _ = found
    grid = Grid((5, 5, 5), np.diag([2.0, 2.0, 2.0, 1.0]))
    array = np.zeros(grid.shape, np.uint8)
    array[0, 1:3, 1:3] = 1
    cut = LabelMap(array, grid, labels.vocabulary)
    volume = Volume(np.full(grid.shape, 50.0), grid)
    liver = json.loads(as_json(cut, measure(cut, volume)))["liver"]
    assert liver == {"volume": 32.0, "intensity": 50.0, "present": True, "touches_border": True}


def test_extra_keys_agree_with_the_voxels(found) -> None:
    labels, volume = found
    liver = json.loads(as_json(labels, measure(labels, volume), extra=True))["liver"]
    where = np.argwhere(labels.array == 1)
    values = volume.array[labels.array == 1].astype(float)
    assert liver["n_voxels"] == len(where)
    assert liver["std"] == pytest.approx(values.std(), abs=1e-4)
    assert (liver["min"], liver["max"]) == (
        pytest.approx(values.min(), abs=1e-4),
        pytest.approx(values.max(), abs=1e-4),
    )
    assert liver["centroid_vox"] == pytest.approx(list(where.mean(axis=0)), abs=1e-4)
    assert liver["bbox_vox"] == [
        [int(a), int(b) + 1] for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True)
    ]


def test_csv_is_one_row_per_structure_with_numbers_that_agree(found) -> None:
    labels, volume = found
    measured = {m.index: m for m in measure(labels, volume)}
    rows = list(csv.DictReader(io.StringIO(as_csv(labels, list(measured.values()), "p1").decode())))
    assert [int(row["index"]) for row in rows] == list(labels.sought)
    assert tuple(rows[0]) == COLUMNS
    assert {row["case"] for row in rows} == {"p1"}
    for row in rows:
        structure = labels.vocabulary[int(row["index"])]
        assert row["snomed"] == (structure.snomed.value if structure.snomed else "")
        assert row["laterality"] == (structure.laterality or "")
        m = measured.get(structure.index)
        if m is not None:
            assert float(row["volume_ml"]) == pytest.approx(m.volume_ml, abs=1e-5)
            assert float(row["centroid_s_mm"]) == pytest.approx(m.centroid_ras[2], abs=1e-4)
            assert int(row["bbox_k_stop"]) == m.stop_vox[2]


def test_a_case_name_with_a_comma_and_a_quote_stays_one_cell(found) -> None:
    labels, volume = found
    text = as_csv(labels, measure(labels, volume), 'a,"b"').decode()
    assert {row["case"] for row in csv.DictReader(io.StringIO(text))} == {'a,"b"'}
