"""HD95 and the mean surface distance against their slow twin, in millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prosect.evaluation.distances import surface_distances
from prosect.geometry import Grid
from reference import surface_distance as twin

SPACING = (0.7, 1.0, 2.5)


def grid(shape: tuple[int, ...]) -> Grid:
    """Return a grid at the origin."""
    return Grid(shape, np.diag([*SPACING, 1.0]))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_distances_are_those_of_their_slow_twin(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(2, 8, 7, 6))
    found, truth = (ndimage.gaussian_filter(part, 0.8) > 0.1 for part in noise)
    apart = surface_distances(found, truth, grid(found.shape))
    if not found.any() or not truth.any():
        assert apart is None
        return
    assert apart is not None
    assert (apart.hd95_mm, apart.mean_mm) == pytest.approx(twin.hd95_and_mean(found, truth, SPACING), abs=1e-9)


def test_a_shift_is_told_in_millimetres() -> None:
    truth = np.zeros((9, 9, 9), dtype=bool)
    truth[2:5, 2:5, 4] = True
    apart = surface_distances(np.roll(truth, 1, axis=2), truth, grid(truth.shape))
    assert apart is not None
    assert (apart.hd95_mm, apart.mean_mm) == pytest.approx((2.5, 2.5))


def test_where_one_is_empty_there_is_no_distance() -> None:
    truth = np.ones((3, 3, 3), dtype=bool)
    assert surface_distances(~truth, truth, grid(truth.shape)) is None
    assert surface_distances(truth, ~truth, grid(truth.shape)) is None
