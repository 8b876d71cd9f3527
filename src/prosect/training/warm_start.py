"""Where the embedding of a new class begins: at that of the known class which is most like it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from prosect.errors import ProsectWarning
from prosect.labelled import LabelledScan
from prosect.labelmap import LabelMap
from prosect.models.spec import ModelSpec
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Vista3D

__all__ = ["LEAST_DICE", "Start", "most_similar", "place_rows", "trained_classes"]

# Below it, what overlaps does so by chance: a large organ meets anything that lies in it.
LEAST_DICE = 0.1


@dataclass(frozen=True)
class Start:
    """Where a class begins.

    Attributes:
        sources: Classes whose embeddings' mean it takes; none where it is left as it is.
        reason: Why these, for people.
    """

    sources: tuple[int, ...]
    reason: str


def trained_classes(spec: ModelSpec) -> tuple[int, ...]:
    """Return the classes whose embeddings a model has learnt, shown to people or not."""
    return tuple(sorted({s.index for s in spec.vocabulary if s.supported} | set(spec.exclusive)))


def most_similar(
    model: Vista3DModel, scans: Iterable[LabelledScan], wanted: Sequence[int]
) -> dict[int, tuple[int, float]]:
    """Return for each structure the known class whose result overlaps its labels best, and their Dice.

    Args:
        model: Segments the scans by itself.
        scans: Scans with labels; only what they speak of is compared.
        wanted: Structures of their vocabulary. What overlaps nothing is left out.
    """
    sizes: dict[int, Counter[int]] = {index: Counter() for index in wanted}
    common: dict[int, Counter[int]] = {index: Counter() for index in wanted}
    own: Counter[int] = Counter()
    for scan in scans:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProsectWarning)  # the scans may well be unlike those of its training
            found = model.segment(scan.volume)
        assert isinstance(found, LabelMap)
        total = counts(found.array)
        for index in set(wanted) & set(scan.known):
            truth = scan.truth(index)
            own[index] += int(np.count_nonzero(truth))
            sizes[index].update(total)
            common[index].update(counts(found.array[truth]))
    best: dict[int, tuple[int, float]] = {}
    for index in wanted:
        dice = {other: 2 * n / (own[index] + sizes[index][other]) for other, n in common[index].items()}
        if dice:
            other = max(dice, key=lambda each: (dice[each], -each))
            best[index] = (other, dice[other])
    return best


def counts(labels: np.ndarray) -> dict[int, int]:
    """Return how many voxels each label has, the background left out."""
    values, number = np.unique(labels, return_counts=True)
    return {int(value): int(n) for value, n in zip(values, number, strict=True) if value}


@torch.no_grad()
def place_rows(network: Vista3D, starts: Mapping[int, Start]) -> None:
    """Give every class its first embedding, in place."""
    table = network.class_head.class_embeddings.weight
    before = table.clone()
    for index, start in starts.items():
        if start.sources:
            table[index] = before[list(start.sources)].mean(0)
