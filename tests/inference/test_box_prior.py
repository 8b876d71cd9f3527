"""A box that a person drew speaks for the ellipsoid in it."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.boxes import Box
from prosect.case import Placement
from prosect.geometry import Grid
from prosect.inference.box_prior import box_prior, box_prior_on_patch
from prosect.inference.question import Question
from prosect.prompts import LabelledClick
from prosect.volume import Volume
from worlds.orders import ORDERS, stored

DRAWN = Box((4, 6, 8), (15, 17, 15))
CLICK = LabelledClick((9.0, 11.0, 11.0), 1, (0, 0, 0))  # in the middle of the box
WHOLE = Box((0, 0, 0), (20, 22, 24))
GRID = Grid(WHOLE.shape, np.eye(4))
SPACING = (1.0, 1.0, 1.0)


def logits(count: int = 1, box: Box = WHOLE, drawn: Box = DRAWN) -> np.ndarray:
    """Return what the box says after some clicks."""
    found = box_prior(Question((CLICK,) * count, True, bounds=drawn), box, GRID)
    assert found is not None
    return found


def test_the_middle_of_the_box_is_expected_and_its_corners_are_not() -> None:
    found = logits()
    assert found[9, 11, 11] == found.max() > 0
    assert found[4, 6, 8] < 0, "a corner"
    assert found[4, 11, 11] > 0, "the middle of a face is reached"
    assert found[0, 0, 0] < found[4, 6, 8]


def test_it_is_the_same_from_all_sides() -> None:
    inner = logits()[DRAWN.slices]
    assert np.allclose(inner, inner[::-1, ::-1, ::-1])


def test_a_part_of_the_scan_shows_the_same() -> None:
    part = Box((5, 7, 2), (12, 20, 21))
    assert np.array_equal(logits(box=part), logits()[part.slices])


@pytest.mark.parametrize("count", [2, 5])
def test_clicks_that_follow_do_not_make_the_box_count_less(count: int) -> None:
    assert np.array_equal(logits(count), logits())


def test_around_a_click_that_says_otherwise_it_says_nothing() -> None:
    no = LabelledClick((7.0, 11.0, 11.0), 0, (0, 0, 0))
    yes_in_a_corner = LabelledClick((4.0, 6.0, 8.0), 1, (0, 0, 0))
    for click, voxel in ((no, (7, 11, 11)), (yes_in_a_corner, (4, 6, 8))):
        found = box_prior(Question((CLICK, click), True, bounds=DRAWN), WHOLE, GRID)
        assert found is not None
        assert found[voxel] == pytest.approx(0, abs=1e-5)
        assert found[13, 11, 11] == pytest.approx(logits()[13, 11, 11], rel=0.1), "elsewhere it stays"
    agrees = box_prior(
        Question((CLICK, CLICK._replace(position_ras=(8.0, 11.0, 11.0))), True, bounds=DRAWN), WHOLE, GRID
    )
    assert np.array_equal(agrees, logits())


@pytest.mark.parametrize("order", ORDERS)
def test_on_a_patch_it_is_the_same_however_the_scan_is_stored(order: str) -> None:
    whole = Volume(np.zeros((20, 22, 24), dtype=np.float32), Grid((20, 22, 24), np.eye(4)))
    grid = stored(whole, order).grid
    case = Placement.spaced(grid, SPACING)
    question = Question((CLICK,), True, bounds=Box((3, 4, 5), (12, 10, 15)))
    in_scan = box_prior(question, Box((0, 0, 0), grid.shape), grid)
    assert in_scan is not None
    on_patch = box_prior_on_patch(question, case, (2, 1, -3), (16, 16, 16))
    assert on_patch is not None
    expected = case.order.apply(in_scan)
    assert np.allclose(on_patch[:, :, 3:], expected[2:18, 1:17, :13], atol=1e-4)


def test_without_a_box_nothing_is_expected() -> None:
    assert box_prior(Question((CLICK,), True), WHOLE, GRID) is None
    assert box_prior(Question((), True, bounds=DRAWN), WHOLE, GRID) is None
    case = Placement.spaced(Grid((20, 22, 24), np.eye(4)), SPACING)
    assert box_prior_on_patch(Question((CLICK,), True), case, (0, 0, 0), (16, 16, 16)) is None


FLAT = Box((4, 6, 11), (15, 17, 12))


def test_a_flat_box_speaks_for_the_ellipse_in_its_plane_and_less_for_planes_farther_off() -> None:
    found = logits(drawn=FLAT)
    assert found[9, 11, 11] == found.max() > 0
    assert found[4, 6, 11] < 0, "a corner"
    along = found[9, 11, 11:]
    assert (np.diff(along) < 0).all()
    assert 0 < along[-1] < 0.1 * along[0], "far from the plane it says hardly anything"


def test_a_flat_box_in_thick_slices_counts_millimetres_not_voxels() -> None:
    question = Question((CLICK,), True, bounds=FLAT)
    thick = box_prior(question, WHOLE, Grid(WHOLE.shape, np.diag([1.0, 1.0, 4.0, 1.0])))
    assert thick is not None
    thin = logits(drawn=FLAT)
    assert np.allclose(thick[:, :, 13], thin[:, :, 19]), "two thick slices are as far as eight thin ones"
