"""Places in three spaces: one place is one voxel, whatever space it is given in, and what is none is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import CancelledError, PromptError
from prosect.geometry import Grid
from prosect.places import outside, parse_box, place_of, three_numbers
from prosect.progress import cancel_when
from prosect.stopwatch import Stopwatch

AFFINE = np.array([[0.9, 0.2, 0.0, -30.0], [-0.2, 0.9, 0.3, 12.0], [0.0, -0.3, 2.1, 400.0], [0.0, 0.0, 0.0, 1.0]])
GRID = Grid((40, 30, 20), AFFINE)
numbers = st.tuples(*[st.floats(-500, 500)] * 3)


@given(numbers)
@settings(max_examples=30, deadline=None)
def test_one_place_is_one_voxel_in_every_space(voxel: tuple[float, float, float]) -> None:
    world = GRID.to_world(np.array(voxel))
    for space, given_ in (("voxel", voxel), ("ras", world), ("lps", world * (-1, -1, 1))):
        as_given, index, ras = place_of(tuple(float(n) for n in given_), GRID, space)
        np.testing.assert_allclose(as_given, given_)
        np.testing.assert_allclose(index, voxel, atol=1e-6)
        np.testing.assert_allclose(ras, world, atol=1e-6)


@pytest.mark.parametrize("space", ["RAS", "mm", "", "world"])
def test_an_unknown_space_is_refused_with_the_known_ones(space: str) -> None:
    with pytest.raises(PromptError) as refused:
        place_of((1.0, 2.0, 3.0), GRID, space)
    assert refused.value.code == "SPACE_UNKNOWN"
    assert "ras, lps, voxel" in str(refused.value)


@pytest.mark.parametrize(
    "kind",
    [
        tuple,
        list,
        np.array,
        torch.tensor,
        lambda three: np.array(three, dtype=np.float32),
        lambda three: [np.float64(n) for n in three],
    ],
)
def test_three_numbers_of_any_kind_are_plain_numbers(kind) -> None:
    found = three_numbers(kind([1.5, -2.0, 3.0]))
    assert found == (1.5, -2.0, 3.0)
    assert all(type(number) is float for number in found)


@pytest.mark.parametrize(
    ("position", "code"),
    [
        ("123", "POINT_NOT_THREE_NUMBERS"),
        (b"123", "POINT_NOT_THREE_NUMBERS"),
        (7, "POINT_NOT_THREE_NUMBERS"),
        ((1.0, 2.0), "POINT_NOT_THREE_NUMBERS"),
        ((1.0, 2.0, 3.0, 4.0), "POINT_NOT_THREE_NUMBERS"),
        ((1.0, 2.0, "3"), "POINT_NOT_THREE_NUMBERS"),
        ((True, 2.0, 3.0), "POINT_NOT_THREE_NUMBERS"),
        ((1.0, 2.0, None), "POINT_NOT_THREE_NUMBERS"),
        ((1.0, math.nan, 3.0), "POINT_NOT_FINITE"),
        ((1.0, 2.0, -math.inf), "POINT_NOT_FINITE"),
        ((10**400, 0, 0), "POINT_NOT_FINITE"),
    ],
)
def test_what_is_no_position_is_refused_by_its_code(position: object, code: str) -> None:
    with pytest.raises(PromptError) as refused:
        three_numbers(position)
    assert refused.value.code == code


def test_a_place_outside_is_told_its_bounds_in_the_callers_space() -> None:
    in_voxels = outside((50.0, 0.0, 0.0), (50.0, 0.0, 0.0), GRID, "voxel")
    assert "voxels run from (0, 0, 0) to (39, 29, 19)" in in_voxels
    assert "millimetres" not in in_voxels
    corners = GRID.corners_ras()
    for space, sign in (("ras", (1, 1, 1)), ("lps", (-1, -1, 1))):
        text = outside((1.0, 2.0, 3.0), (50.0, 0.0, 0.0), GRID, space)
        low = (corners * sign).min(axis=0).round(1).tolist()
        high = (corners * sign).max(axis=0).round(1).tolist()
        assert f"({space.upper()}) lies outside the scan" in text
        assert f"in millimetres from {low} to {high}" in text


@given(numbers, numbers)
@settings(max_examples=25, deadline=None)
def test_a_typed_box_is_its_corners_as_they_were_typed(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    text = ":".join(",".join(repr(n) for n in corner) for corner in (one, other))
    assert parse_box(text) == (one, other)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2:3,4", "1,2,3:4,5,6:7,8,9", "a,b,c:d,e,f", "1,2,3:4,5"])
def test_a_typed_box_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PromptError) as refused:
        parse_box(text)
    assert refused.value.code == "POINT_NOT_THREE_NUMBERS"
    assert "12.5,-40,310:60,5,340" in str(refused.value)


@given(st.integers(1, 20), st.integers(0, 25))
@settings(max_examples=25, deadline=None)
def test_a_computation_ends_at_the_step_after_somebody_asked(total: int, asked_at: int) -> None:
    told: list[int] = []
    watch = cancel_when(lambda: len(told) >= asked_at, lambda done, _total: told.append(done))
    try:
        for done in range(1, total + 1):
            watch(done, total)
    except CancelledError as cancelled:
        message = str(cancelled)
    else:
        message = ""
    assert len(told) == min(total, asked_at)
    assert (message == "") == (asked_at >= total)
    if message:
        assert f"after step {asked_at + 1} of {total}" in message


def test_stages_add_up_by_name_and_read_as_one_line() -> None:
    ticks = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.5])
    watch = Stopwatch(clock=lambda: next(ticks))
    for name in ("reading", "model", "reading"):
        with watch.stage(name):
            pass
    assert watch.seconds == {"reading": 3.5, "model": 3.0}
    assert str(watch) == "6.5 s (reading 3.5, model 3.0)"


def test_a_timed_function_gives_its_value_and_its_time() -> None:
    ticks = iter([0.0, 4.0])
    watch = Stopwatch(clock=lambda: next(ticks))
    assert watch.timed("adding", lambda a, b=1: a + b)(2, b=5) == 7
    assert watch.seconds == {"adding": 4.0}
