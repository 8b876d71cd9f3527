"""Means, intervals and distances by their definitions, and what must not change them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.data.tables import separator_of
from prosect.evaluation.box_masks import label_boxes
from prosect.evaluation.distances import surface, surface_distances
from prosect.evaluation.summary import by_structure, mean_known, mean_of, table
from prosect.geometry import Grid

cells = st.one_of(st.none(), st.floats(0, 1))
grids = st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6)
few = settings(max_examples=20, deadline=None)


def array(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in rows])


@few
@given(grids)
def test_the_mean_is_that_of_structures_each_the_mean_of_its_scans(rows: list[list[float | None]]) -> None:
    found = mean_of(array(rows), np.random.default_rng(0), resamples=50)
    means = []
    for column in zip(*rows, strict=True):
        known = [value for value in column if value is not None]
        if known:
            means.append(sum(known) / len(known))
    if not means:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(sum(means) / len(means))
    assert found.count == sum(value is not None for row in rows for value in row)
    values = [value for row in rows for value in row if value is not None]
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


@few
@given(grids)
def test_more_of_everything_is_more(rows: list[list[float | None]]) -> None:
    plain = mean_of(array(rows), np.random.default_rng(1), resamples=50)
    higher = mean_of(array(rows) + 0.25, np.random.default_rng(1), resamples=50)
    if plain is None:
        assert higher is None
        return
    assert higher is not None
    for name in ("value", "low", "high"):
        assert getattr(higher, name) == pytest.approx(getattr(plain, name) + 0.25)


def test_the_order_of_scans_and_structures_does_not_change_a_mean() -> None:
    values = np.random.default_rng(0).random((6, 4))
    values[1, 2] = values[3, 0] = np.nan
    plain = mean_of(values, np.random.default_rng(0))
    assert plain is not None
    for rows, columns in (([5, 3, 1, 0, 2, 4], [0, 1, 2, 3]), ([0, 1, 2, 3, 4, 5], [3, 1, 0, 2])):
        other = mean_of(values[np.ix_(rows, columns)], np.random.default_rng(0))
        assert other is not None
        assert other.value == pytest.approx(plain.value)
        assert other.low == pytest.approx(plain.low, abs=0.03)


def test_every_scan_alike_leaves_no_width() -> None:
    found = mean_of(np.tile([0.25, 0.75], (9, 1)), np.random.default_rng(0))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_an_interval_narrows_with_the_root_of_the_scans() -> None:
    widths = []
    for count in (10, 40, 160):
        values = np.random.default_rng(2).normal(0.5, 0.1, (count, 1))
        found = mean_of(values, np.random.default_rng(3))
        assert found is not None
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.5)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.5)


def test_one_generator_is_one_interval() -> None:
    values = np.random.default_rng(0).random((8, 3))
    assert mean_of(values, np.random.default_rng(4)) == mean_of(values, np.random.default_rng(4))
    assert mean_of(values, np.random.default_rng(4)) != mean_of(values, np.random.default_rng(5))


def test_sums_and_counts_become_means_and_nothing_stays_nothing() -> None:
    sums = np.array([[2.0, 0.0], [0.0, 0.0], [3.0, 1.0]])
    counts = np.array([[4.0, 0.0], [0.0, 0.0], [3.0, 2.0]])
    found = by_structure(sums, counts)
    assert found[0] == 0.5
    assert np.isnan(found[1])
    assert found[2] == pytest.approx((1.0 + 0.5) / 2)


@few
@given(st.lists(cells, max_size=8))
def test_a_mean_of_what_is_defined_leaves_the_rest_out(values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    expected = None if not known else sum(known) / len(known)
    assert mean_known(values) == (None if expected is None else pytest.approx(expected))


def test_a_table_has_a_row_per_scan_and_a_column_per_structure_in_the_order_of_their_coming() -> None:
    keys = [("b", "liver"), ("a", "liver"), ("b", "spleen"), ("a", "aorta")]
    found = table(keys, [0.1, 0.2, None, 0.4])
    np.testing.assert_array_equal(found, [[0.1, np.nan, np.nan], [0.2, np.nan, 0.4]])


SPACING = (1.5, 0.7, 2.0)
GRID = Grid((6, 7, 5), np.diag([*SPACING, 1.0]))


def slow_surface(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the voxels with a face to the outside, one by one."""
    found = []
    for voxel in zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True):
        for axis, step in itertools.product(range(3), (-1, 1)):
            near = list(voxel)
            near[axis] += step
            beyond = not 0 <= near[axis] < mask.shape[axis]
            if beyond or not mask[tuple(near)]:
                found.append(voxel)
                break
    return found


