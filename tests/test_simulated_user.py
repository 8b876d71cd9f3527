"""Simulated clicks lie where the paper says, and follow from the generator alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from prosect.geometry import Grid
from prosect.prompts import Click, voxel_of
from prosect.simulated_user import centre_click, clicks_until, error_click

SHAPE = (12, 10, 9)
GRID = Grid(SHAPE, np.array([[0, -1.5, 0, 3], [2, 0, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1.0]]))


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a truth and a mask."""
    rng = np.random.default_rng(seed)
    first, second = (ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5) > 0.02 for _ in range(2))
    return first, second


@settings(deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_click_lies_in_the_larger_error_with_its_sign(seed: int, inner: bool) -> None:
    truth, mask = blobs(seed)
    click = error_click(truth, mask, GRID, np.random.default_rng(seed), inner=inner)
    assert click is not None
    missed, excess = truth & ~mask, mask & ~truth
    assert click.positive == (missed.sum() >= excess.sum())
    error = missed if click.positive else excess
    voxel = voxel_of(click.position_ras, GRID)
    assert error[voxel]
    eroded = ndimage.binary_erosion(error, np.ones((3, 3, 3)))
    assert not inner or not eroded.any() or eroded[voxel]


def test_every_voxel_of_the_error_is_clicked_as_often() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[3:5, 3:5, 3] = True
    rng = np.random.default_rng(0)
    clicks = [error_click(truth, np.zeros_like(truth), GRID, rng) for _ in range(400)]
    voxels, counts = np.unique([voxel_of(c.position_ras, GRID) for c in clicks if c], axis=0, return_counts=True)
    assert len(voxels) == 4
    assert counts.min() > 60


def test_the_first_click_is_deep_in_the_largest_component() -> None:
    truth = np.zeros(SHAPE, dtype=bool)
    truth[0, 0, 0] = True
    truth[4:9, 2:7, 2:7] = True
    click = centre_click(truth, GRID, "liver")
    assert click is not None
    assert voxel_of(click.position_ras, GRID) == (6, 4, 4)
    assert (click.positive, click.structure) == (True, "liver")
    assert centre_click(np.zeros(SHAPE, dtype=bool), GRID) is None


@pytest.mark.parametrize("drafted", [False, True])
def test_one_generator_gives_one_walk_and_it_ends_when_all_is_right(drafted: bool) -> None:
    truth, draft = blobs(3)

    def walk() -> list[tuple[Click, np.ndarray]]:
        mask = draft.copy() if drafted else np.zeros(SHAPE, dtype=bool)

        def answer(click: Click) -> np.ndarray:
            i, j, k = (max(n - 2, 0) for n in voxel_of(click.position_ras, GRID))
            mask[i : i + 5, j : j + 5, k : k + 5] = truth[i : i + 5, j : j + 5, k : k + 5]
            return mask.copy()

        start = draft if drafted else None
        return list(clicks_until(truth, GRID, answer, np.random.default_rng(5), 1000, start))

    first, second = walk(), walk()
    assert [c for c, _ in first] == [c for c, _ in second]
    np.testing.assert_array_equal(first[-1][1], truth)
    assert len(first) < 1000
    assert drafted or first[0][0] == centre_click(truth, GRID)
