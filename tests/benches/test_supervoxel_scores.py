"""Scores of supervoxels against brute force and by their laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from supervoxel_scores import achievable_dice, borders, boundary_recall


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, (5, 6, 7))
    structure = rng.random((5, 6, 7)) < rng.random(7)[labels]
    structure[0, 0, 0] = True
    return labels, structure


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("at_most", [None, 1, 2, 3])
def test_no_union_is_better_than_the_achievable(seed: int, at_most: int | None) -> None:
    labels, structure = random_case(seed)
    sizes = range(1, (at_most or 6) + 1)
    unions = [np.isin(labels, pick) for n in sizes for pick in itertools.combinations(range(1, 7), n)]
    assert achievable_dice(labels, structure, at_most) == pytest.approx(max(dice(u, structure) for u in unions))


def test_a_structure_that_is_a_union_is_reached() -> None:
    labels, _ = random_case(0)
    assert achievable_dice(labels, np.isin(labels, (2, 5))) == 1
    assert achievable_dice(labels, np.isin(labels, (2, 5)), at_most=1) < 1
    assert achievable_dice(np.zeros((3, 3, 3), dtype=int), np.ones((3, 3, 3), dtype=bool)) == 0


def test_a_border_is_on_both_sides_of_a_change() -> None:
    labels = np.zeros((6, 4, 4), dtype=int)
    labels[3:] = 1
    assert np.array_equal(np.flatnonzero(borders(labels)[:, 0, 0]), [2, 3])


def test_recall_counts_millimetres() -> None:
    labels = np.zeros((12, 4, 4), dtype=int)
    labels[6:] = 1
    structure = np.zeros((12, 4, 4), dtype=bool)
    structure[9:] = True
    # The structure's border is at plane 9, the nearest between supervoxels at 6: three planes of 2 mm.
    assert boundary_recall(labels, structure, (2.0, 1.0, 1.0), 5.9) == 0
    assert boundary_recall(labels, structure, (2.0, 1.0, 1.0), 6.0) == 1
    assert boundary_recall(structure.astype(int), structure, (2.0, 1.0, 1.0), 0.0) == 1