@few
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_a_surface_is_what_has_a_face_to_the_outside(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random(GRID.shape) < density
    assert set(zip(*(axis.tolist() for axis in np.nonzero(surface(mask))), strict=True)) == set(slow_surface(mask))


@few
@given(st.integers(0, 10**6))
def test_distances_do_not_know_which_mask_is_the_truth_nor_where_the_origin_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random(GRID.shape) < 0.3, rng.random(GRID.shape) < 0.3
    one[2, 2, 2] = other[3, 3, 3] = True
    plain = surface_distances(one, other, GRID)
    assert plain is not None
    turned = surface_distances(other, one, GRID)
    assert turned is not None
    assert (turned.hd95_mm, turned.mean_mm) == pytest.approx((plain.hd95_mm, plain.mean_mm))
    wide = np.pad(one, 2), np.pad(other, 2)
    padded = surface_distances(*wide, Grid(wide[0].shape, GRID.affine))
    assert padded is not None
    assert (padded.hd95_mm, padded.mean_mm) == pytest.approx((plain.hd95_mm, plain.mean_mm))
    flipped = surface_distances(one[::-1], other[::-1], GRID)
    assert flipped is not None
    assert flipped.mean_mm == pytest.approx(plain.mean_mm)


@few
@given(st.integers(0, 10**6))
def test_a_mask_lies_no_distance_from_itself_and_units_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random(GRID.shape) < 0.3, rng.random(GRID.shape) < 0.3
    one[2, 2, 2] = other[3, 3, 3] = True
    same = surface_distances(one, one, GRID)
    assert same is not None
    assert (same.hd95_mm, same.mean_mm) == (0.0, 0.0)
    plain = surface_distances(one, other, GRID)
    twice = surface_distances(one, other, Grid(GRID.shape, np.diag([*(2 * s for s in SPACING), 1.0])))
    assert plain is not None
    assert twice is not None
    assert (twice.hd95_mm, twice.mean_mm) == pytest.approx((2 * plain.hd95_mm, 2 * plain.mean_mm))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("step", [1, 2])
def test_a_plane_that_is_shifted_is_so_many_millimetres_off(axis: int, step: int) -> None:
    one, other = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    place: list[slice | int] = [slice(None)] * 3
    place[axis] = 1
    one[tuple(place)] = True
    place[axis] = 1 + step
    other[tuple(place)] = True
    found = surface_distances(one, other, GRID)
    assert found is not None
    assert (found.hd95_mm, found.mean_mm) == pytest.approx((step * SPACING[axis],) * 2)


@few
@given(st.integers(0, 10**6), st.booleans())
def test_boxes_of_labels_are_the_least_that_hold_them(seed: int, fortran: bool) -> None:
    labels = np.random.default_rng(seed).integers(0, 9, (5, 4, 6)).astype(np.uint8)
    labels[labels > 4] = 0
    if fortran:
        labels = np.asfortranarray(labels)
    boxes = label_boxes(labels)
    assert set(boxes) == set(np.unique(labels)) - {0}
    for value, box in boxes.items():
        places = np.argwhere(labels == value)
        assert box.start == tuple(places.min(axis=0))
        assert box.stop == tuple(places.max(axis=0) + 1)


@pytest.mark.parametrize("sign", [",", "\t", ";"])
@pytest.mark.parametrize("names", [["image", "label"], ["Image", " LABEL ", "fold"]])
def test_the_sign_between_columns_is_found_by_the_header(sign: str, names: list[str]) -> None:
    text = sign.join(names) + "\na,b;c\td\n"
    assert separator_of(text, lambda found: found[:2] == ["image", "label"]) == sign


def test_a_table_without_such_a_header_says_what_its_first_line_has() -> None:
    with pytest.raises(ValueError, match="commas and semicolons between its columns"):
        separator_of("a,b;c\n", lambda _names: False)
    with pytest.raises(ValueError, match="one column"):
        separator_of("", lambda _names: False)
