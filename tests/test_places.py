"""Boxes as they are typed and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.boxes import Box
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.places import parse_box
from prosect.prompts import click_at, click_in

GRID = Grid((20, 20, 20), np.diag([-2.0, 2.0, 3.0, 1.0]))


def test_a_typed_box_is_two_corners() -> None:
    assert parse_box("1,2.5,-3:4,5,6") == ((1.0, 2.5, -3.0), (4.0, 5.0, 6.0))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1,2,3", "POINT_NOT_THREE_NUMBERS"),
        ("1,2:3,4", "POINT_NOT_THREE_NUMBERS"),
        ("1,2,3:4,5,six", "POINT_NOT_THREE_NUMBERS"),
        ("1,2,3:4,5,6:7,8,9", "POINT_NOT_THREE_NUMBERS"),
        ("1,2,3:4,5,inf", "POINT_NOT_FINITE"),
    ],
)
def test_what_is_no_box_is_refused(text: str, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse_box(text)
    assert caught.value.code == code


@pytest.mark.parametrize("space", ["voxel", "ras", "lps"])
def test_any_two_opposite_corners_make_the_same_box(space: str) -> None:
    corners = np.array([[3.0, 10.0, 2.0], [8.0, 4.0, 9.0]])
    signs = np.array([-1, -1, 1]) if space == "lps" else np.ones(3)
    given = corners if space == "voxel" else GRID.to_world(corners) * signs
    click = click_in(given[0], given[1], GRID, space=space)
    assert click.box == Box((3, 4, 2), (9, 11, 10))
    assert click.positive
    assert click.extent_mm == pytest.approx(0.85 * (12 * 14 * 24) ** (1 / 3))
    assert np.allclose(GRID.to_voxel(np.asarray(click.position_ras)), (5.5, 7, 5.5))


@pytest.mark.parametrize("space", ["voxel", "ras", "lps"])
@pytest.mark.parametrize("far", [1e19, 1e300, 1.7e308])
def test_a_box_may_reach_beyond_the_scan_by_any_number(space: str, far: float) -> None:
    assert click_in((-far, -far, -far), (far, far, far), GRID, space=space).box == Box((0, 0, 0), (20, 20, 20))


@pytest.mark.parametrize("space", ["voxel", "ras", "lps"])
@pytest.mark.parametrize("far", [1e19, 1.7e308])
def test_what_lies_beside_the_scan_is_refused_however_far_it_is(space: str, far: float) -> None:
    for refused in (lambda: click_in((far, 0, 0), (far, 5, 5), GRID, space=space), lambda: click_at((far, 0, 0), GRID)):
        with pytest.raises(PromptError) as caught:
            refused()
        assert caught.value.code == "POINT_OUTSIDE"
