"""One structure of one scan, judged: what Dice is worth in every case, and that a row does not depend on the box."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.data.labelled import LabelledScan
from prosect.evaluation.dice import dice
from prosect.evaluation.scores import Row, Target, row_of
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.volume import Volume

SHAPE = (14, 12, 10)
GRID = Grid(SHAPE, np.diag([1.0, 2.0, 3.0, 1.0]))
LIVER = Target(1, "liver", "liver")


@pytest.fixture
def scan() -> LabelledScan:
    """Return a scan of nothing, which says what it is labelled for."""
    labels = LabelMap(np.zeros(SHAPE, np.uint8), GRID, vocabulary.load("prosect"))
    return LabelledScan("one", Volume(np.zeros(SHAPE, np.float32), GRID, "CT"), labels, (1,), "made")


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two random boxes that may overlap, as masks (i j k)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        start = rng.integers(1, 6, 3)
        stop = start + rng.integers(2, 5, 3)
        mask = np.zeros(SHAPE, dtype=bool)
        mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
        found.append(mask)
    return found[0], found[1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_dice_is_counted_voxel_by_voxel(seed: int) -> None:
    found, truth = masks(seed)
    both = sum(bool(a and b) for a, b in zip(found.ravel(), truth.ravel(), strict=True))
    expected = 2 * both / (int(found.sum()) + int(truth.sum()))
    assert dice(found, truth) == pytest.approx(expected)
    assert dice(truth, found) == dice(found, truth)
    assert dice(truth, truth) == 1


def test_dice_of_nothing_has_no_value_and_a_false_find_is_worth_nothing() -> None:
    nothing, something = np.zeros(SHAPE, dtype=bool), masks(0)[0]
    assert dice(nothing, nothing) is None
    assert dice(something, nothing) == 0
    assert dice(nothing, something) == 0


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_a_row_is_the_same_in_every_box_that_holds_the_structure(seed: int) -> None:
    labels = LabelMap(np.zeros(SHAPE, np.uint8), GRID, vocabulary.load("prosect"))
    scan = LabelledScan("one", Volume(np.zeros(SHAPE, np.float32), GRID, "CT"), labels, (1,), "made")
    found, truth = masks(seed)
    whole = row_of(scan, LIVER, found, truth, clicks=2, seconds=0.5, tolerance_mm=1.0)
    inner = (slice(1, 11), slice(0, 10), slice(1, 10))
    assert row_of(scan, LIVER, found[inner], truth[inner], clicks=2, seconds=0.5, tolerance_mm=1.0) == whole
    assert whole.truth_ml == pytest.approx(int(truth.sum()) * 0.006)
    assert whole.found_ml == pytest.approx(int(found.sum()) * 0.006)


def test_a_row_of_nothing_found_and_nothing_there_has_volumes_and_no_overlap(scan: LabelledScan) -> None:
    nothing = np.zeros(SHAPE, dtype=bool)
    row = row_of(scan, LIVER, nothing, nothing, clicks=0, seconds=0.0, tolerance_mm=1.0)
    assert (row.dice, row.nsd, row.truth_ml, row.found_ml) == (None, None, 0, 0)


def test_a_row_survives_the_ledger(scan: LabelledScan) -> None:
    row = row_of(scan, LIVER, *masks(3), clicks=1, seconds=0.25, tolerance_mm=2.0)
    plain = json.loads(json.dumps(row.to_json()))
    assert Row.from_json(plain) == row
    assert Row.from_json({**plain, "added later": 1}) == row
    for missing in set(plain) - {"hd95_mm", "surface_mm"}:  # rows of earlier versions have no distances
        with pytest.raises(KeyError, match=missing):
            Row.from_json({key: value for key, value in plain.items() if key != missing})


def test_surface_dice_forgives_a_shift_within_the_tolerance(scan: LabelledScan) -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[4:9, 4:9, 3:8] = True
    for axis, step_mm in enumerate((1.0, 2.0, 3.0)):
        moved = np.roll(truth, 1, axis)
        scores = []
        for tolerance_mm in (step_mm - 0.5, step_mm + 0.5):
            row = row_of(scan, LIVER, moved, truth, clicks=0, seconds=0.0, tolerance_mm=tolerance_mm)
            assert row.nsd is not None
            scores.append(row.nsd)
        assert scores[0] < 1
        assert scores[1] == pytest.approx(1)


def test_dice_falls_with_every_voxel_of_a_shift() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[2:8, 2:8, 2:8] = True
    values = [dice(np.roll(truth, n, 0), truth) for n in range(6)]
    assert all(a is not None and b is not None and a > b for a, b in itertools.pairwise(values))
