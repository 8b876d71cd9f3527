"""Where a new class begins: at the embedding of the known class most like it, then fitted to the features there are."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from prosect.data.labelled import LabelledScan
from prosect.errors import ProsectWarning
from prosect.labelmap import LabelMap
from prosect.models.spec import ModelSpec
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Vista3D
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.patches import Patch

__all__ = ["LEAST_DICE", "Start", "fit_head", "most_similar", "place_rows", "trained_classes"]

# Below it, what overlaps does so by chance: a large organ meets anything that lies in it.
LEAST_DICE = 0.1
HEAD_RATE = 1e-2
FEATURE_BYTES = 2 << 30
MOST_PATCHES = 8


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


def fit_head(objective: AutomaticObjective, draw: Callable[[int], Patch], steps: int) -> None:
    """Fit embeddings and their mapping to the features that a network gives now, in place.

    A new class means nothing at first, and its gradients would tear at an encoder and a decoder that are good at other
    things. The features of some patches are computed once, so a step costs next to nothing. Ten scans of the
    hippocampus in MR, the shipped CT model: after 60 further steps a Dice of 0.2 where it had been 0 without.

    Args:
        objective: What the network is to be trained for.
        draw: Returns a patch by number.
        steps: Steps of Adam.
    """
    network = objective.network
    seen: list[tuple[Patch, Tensor]] = []
    for number in range(MOST_PATCHES):
        patch = draw(number)
        image = patch.image.to(next(network.parameters()).device)
        with torch.no_grad(), torch.autocast(image.device.type, torch.bfloat16, enabled=objective.bfloat16):
            seen.append((patch, network.automatic_features(image).float()))
        if (number + 2) * seen[0][1].nbytes > FEATURE_BYTES:
            break
    head = network.class_head
    optimizer = torch.optim.Adam([*head.class_embeddings.parameters(), *head.mlp.parameters()], lr=HEAD_RATE)
    only = AutomaticObjective(
        cast(Vista3D, _Head(network)), objective.classes, objective.nested_bits, objective.draw, objective.generator,
        background=objective.background,
    )  # fmt: skip
    for step in range(steps):
        patch, features = seen[step % len(seen)]
        optimizer.zero_grad(set_to_none=True)
        only.loss(patch, [features]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


class _Head:
    """A network of which only the class head is computed: its pyramid is the features themselves."""

    def __init__(self, network: Vista3D) -> None:
        self._network = network

    def class_logits(self, pyramid: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
        """Return class logits (b q i j k) of features (b c i j k)."""
        return torch.einsum("qc,bcijk->bqijk", self._network.class_vectors(classes), pyramid[0])
