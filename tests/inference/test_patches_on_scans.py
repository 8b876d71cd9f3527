"""Answers of patches on the scan's own voxels: only what a patch covers, interpolated, and averaged where they meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.case import Placement
from prosect.geometry import Grid
from prosect.inference.patch_to_scan import patch_box, patch_to_scan
from prosect.inference.patches_in_box import patches_in_box
from worlds.orders import ORDERS

SHAPE = (15, 12, 10)
PATCH = (6, 5, 4)
SHEARED = np.array([[1.5, 0.0, 0.3, -8.0], [0.0, 1.6, 0.4, -9.0], [0.0, 0.0, 2.2, -7.0], [0.0, 0.0, 0.0, 1.0]])
PLAIN = np.diag([1.5, 1.6, 2.2, 1.0])
kinds = pytest.mark.parametrize("affine", [PLAIN, SHEARED], ids=["straight", "sheared"])
starts = st.tuples(*[st.integers(-3, 8)] * 3)


def placement(affine: np.ndarray = PLAIN, spacing: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> Placement:
    return Placement.spaced(Grid(SHAPE, affine), spacing)


def positions(case: Placement) -> np.ndarray:
    """Return the network position of every voxel of the scan as it is stored (i j k 3): through the world."""
    voxels = np.argwhere(np.ones(case.native.shape, dtype=bool))
    return case.grid.to_voxel(case.native.to_world(voxels)).reshape(*case.native.shape, 3)


def inside(case: Placement, start: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """Return which voxels of the scan have their middle in a patch."""
    at = positions(case) - start
    return ((at >= -0.5 - 1e-9) & (at <= np.array(shape) - 0.5 + 1e-9)).all(axis=-1)


def slow(case: Placement, start: tuple[int, int, int], logits: np.ndarray) -> np.ndarray:
    """Return trilinear logits on the whole scan, voxel by voxel, NaN outside the patch."""
    out = np.full(case.native.shape, np.nan)
    last = np.array(logits.shape) - 1
    at = positions(case)
    for voxel in zip(*np.nonzero(inside(case, start, logits.shape)), strict=True):
        place = np.clip(at[voxel] - start, 0, last)
        low = np.minimum(np.floor(place).astype(int), np.maximum(last - 1, 0))
        share = place - low
        total = 0.0
        for corner in itertools.product((0, 1), repeat=3):
            index = np.minimum(low + corner, last)
            weight = np.prod(np.where(corner, share, 1 - share))
            total += float(weight) * float(logits[tuple(index)])
        out[voxel] = total
    return out


@kinds
@given(starts)
@settings(max_examples=25, deadline=None)
def test_the_box_of_a_patch_holds_every_voxel_whose_middle_lies_in_it(
    affine: np.ndarray, start: tuple[int, int, int]
) -> None:
    case = placement(affine)
    box = patch_box(case, start, PATCH)
    covered = inside(case, start, PATCH)
    outside = covered.copy()
    outside[box.slices] = False
    assert not outside.any()
    if case.is_separable and covered.any():
        assert box == Box.of(covered), "and no more where axes are straight"


@kinds
@given(starts, st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_logits_on_the_scan_are_interpolated_and_nan_where_the_patch_says_nothing(
    affine: np.ndarray, start: tuple[int, int, int], seed: int
) -> None:
    case = placement(affine)
    logits = np.random.default_rng(seed).normal(size=PATCH).astype(np.float32)
    box, found = patch_to_scan(case, start, torch.from_numpy(logits))
    assert found.shape == box.shape
    np.testing.assert_allclose(found, slow(case, start, logits)[box.slices], atol=1e-4)


@pytest.mark.parametrize("order", ORDERS[::5], ids=str)
def test_the_order_in_which_a_scan_is_stored_does_not_matter(order) -> None:
    plain = placement()
    other = Placement.spaced(plain.native.reorder(order), (2.0, 2.0, 2.0))
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=PATCH).astype(np.float32))
    expected = np.full(plain.native.shape, np.nan, dtype=np.float32)
    box, values = patch_to_scan(plain, (1, 2, 1), logits)
    expected[box.slices] = values
    turned = np.full(other.native.shape, np.nan, dtype=np.float32)
    box, values = patch_to_scan(other, (1, 2, 1), logits)
    turned[box.slices] = values
    np.testing.assert_allclose(turned, order.apply(expected), atol=1e-5)


def test_at_the_scans_own_spacing_logits_are_those_of_the_network() -> None:
    case = placement(np.diag([2.0, 2.0, 2.0, 1.0]))
    logits = torch.randn(PATCH, generator=torch.Generator().manual_seed(0))
    box, found = patch_to_scan(case, (3, 2, 1), logits)
    assert box == Box((3, 2, 1), (9, 7, 5))
    np.testing.assert_array_equal(found, logits.numpy())


def test_a_patch_beside_the_scan_covers_nothing() -> None:
    case = placement()
    assert patch_box(case, (50, 0, 0), PATCH).size == 0
    _, found = patch_to_scan(case, (50, 0, 0), torch.ones(PATCH))
    assert found.size == 0


WHOLE = Box((0, 0, 0), SHAPE)


def test_one_patch_is_taken_as_it_is() -> None:
    case = placement()
    logits = torch.randn(PATCH, generator=torch.Generator().manual_seed(1))
    asked, yes = patches_in_box(case, [(1, 1, 1)], PATCH, lambda _start: logits, WHOLE)
    expected = slow(case, (1, 1, 1), logits.numpy())
    np.testing.assert_array_equal(asked, ~np.isnan(expected))
    clear = np.abs(np.nan_to_num(expected)) > 1e-4
    np.testing.assert_array_equal(yes[clear], np.nan_to_num(expected)[clear] > 0)
    assert not yes[~asked].any()


def test_the_order_of_patches_does_not_matter_and_what_they_agree_on_stays() -> None:
    case = placement()
    three = [(0, 0, 0), (3, 2, 1), (4, 4, 2)]
    drawn = {start: torch.randn(PATCH, generator=torch.Generator().manual_seed(n)) for n, start in enumerate(three)}
    asked, yes = patches_in_box(case, three, PATCH, drawn.__getitem__, WHOLE)
    for order in itertools.permutations(three):
        other_asked, other_yes = patches_in_box(case, order, PATCH, drawn.__getitem__, WHOLE)
        np.testing.assert_array_equal(other_asked, asked)
        assert (other_yes != yes).mean() < 1e-3, "sums of floats in another order"
    _, all_yes = patches_in_box(case, three, PATCH, lambda _start: torch.ones(PATCH), WHOLE)
    np.testing.assert_array_equal(all_yes, asked)


def test_where_patches_disagree_the_one_whose_middle_is_nearer_counts_more() -> None:
    case = placement(np.diag([2.0, 2.0, 2.0, 1.0]))
    first, second = (0, 0, 0), (4, 0, 0)
    says = {first: torch.ones(PATCH), second: -torch.ones(PATCH)}
    _, yes = patches_in_box(case, [first, second], PATCH, says.__getitem__, WHOLE)
    # They share i = 4 and 5: the far edge of the first, and so no part of its middle.
    assert yes[:5, 2, 1].all()
    assert not yes[5:, 2, 1].any()


def test_a_box_that_is_a_part_shows_that_part_of_the_whole() -> None:
    case = placement()
    two = [(0, 0, 0), (3, 3, 2)]
    drawn = {start: torch.randn(PATCH, generator=torch.Generator().manual_seed(n)) for n, start in enumerate(two)}
    asked, yes = patches_in_box(case, two, PATCH, drawn.__getitem__, WHOLE)
    part = Box((2, 3, 1), (9, 10, 8))
    some_asked, some_yes = patches_in_box(case, two, PATCH, drawn.__getitem__, part)
    np.testing.assert_array_equal(some_asked, asked[part.slices])
    np.testing.assert_array_equal(some_yes, yes[part.slices])


def test_only_patches_that_reach_into_the_box_are_asked_and_each_is_told() -> None:
    case = placement()
    near, far = (0, 0, 0), (6, 5, 5)
    seen: list[tuple[int, int, int]] = []
    told: list[tuple[int, int]] = []

    def answer(start: tuple[int, int, int]) -> torch.Tensor:
        seen.append(start)
        return torch.ones(PATCH)

    patches_in_box(case, [near, far], PATCH, answer, Box((0, 0, 0), (3, 3, 3)), lambda *done: told.append(done))
    assert seen == [near]
    assert told == [(1, 1)]


def test_what_is_expected_beforehand_tips_the_scales_where_the_answer_is_weak() -> None:
    case = placement()
    weak = lambda _start: torch.full(PATCH, -0.5)  # noqa: E731
    asked, yes = patches_in_box(case, [(0, 0, 0)], PATCH, weak, WHOLE)
    assert not yes.any()
    expected = np.zeros(SHAPE, dtype=np.float32)
    expected[:2] = 1.0
    asked, yes = patches_in_box(case, [(0, 0, 0)], PATCH, weak, WHOLE, expected=expected)
    np.testing.assert_array_equal(yes[:2], np.ones_like(yes[:2]))
    assert not yes[2:].any()
    assert asked.any()
