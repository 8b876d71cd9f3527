"""Algorithm 1 against its slow twin, and its laws."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.inference.merge import is_near, merge
from prosect.inference.merge_official import merge_official
from reference.alg1 import alg1

SHAPE = (7, 8, 6)


def example(seed: int, clicks: int = 3) -> tuple[Any, ...]:
    """Return two masks of a few blobs and clicks of both signs."""
    rng = np.random.default_rng(seed)
    density = rng.uniform(0.05, 0.5, 2)
    automatic, interactive = (rng.random(SHAPE) < d for d in density)
    points = [tuple(map(tuple, rng.integers(0, SHAPE, (clicks, 3)).tolist())) for _ in range(2)]
    return automatic, interactive, *points


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_the_merge_is_the_papers(seed: int, miss: float) -> None:
    automatic, interactive, positive, negative = example(seed)
    spacing = np.array([1.0, 0.7, 1.5])
    found = merge(automatic, interactive, positive, negative, np.diag(spacing), near_miss_mm=miss)
    np.testing.assert_array_equal(found, alg1(automatic, interactive, positive, negative, spacing, miss))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_order_and_repetition_of_clicks_do_not_matter(seed: int) -> None:
    automatic, interactive, positive, negative = example(seed)
    expected = merge(automatic, interactive, positive, negative)
    for p, n in zip(itertools.permutations(positive), itertools.permutations(negative), strict=True):
        np.testing.assert_array_equal(merge(automatic, interactive, p + p[:1], n + n), expected)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_voxels_outside_the_touched_components_stay(seed: int) -> None:
    automatic, interactive, positive, negative = example(seed, clicks=1)
    found = merge(automatic, interactive, positive, negative, near_miss_mm=0.0)
    changed = found != automatic
    assert not (changed & (automatic == interactive)).any(), "only what the network contradicts can change"
    assert not (found & ~automatic).any() or interactive[positive[0]]
    assert not (automatic & ~found).any() or not interactive[negative[0]]


def test_a_negative_click_removes_only_its_component() -> None:
    automatic = np.zeros((5, 5, 9), dtype=bool)
    automatic[1:3, 1:3, 1:3] = automatic[1:3, 1:3, 6:8] = True
    nothing = np.zeros_like(automatic)
    found = merge(automatic, nothing, [], [(1, 1, 1)])
    assert not found[:, :, :4].any()
    assert found[:, :, 5:].sum() == 8


def test_the_only_component_comes_as_a_mask_of_its_own() -> None:
    automatic, answer = np.zeros((2, 6, 6, 6), dtype=bool)
    answer[1:4, 1:4, 1:4] = True
    merged = merge(automatic, answer, [(2, 2, 2)], [])
    np.testing.assert_array_equal(merged, answer)
    merged[:] = False
    assert answer.sum() == 27


def test_a_negative_click_in_nothing_does_nothing() -> None:
    automatic, interactive, _, _ = example(1)
    automatic[4:] = interactive[4:] = False
    np.testing.assert_array_equal(merge(automatic, interactive, [], [(6, 7, 5)], near_miss_mm=0.0), automatic)


def test_a_positive_click_inside_the_mask_adds_all_that_the_network_joins_to_it() -> None:
    automatic = np.zeros((3, 3, 10), dtype=bool)
    automatic[1, 1, 2:5] = True
    interactive = automatic.copy()
    interactive[1, 1, 5:8] = True
    assert merge(automatic, interactive, [(1, 1, 3)], []).sum() == 6
    assert merge(automatic, interactive, [], [(1, 1, 3)]).sum() == 3, "only a positive click inside the mask adds"


def test_the_tolerance_is_in_millimetres_and_takes_the_nearest() -> None:
    interactive = np.zeros((9, 1, 1), dtype=bool)
    interactive[3] = interactive[8] = True
    nothing = np.zeros_like(interactive)
    for spacing, expected in ((1.0, 1), (1.5, 1), (1.51, 0)):
        axes = np.eye(3) * spacing
        assert merge(nothing, interactive, [(5, 0, 0)], [], axes).sum() == expected
    both = merge(nothing, interactive, [(6, 0, 0)], [], np.eye(3))
    assert both[8, 0, 0]
    assert not both[3, 0, 0]


@pytest.mark.parametrize("corner", [(0, 0, 0), (6, 7, 5)])
def test_clicks_in_the_corners_of_the_scan_count(corner: tuple[int, int, int]) -> None:
    interactive = np.zeros(SHAPE, dtype=bool)
    interactive[corner] = True
    assert merge(np.zeros_like(interactive), interactive, [corner], [])[corner]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_the_official_mode_decides_as_the_official_merge_of_logits_does(seed: int) -> None:
    automatic, interactive, positive, negative = example(seed)
    rng = np.random.default_rng(seed)
    before, answer = ((2.0 * m - 1) * rng.uniform(0.1, 9, SHAPE) for m in (automatic, interactive))
    points = np.array([[*positive, *negative]], dtype=float)
    merged = merge_official(
        before[None].astype(np.float32), answer[None].astype(np.float32), points, np.array([[1] * 3 + [0] * 3])
    )
    np.testing.assert_array_equal(merge(automatic, interactive, positive, negative, compat="official"), merged[0] > 0)


def test_the_official_mode_keeps_its_defect_that_a_negative_click_opens_the_mask_to_additions() -> None:
    automatic = np.zeros(SHAPE, dtype=bool)
    automatic[:2] = True
    interactive = np.zeros(SHAPE, dtype=bool)
    interactive[1:3] = True  # its new part hangs together with what lies in the mask
    missed, rejected = [(1, 0, 0)], [(1, 7, 5)]
    assert not merge(automatic, interactive, [], rejected)[2].any()
    paper, official = (merge(automatic, interactive, missed, [], compat=mode) for mode in (None, "official"))
    np.testing.assert_array_equal(paper, official)
    # A click just outside: the paper's letter finds nothing to add, the official code the whole answer.
    outside = [(3, 0, 0)]
    paper, official = (
        merge(automatic, interactive, outside, rejected, near_miss_mm=0, compat=mode) for mode in (None, "official")
    )
    assert not paper[2].any()
    assert official[2].any()


@pytest.mark.parametrize("compat", [None, "official"])
@pytest.mark.parametrize("beyond", [(-1, 3, 3), (3, 3, 99), (-5, -5, -5)])
def test_clicks_beyond_the_masks_select_nothing_in_them(beyond: tuple[int, int, int], compat: Any) -> None:
    automatic, interactive = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    automatic[-2:, 2:5, 2:5] = True  # where numpy looks for index -1
    interactive[2:5, 2:5, 2:5] = True
    found = merge(automatic, interactive, [beyond], [], near_miss_mm=0, compat=compat)
    np.testing.assert_array_equal(found, automatic)
    both = merge(automatic, interactive, [beyond, (3, 3, 3)], [beyond], near_miss_mm=0, compat=compat)
    np.testing.assert_array_equal(both, automatic | interactive)


@pytest.mark.parametrize("axes", [np.eye(3) / 10, [[0.4, 0, 0], [0, 0.5, 0.2], [0, 0, 2.0]], np.diag([1.5, 1.5, 9.0])])
def test_a_voxel_is_near_a_click_by_its_distance_in_mm_however_fine_the_grid(axes: Any) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 20, 20), dtype=bool)
    mask[20, 10, 10] = True
    for click in rng.integers((-20, 0, 0), (60, 20, 20), (20, 3)).tolist():
        distance_mm = np.linalg.norm(np.asarray(axes) @ (np.asarray(click) - (20, 10, 10)))
        assert is_near(mask, tuple(click), axes, 2.2501) == (distance_mm < 2.2501)
