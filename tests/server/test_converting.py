"""Drawings become clicks inside what was drawn; a box and a lasso say where the structure ends, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.drawn_box import FLAT_LENGTH
from prosect.geometry import Grid
from prosect.prompts import click_in
from prosect.server.converting import (
    RULES,
    BoxPrompt,
    Drawing,
    Placed,
    PointPrompt,
    box_centre,
    erasing_points,
    inner_points,
    lasso_points,
    placed_of,
    scribble_points,
)

SPACING = (1.0, 1.0, 2.0)
SHAPE = (40, 40, 20)
GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))


def drawing(kind: str, voxels: np.ndarray | list, positive: bool = True, start=(0, 0, 0)) -> Drawing:
    """A drawing on a scan of 40 x 40 x 20 voxels."""
    bits = np.zeros(SHAPE, dtype=bool)
    bits[tuple(np.asarray(voxels).T)] = True
    box = Box.of(bits)
    return Drawing(kind, box.shift(start), bits[box.slices], positive)  # type: ignore[arg-type]


def nothing_there(box: Box) -> np.ndarray:
    """What a structure without a voxel has in a box."""
    return np.zeros(box.shape, dtype=bool)


def nothing(one: Drawing) -> np.ndarray:
    """A structure that has no voxel there yet."""
    return np.zeros_like(one.bits)


LINE = [(i, 10, 5) for i in range(2, 37)]


def test_a_scribble_is_clicked_in_its_middle_then_at_its_ends_then_between() -> None:
    line = drawing("scribble", LINE)
    points = scribble_points(line, nothing(line), SPACING)
    assert points == ((19, 10, 5), (2, 10, 5), (36, 10, 5), (10, 10, 5), (27, 10, 5))


def test_a_short_scribble_is_one_click() -> None:
    line = drawing("scribble", LINE[:7])
    assert scribble_points(line, nothing(line), SPACING) == ((5, 10, 5),)


def test_two_scribbles_at_once_are_clicked_each_and_many_stop_at_ten() -> None:
    two = drawing("scribble", [*LINE, *((i, 30, 5) for i in range(2, 20))])
    points = scribble_points(two, nothing(two), SPACING)
    assert {point[1] for point in points} == {10, 30}
    many = drawing("scribble", [(i, j, 5) for i in range(2, 33) for j in range(0, 40, 3)])
    assert len(scribble_points(many, nothing(many), SPACING)) == RULES.scribble_total


def test_what_the_structure_has_already_is_not_clicked_again() -> None:
    line = drawing("scribble", LINE)
    has = nothing(line)
    has[:20] = True
    assert min(point[0] for point in scribble_points(line, has, SPACING)) >= 22
    removing = drawing("scribble", LINE, positive=False)
    assert max(point[0] for point in scribble_points(removing, has, SPACING)) <= 21
    everything = np.ones_like(line.bits)
    assert scribble_points(line, everything, SPACING) == scribble_points(line, nothing(line), SPACING)


def disc(i: int, j: int, radius: float, k: int = 5) -> list[tuple[int, int, int]]:
    """The voxels of a disc in one plane."""
    out = []
    for a in range(SHAPE[0]):
        for b in range(SHAPE[1]):
            if (a - i) ** 2 + (b - j) ** 2 <= radius**2:
                out.append((a, b, k))
    return out


def test_a_lasso_is_clicked_in_its_middle_and_never_near_its_outline() -> None:
    lasso = drawing("lasso", disc(20, 18, 10))
    points = lasso_points(lasso, SPACING)
    assert points[0] == (20, 18, 5)
    assert len(points) == 3
    for i, j, k in points:
        assert k == 5
        assert (i - 20) ** 2 + (j - 18) ** 2 <= 36


def test_crumbs_of_a_lasso_are_left_out_unless_there_is_nothing_else() -> None:
    crumb = [(2, 2, 5), (2, 3, 5)]
    lasso = drawing("lasso", [*disc(20, 18, 6), *crumb])
    assert all(point[0] > 10 for point in lasso_points(lasso, SPACING))
    assert len(lasso_points(drawing("lasso", crumb), SPACING)) >= 1


@pytest.mark.parametrize("voxels", [[(3, 4, 5)], [(3, 4, k) for k in range(9)], [(i, 4, 5) for i in range(9)]])
def test_a_lasso_of_one_voxel_or_a_line_is_clicked_too(voxels: list) -> None:
    points = lasso_points(drawing("lasso", voxels), SPACING)
    assert points
    assert {tuple(map(int, point)) for point in points} <= set(voxels)


def test_a_box_is_clicked_in_its_middle_and_tells_its_size() -> None:
    box = Box((10, 12, 5), (20, 19, 6))
    assert box_centre(box) == (14.5, 15.0, 5.0)
    (placed,) = placed_of(BoxPrompt(box, True), nothing_there, SPACING)
    click = placed.click(GRID)
    assert click == click_in((10, 12, 5), (19, 18, 5), GRID, space="voxel")
    assert click.positive
    assert click.box == box
    assert click.extent_mm == pytest.approx(FLAT_LENGTH * 10.0)


def test_the_first_and_every_click_of_a_lasso_say_where_it_ends() -> None:
    lasso = drawing("lasso", disc(20, 18, 6))
    placed = placed_of(lasso, nothing_there, SPACING)
    assert [each.point for each in placed] == list(lasso_points(lasso, SPACING))
    assert {each.box for each in placed} == {lasso.box}
    removing = replace(lasso, positive=False)
    assert {(each.box, each.positive) for each in placed_of(removing, nothing_there, SPACING)} == {(None, False)}


def test_a_scribble_and_a_point_say_no_size() -> None:
    scribble = drawing("scribble", [(i, 10, 5) for i in range(5, 30)])
    assert {each.box for each in placed_of(scribble, nothing_there, SPACING)} == {None}
    assert placed_of(PointPrompt((3, 4, 5), False), nothing_there, SPACING) == (Placed((3, 4, 5), False),)


def test_a_box_that_removes_reads_what_the_structure_has_there() -> None:
    box = Box((5, 5, 5), (25, 25, 6))
    assert placed_of(BoxPrompt(box, False), nothing_there, SPACING) == ()
    everything = placed_of(BoxPrompt(box, False), lambda part: np.ones(part.shape, dtype=bool), SPACING)
    assert {each.positive for each in everything} == {False}


def test_a_box_that_removes_is_clicked_where_the_structure_is() -> None:
    box = Box((5, 5, 5), (25, 25, 6))
    has = np.zeros(box.shape, dtype=bool)
    assert erasing_points(box, has, SPACING) == ()
    has[2:9, 3:10] = True
    points = erasing_points(box, has, SPACING)
    assert points[0] == (10, 11, 5)
    assert len(points) <= RULES.erasing_clicks
    assert inner_points(has, box, SPACING) == ((10, 11, 5),)


MASKS = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed))


@settings(max_examples=60, deadline=None)
@given(MASKS, st.floats(0.05, 0.9), st.sampled_from(["scribble", "lasso"]), st.booleans())
def test_every_click_lies_on_what_was_drawn(rng: np.random.Generator, share: float, kind: str, flat: bool) -> None:
    shape = (9, 8, 1) if flat else (6, 5, 4)
    bits = rng.random(shape) < share
    bits[tuple(rng.integers(0, shape))] = True
    start = tuple(rng.integers(0, 9, 3).tolist())
    box = Box((0, 0, 0), shape).shift(start)
    one = Drawing(kind, box, bits, True)  # type: ignore[arg-type]
    if kind == "lasso":
        points = lasso_points(one, SPACING)
        assert 1 <= len(points) <= RULES.lasso_clicks
    else:
        points = scribble_points(one, rng.random(shape) < 0.5, SPACING)
        assert 1 <= len(points) <= RULES.scribble_total
    assert len(set(points)) == len(points)
    for point in points:
        assert bits[tuple(int(n) - s for n, s in zip(point, start, strict=True))]
