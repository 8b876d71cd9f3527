"""A box that a person drew speaks for the ellipsoid in it, and less so with every click."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.boxes import Box
from prosect.inference.box_prior import box_prior
from prosect.inference.question import Question
from prosect.prompts import LabelledClick

DRAWN = Box((4, 6, 8), (15, 17, 15))
CLICK = LabelledClick((0.0, 0.0, 0.0), 1, (0, 0, 0))
WHOLE = Box((0, 0, 0), (20, 22, 24))
SPACING = (1.0, 1.0, 1.0)


def logits(count: int = 1, box: Box = WHOLE, drawn: Box = DRAWN) -> np.ndarray:
    """Return what the box says after some clicks."""
    found = box_prior(Question((CLICK,) * count, True, bounds=drawn), box, SPACING)
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
def test_every_click_makes_the_box_count_less(count: int) -> None:
    assert np.allclose(logits(count) * count, logits(), atol=1e-5)


def test_without_a_box_nothing_is_expected() -> None:
    assert box_prior(Question((CLICK,), True), WHOLE, SPACING) is None
    assert box_prior(Question((), True, bounds=DRAWN), WHOLE, SPACING) is None


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
    thick = box_prior(question, WHOLE, (1.0, 1.0, 4.0))
    assert thick is not None
    thin = logits(drawn=FLAT)
    assert np.allclose(thick[:, :, 13], thin[:, :, 19]), "two thick slices are as far as eight thin ones"
