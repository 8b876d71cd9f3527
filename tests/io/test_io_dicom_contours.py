"""Outlines give back the mask they were drawn around, whatever its shape, and are as few as can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from prosect.io.dicom.contours import fill, outlines
from reference.even_odd import inside

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))
RING = np.zeros((9, 9), bool)
RING[1:8, 1:8] = True
RING[3:6, 3:6] = False


@given(MASKS)
@settings(max_examples=150, deadline=None)
def test_filled_outlines_are_the_mask_again(mask) -> None:
    assert np.array_equal(fill(outlines(mask), mask.shape), mask)


@given(MASKS, st.floats(0.3, 3.0), st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_rounding_to_a_thousandth_of_a_millimetre_changes_nothing(mask, spacing, origin) -> None:
    rounded = [(np.round(ring * spacing + origin, 3) - origin) / spacing for ring in outlines(mask)]
    assert np.array_equal(fill(rounded, mask.shape), mask)


@given(MASKS)
@settings(max_examples=40, deadline=None)
def test_filling_agrees_with_its_slow_twin(mask) -> None:
    # Half a pixel aside, so that pixel centres are nowhere near an edge.
    rings = [ring + 0.3 for ring in outlines(mask)]
    assert np.array_equal(fill(rings, mask.shape), inside(rings, mask.shape))


def test_a_hole_is_joined_to_the_outline_around_it() -> None:
    (ring,) = outlines(RING)
    assert len(ring) == 8 + 8 + 2  # both rings, the two ends of the channel twice


def test_an_island_in_a_hole_is_an_outline_of_its_own() -> None:
    mask = RING.copy()
    mask[4, 4] = True
    assert sorted(len(ring) for ring in outlines(mask)) == [4, 18]


def test_diagonal_neighbours_are_apart_and_a_lone_pixel_is_a_diamond() -> None:
    assert [len(ring) for ring in outlines(np.eye(3, dtype=bool))] == [4, 4, 4]


def test_straight_lines_have_two_points() -> None:
    # Half-way outlines cut the corners: two points for each.
    assert [len(ring) for ring in outlines(np.ones((40, 30), bool))] == [8]


def test_a_tolerance_leaves_out_points_and_never_strays_farther() -> None:
    rows, columns = np.mgrid[:60, :60]
    disc = (rows - 30) ** 2 + ((columns - 30) * 0.5) ** 2 < 13**2
    disc[28:33, 26:35] = False  # a hole, which a keyhole joins
    spacing = (1.0, 0.5)
    (exact,) = outlines(disc)
    (fewer,) = outlines(disc, 0.6, spacing)
    assert len(fewer) < 0.5 * len(exact)
    for point in exact:
        # Distance in mm to the nearest of the lines that are left.
        start, stop = fewer * spacing, np.roll(fewer, -1, axis=0) * spacing
        along = stop - start
        length = np.maximum((along**2).sum(axis=1), 1e-12)
        share = np.clip(((point * spacing - start) * along).sum(axis=1) / length, 0, 1)
        assert np.hypot(*(start + share[:, None] * along - point * spacing).T).min() <= 0.6 + 1e-9
    changed = np.count_nonzero(fill([fewer], disc.shape) != disc)
    assert changed < 0.05 * np.count_nonzero(disc)
    (same,) = outlines(disc, 0.0, spacing)
    assert np.array_equal(same, exact)


def test_a_lone_pixel_stays_whatever_the_tolerance() -> None:
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 2] = True
    (ring,) = outlines(mask, 10.0)
    assert np.array_equal(fill([ring], mask.shape), mask)


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 4), bool)) == []


def test_what_lies_beyond_the_slice_is_cut_off() -> None:
    square = np.array([[-5.5, -5.5], [-5.5, 2.5], [2.5, 2.5], [2.5, -5.5]])
    expected = np.zeros((4, 6), bool)
    expected[:3, :3] = True
    assert np.array_equal(fill([square], (4, 6)), expected)


@pytest.mark.parametrize("turn", [1, -1])
def test_the_turn_of_an_outline_does_not_count(turn) -> None:
    (ring,) = outlines(RING)
    assert np.array_equal(fill([ring[::turn]], RING.shape), RING)
