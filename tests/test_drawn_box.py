"""Where a box that a person drew leaves room for a structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import EMPTY, Box
from prosect.drawn_box import GROWTH, allowed, flat_axis, holds, reach

SPACING = (1.0, 2.0, 4.0)
SCAN = Box((0, 0, 0), (24, 20, 16))


@pytest.mark.parametrize(
    ("stop", "expected"), [((9, 9, 9), None), ((5, 9, 9), 0), ((9, 9, 5), 2), ((5, 9, 5), None), ((5, 5, 5), None)]
)
def test_only_a_box_of_one_voxel_along_one_axis_is_flat(stop: tuple[int, int, int], expected: int | None) -> None:
    assert flat_axis(Box((4, 4, 4), stop)) == expected


def test_a_box_in_space_holds_the_structure() -> None:
    drawn = Box((3, 4, 5), (9, 10, 11))
    inside = allowed(drawn, SCAN, SPACING)
    assert Box.of(inside) == drawn
    assert inside.sum() == drawn.size
    assert reach(drawn, SCAN, SPACING) == drawn
    assert not allowed(drawn, Box((12, 0, 0), (14, 4, 4)), SPACING).any()


def test_a_flat_box_holds_in_its_plane_and_widens_by_half_the_distance() -> None:
    drawn = Box((10, 8, 6), (14, 12, 7))
    inside = allowed(drawn, SCAN, SPACING)
    assert Box.of(inside[:, :, 6:7]) == Box((10, 8, 0), (14, 12, 1))
    # Two slices of 4 mm off, 4 mm more on each side: four voxels of 1 mm, two of 2 mm.
    assert GROWTH == 0.5
    for off in (4, 8):
        assert Box.of(inside[:, :, off : off + 1]) == Box((6, 6, 0), (18, 14, 1))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_reach_is_the_smallest_box_of_what_is_allowed_and_each_voxel_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 12, 3)
    stop = start + rng.integers(1, 6, 3)
    axis = int(rng.integers(0, 4))
    if axis < 3:
        stop[axis] = start[axis] + 1
    drawn = Box(tuple(start.tolist()), tuple(stop.tolist()))
    low = rng.integers(0, 8, 3)
    box = Box(tuple(low.tolist()), tuple((low + rng.integers(1, 12, 3)).tolist()))
    inside = allowed(drawn, box, SPACING)
    found = reach(drawn, box, SPACING)
    if inside.any():
        tight = Box.of(inside).shift(box.start)
        assert (tight & found) == tight, "nothing that is allowed lies beyond the reach"
    voxel = tuple((low + [int(rng.integers(0, count)) for count in box.shape]).tolist())
    assert holds(drawn, voxel, SPACING) == inside[tuple(np.subtract(voxel, low))]


def test_nothing_is_reached_in_an_empty_box() -> None:
    assert reach(Box((1, 1, 1), (4, 4, 2)), EMPTY, SPACING) == EMPTY
