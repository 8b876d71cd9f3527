"""Scans without a split are split as the paper says, and a set listed alike is split alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from prosect.data.splits import SEED, published_split, shuffle


@pytest.mark.parametrize("count", [1, 2, 5, 10, 41, 100, 257])
def test_a_fifth_is_tested_and_the_rest_has_five_folds_of_one_size(count: int) -> None:
    splits = published_split(count)
    assert len(splits) == count
    testing = [fold for split, fold in splits if split == "testing"]
    training = [fold for split, fold in splits if split == "training"]
    assert set(testing) <= {None}
    assert len(training) == int(0.8 * count + 0.5)
    sizes = Counter(training)
    assert set(sizes) <= set(range(5))
    if len(training) >= 5:
        assert max(sizes.values()) - min(sizes.values()) <= 1


def test_one_seed_is_one_split_and_another_is_another() -> None:
    assert published_split(60) == published_split(60, SEED)
    assert published_split(60, 1) != published_split(60)


def test_every_scan_is_shuffled_to_one_place() -> None:
    scans = [7, 3, 11, 5, 2]
    mixed = shuffle(scans, 4)
    assert sorted(mixed) == sorted(scans)
    assert mixed != scans


def test_the_shuffle_is_that_of_the_official_lists() -> None:
    """The slow twin is numpy's old generator, whose stream the lists were made with."""
    names = [f"scan {n}" for n in range(25)]
    twin = list(names)
    np.random.RandomState(SEED).shuffle(twin)
    assert [names[n] for n in shuffle(list(range(25)), SEED)] == twin


def test_the_split_of_ten_scans_is_as_it_was_published() -> None:
    splits = published_split(10)
    order = shuffle(list(range(10)), SEED)
    assert {n for n, (split, _) in enumerate(splits) if split == "testing"} == set(order[8:])
    again = shuffle(order[:8], SEED)
    assert [splits[n][1] for n in again] == [0, 1, 2, 3, 4, 0, 1, 2]
