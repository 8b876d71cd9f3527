"""Which scans train, which choose, which judge: the split of the paper, for lists that bring none."""

from __future__ import annotations

import numpy as np

__all__ = ["SEED", "published_split"]

SEED = 20230808  # the official lists were made with it
TEST_SHARE = 0.2
FOLDS = 5


def published_split(count: int, seed: int = SEED) -> tuple[tuple[str, int | None], ...]:
    """Return for each scan of a set, in the order of the set, its split and fold (VISTA3D, Sec. 3.3).

    A fifth is for testing; the rest has five folds, of which fold 0 is for validation: 64, 16 and 20 percent. The same
    shuffles as the official lists', so that a set listed in the same order is split alike.

    Args:
        count: Number of scans.
        seed: Of the shuffles.
    """
    order = shuffle(list(range(count)), seed)
    train = order[: int((1 - TEST_SHARE) * count + 0.5)]
    again = shuffle(train, seed)
    splits: list[tuple[str, int | None]] = [("testing", None)] * count
    for number, scan in enumerate(again):
        splits[scan] = ("training", number % FOLDS)
    return tuple(splits)


def shuffle(scans: list[int], seed: int) -> list[int]:
    """Return scans in the order that the seed gives."""
    order = list(range(len(scans)))
    np.random.RandomState(seed).shuffle(order)  # not a Generator: its stream differs, and so would the split
    return [scans[n] for n in order]
