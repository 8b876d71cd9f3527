"""Where a new class begins: at the embedding of the known class that is most like it."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.errors import ProsectWarning
from prosect.io.atomic import write_atomically
from prosect.labelmap import LabelMap
from prosect.models import Learns
from prosect.networks.vista3d import Vista3D
from prosect.training.finetuning.plan import FinetunePlan
from prosect.training.finetuning.recipe_of import trained_classes
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.scan_store import content_of

__all__ = ["LEAST_DICE", "STARTS", "Start", "first_rows", "most_similar", "place_rows", "remember_starts"]

# Below it, what overlaps does so by chance: a large organ meets anything that lies in it.
LEAST_DICE = 0.1
STARTS = "starts.json"
SIMILAR_SCANS = 2  # a whole segmentation each


@dataclass(frozen=True)
class Start:
    """Where a class begins.

    Attributes:
        sources: Classes whose embeddings' mean it takes; none where it is left as it is.
        reason: Why these, for people.
    """

    sources: tuple[int, ...]
    reason: str


def most_similar(model: Learns, scans: Iterable[LabelledScan], wanted: Sequence[int]) -> dict[int, tuple[int, float]]:
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
    found = {}
    for value, n in zip(values, number, strict=True):
        if value:
            found[int(value)] = int(n)
    return found


@torch.no_grad()
def place_rows(network: Vista3D, starts: Mapping[int, Start]) -> None:
    """Give every class its first embedding, in place."""
    table = network.class_head.class_embeddings.weight
    before = table.clone()
    for index, start in starts.items():
        if start.sources:
            table[index] = before[list(start.sources)].mean(0)


def remember_starts(folder: Path, model: Learns, plan: FinetunePlan, settings: FinetuneSettings) -> dict[int, Start]:
    """Return where classes begin, looked for once and kept: looking takes whole segmentations."""
    path, key = folder / STARTS, key_of(model, plan, settings)
    kept = _kept_starts(path, key)
    if kept is not None:
        return kept
    starts = first_rows(model, plan, settings)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, start in starts.items():
        rows.append([index, list(start.sources), start.reason])
    write_atomically(path, [json.dumps({"identity": key, "starts": rows}).encode()])
    return starts


def _kept_starts(path: Path, key: str) -> dict[int, Start] | None:
    """Return the starts in a file; None where there is none, or they are another run's."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["identity"] != key:
            return None
        found = {}
        for index, sources, reason in kept["starts"]:
            found[int(index)] = Start(tuple(sources), reason)
        return found
    except (OSError, ValueError, KeyError, TypeError):
        return None


def key_of(model: Learns, plan: FinetunePlan, settings: FinetuneSettings) -> str:
    """Return a hash of what decides where classes begin: the model, the scans that are looked at, the classes."""
    files = []
    for entry in plan.training.entries[:SIMILAR_SCANS]:
        files.append([content_of(path) for path in (entry.image, entry.label) if path is not None])
    facts = [
        model.spec.weights_sha256, model.profile.name, files, plan.numbering.order, settings.sources,
        settings.from_scratch,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def first_rows(model: Learns, plan: FinetunePlan, settings: FinetuneSettings) -> dict[int, Start]:
    """Return where each class begins: where it is, at the class that the user names, at the most similar one, or in
    the middle of all.

    Raises:
        VocabularyError: A class to start from is unknown (`STRUCTURE_UNKNOWN`).
    """
    if settings.from_scratch:
        return {}
    known, words = trained_classes(model.spec), plan.numbering.vocabulary
    named = {words[new].index: words[old].index for new, old in settings.sources}
    starts: dict[int, Start] = {}
    for index in plan.numbering.classes:
        if index in known:
            starts[index] = Start((), "known already, goes on from there")
    for index, old in named.items():
        starts[index] = Start((old,), f"starts as {words[old].name}, as asked for")
    open_ones = [index for index in plan.numbering.classes if index not in starts]
    if open_ones and model.vocabulary.lists:
        for index, (other, overlap) in most_similar(model, _similar_scans(plan, settings), open_ones).items():
            if overlap >= LEAST_DICE:
                reason = f"starts as {words[other].name}, which overlaps it with Dice {overlap:.2f}"
                starts[index] = Start((other,), reason)
    middle = Start(known, "starts as the mean of the known classes, none of which is like it")
    return {index: starts.get(index, middle) for index in plan.numbering.classes}


def _similar_scans(plan: FinetunePlan, settings: FinetuneSettings) -> list[LabelledScan]:
    entries = plan.training.entries[:SIMILAR_SCANS]
    found = []
    for entry in entries:
        found.append(read_labelled(entry, plan.training, settings.tolerance_mm))
    return found
