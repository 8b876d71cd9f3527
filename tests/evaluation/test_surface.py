"""Surface Dice against its slow twin, and Dice where masks are empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prosect.evaluation.dice import dice
from prosect.evaluation.surface import surface_dice
from prosect.evaluation.surfels import CORNERS, areas_mm2, cell_codes
from prosect.geometry import Grid
from reference import surface_dice as twin


def grid(shape: tuple[int, ...], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Grid:
    """Return a grid at the origin."""
    return Grid(shape, np.diag([*spacing, 1.0]))


def blob(seed: int, shape: tuple[int, ...] = (9, 8, 7), level: float = 0.15) -> np.ndarray:
    """Return a random mask with a ragged surface."""
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.8) > level


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 1.5, 2.0]), st.sampled_from([1.0, 0.7]))
def test_surface_dice_is_that_of_its_slow_twin(seed: int, tolerance: float, spacing: float) -> None:
    found, truth = blob(seed), blob(seed + 1)
    here = surface_dice(found, truth, grid(found.shape, (spacing,) * 3), tolerance)
    assert here == pytest.approx(twin.surface_dice(found, truth, spacing, tolerance), abs=1e-9)


def test_every_cell_has_the_area_of_its_cut() -> None:
    areas = areas_mm2((2.0, 2.0, 2.0))
    for code in range(256):
        corners = {corner for bit, corner in enumerate(CORNERS) if code >> bit & 1}
        assert areas[code] == pytest.approx(4 * twin.area(corners) if 0 < code < 255 else 0, abs=1e-12)


def test_codes_tell_which_voxels_of_a_cell_are_set() -> None:
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[1, 0, 1] = True
    codes = cell_codes(mask)
    assert codes.shape == (3, 3, 3)
    assert np.count_nonzero(codes) == 8
    assert codes[1, 1, 1] == 1 << CORNERS.index((1, 0, 1))


def test_a_flat_surface_has_its_true_area_at_any_spacing() -> None:
    slab = np.zeros((12, 11, 6), dtype=bool)
    slab[:, :, :3] = True
    codes = cell_codes(slab)[1:-1, 1:-1, 3]
    assert areas_mm2((0.5, 3.0, 7.0))[codes].sum() == pytest.approx(11 * 10 * 0.5 * 3.0)


def test_a_shift_within_the_tolerance_costs_nothing() -> None:
    truth = np.zeros((14, 14, 14), dtype=bool)
    truth[4:9, 4:9, 4:9] = True
    found = np.roll(truth, 1, axis=2)
    here = grid(truth.shape, (1.0, 1.0, 2.0))
    assert surface_dice(found, truth, here, 2.0) == 1.0, "exactly at the tolerance is near"
    assert surface_dice(found, truth, here, 1.9) < 1.0
    assert surface_dice(truth, truth, here, 0.0) == 1.0


def test_where_masks_lie_does_not_matter() -> None:
    found, truth = blob(3), blob(4)
    wide = [np.pad(mask, [(5, 40), (9, 3), (30, 11)]) for mask in (found, truth)]
    near = surface_dice(found, truth, grid(found.shape), 1.0)
    assert surface_dice(*wide, grid(wide[0].shape), 1.0) == pytest.approx(near, abs=1e-12)
    assert surface_dice(truth, found, grid(found.shape), 1.0) == pytest.approx(near, abs=1e-12)


def test_empty_masks_have_no_overlap_and_a_false_find_scores_nothing() -> None:
    nothing, something = np.zeros((4, 4, 4), dtype=bool), np.ones((4, 4, 4), dtype=bool)
    for measure in (dice, lambda a, b: surface_dice(a, b, grid((4, 4, 4)))):
        assert measure(nothing, nothing) is None
        assert measure(something, nothing) == 0.0
        assert measure(nothing, something) == 0.0
        assert measure(something, something) == 1.0


def test_dice_counts_what_both_have_twice() -> None:
    first, second = np.zeros((2, 10), dtype=bool)
    first[:6], second[3:7] = True, True
    assert dice(first, second) == pytest.approx(2 * 3 / 10)
