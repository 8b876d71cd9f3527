"""Clicks lie where each published rule puts them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prosect.evaluation.clickers import RULES, challenge_click, next_click, paper_click
from prosect.geometry import Grid
from prosect.prompts import Click, voxel_of

SHAPE = (16, 14, 12)
GRID = Grid(SHAPE, np.array([[0, -1.5, 0, 3], [2, 0, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1.0]]))
CUBE = np.ones((3, 3, 3), dtype=bool)


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a truth and a mask."""
    rng = np.random.default_rng(seed)
    first, second = (ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.0) > 0.02 for _ in range(2))
    return first, second


def largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest component; empty where the mask is."""
    labels, count = ndimage.label(mask, CUBE)
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax() if count else np.zeros_like(mask)


def click(rule: str, truth: np.ndarray, mask: np.ndarray, number: int, seed: int = 0) -> Click | None:
    """Return the next click by a rule."""
    return next_click(RULES[rule], truth, mask, GRID, np.random.default_rng(seed), number)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_paper_clicks_in_the_larger_eroded_component(seed: int, number: int) -> None:
    truth, mask = blobs(seed)
    made = click("paper", truth, mask, number, seed)
    for brush in (CUBE, CUBE[:, :, :1]) if number < 10 else (CUBE,):
        # The reference counts what lies beyond the scan as set, as the official code pads with 1.
        errors = (truth & ~mask, mask & ~truth)
        missed, excess = (largest(ndimage.binary_erosion(error, brush, border_value=1)) for error in errors)
        if missed.any() or excess.any():
            assert made is not None
            assert made.positive == (missed.sum() >= excess.sum())
            assert (missed if made.positive else excess)[voxel_of(made.position_ras, GRID)]
            return
    assert made is None


def test_the_papers_first_click_is_the_middle_of_the_eroded_structure() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[2:9, 3:8, 2:9] = True
    truth[12:15, 10:13, 9:11] = True  # smaller, and gone after erosion
    made = click("paper", truth, np.zeros_like(truth), 0)
    assert made is not None
    assert made.positive
    assert voxel_of(made.position_ras, GRID) == (5, 5, 5)
    thin = np.zeros(SHAPE, dtype=bool)
    thin[4, 4, 2:9] = True
    made = click("paper", thin, np.zeros_like(thin), 0)
    assert made is not None
    assert voxel_of(made.position_ras, GRID) == (4, 4, 5), "what erosion would remove is clicked as it is"


def test_the_paper_erodes_nothing_from_the_end_of_the_scan() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[:2, 3:8, 3:8] = True  # two voxels thick: eroded from both sides, nothing would be left
    made = click("paper", truth, np.zeros_like(truth), 0)
    assert made is not None
    assert voxel_of(made.position_ras, GRID) == (0, 5, 5)
    inside = np.roll(truth, 5, axis=0)
    made = click("paper", inside, np.zeros_like(truth), 0)
    assert made is not None
    assert voxel_of(made.position_ras, GRID)[0] in (5, 6), "as thin as it is, and clicked uneroded"
    assert click("paper", inside, np.zeros_like(truth), 10) is None, "the end of a box is no end of the scan"
    assert click("paper", truth, np.zeros_like(truth), 10) is not None


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_the_challenge_clicks_where_the_largest_error_is_deepest(seed: int) -> None:
    truth, mask = blobs(seed)
    made = click("challenge", truth, mask, 3)
    assert made is not None
    voxel = voxel_of(made.position_ras, GRID)
    error = largest(truth ^ mask)
    depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1, 1:-1]
    assert depth[voxel] == depth.max()
    assert made.positive == truth[voxel]


def test_the_challenge_breaks_ties_by_its_own_seed() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[3:7, 3:7, 3:7] = True  # the eight inner voxels are equally deep
    inner = np.argwhere(ndimage.binary_erosion(truth))
    expected = tuple(inner[np.random.RandomState(42).choice(8)])
    for seed in range(3):
        made = click("challenge", truth, np.zeros_like(truth), 0, seed)
        assert made is not None
        assert voxel_of(made.position_ras, GRID) == expected


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "random"])
def test_no_rule_clicks_where_nothing_is_wrong(rule: str) -> None:
    truth, _ = blobs(1)
    assert click(rule, truth, truth, 1) is None
    assert click(rule, np.zeros_like(truth), np.zeros_like(truth), 0) is None


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_sees_the_same_in_a_box_as_in_the_whole_scan(rule: str) -> None:
    truth, mask = (np.pad(each, 6) for each in blobs(5))
    wide = GRID.crop([-6] * 3, [n + 6 for n in SHAPE])
    whole = RULES[rule](truth, mask, wide, np.random.default_rng(0), 2)
    boxed = next_click(RULES[rule], truth, mask, wide, np.random.default_rng(0), 2)
    assert whole is not None
    assert boxed is not None
    assert boxed.positive == whole.positive
    np.testing.assert_allclose(boxed.position_ras, whole.position_ras, atol=1e-9)


def test_thin_errors_are_clicked_early_only() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[4:8, 4:8, 5] = True
    nothing = np.zeros_like(truth)
    assert paper_click(truth, nothing, GRID, np.random.default_rng(0), 9) is not None
    assert paper_click(truth, nothing, GRID, np.random.default_rng(0), 10) is None
    assert challenge_click(truth, nothing, GRID, np.random.default_rng(0), 10) is not None
