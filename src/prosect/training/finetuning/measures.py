"""What a model is worth before and after finetuning: by itself, by one click, and of what it knew before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from prosect.data.labelled import LabelledScan
from prosect.evaluation.dice import dice
from prosect.evaluation.protocols import Rules, clicks
from prosect.evaluation.scores import Target
from prosect.models import Learns

__all__ = ["click_dice", "kept_agreement"]


def click_dice(model: Learns, scans: Sequence[LabelledScan], classes: Sequence[int], seed: int) -> float | None:
    """Return the mean Dice after one click in the middle of each structure, shown as an object without a name.

    Without a name, because the model before finetuning has none for it. None where no scan shows a structure.
    """
    rows = []
    for scan in scans:
        targets = []
        for i in classes:
            if i in scan.known:
                targets.append(Target(i, scan.vocabulary[i].name, f"unnamed object {i}"))
        rows += clicks(scan, model, targets, replace(Rules(), count=1), np.random.default_rng(seed))
    found = []
    for row in rows:
        if row.dice is not None:
            found.append(row.dice)
    if found:
        return round(float(np.mean(found)), 4)
    return None


def kept_agreement(before: Learns, after: Learns, scans: Sequence[LabelledScan]) -> dict[str, float | None]:
    """Return by class that was kept the mean Dice of its results with those before; None where neither finds it.

    There are no labels of it to judge by, so this says how far it has moved, not how good it is.
    """
    still = _supported(after)
    both = []
    for s in before.vocabulary:
        if s.supported and s.index in still:
            both.append(s.index)
    found: dict[int, list[float]] = {index: [] for index in both}
    for scan in scans:
        one, other = (model.segment(scan.volume, both) for model in (before, after))
        for index in both:
            overlap = dice(one.mask(index, whole=True), other.mask(index, whole=True))
            if overlap is not None:
                found[index].append(overlap)
    kept: dict[str, float | None] = {}
    for index, overlaps in found.items():
        name = before.vocabulary[index].name
        if overlaps:
            kept[name] = round(float(np.mean(overlaps)), 4)
        else:
            kept[name] = None
    return kept


def _supported(model: Learns) -> set[int]:
    found: set[int] = set()
    for s in model.vocabulary:
        if s.supported:
            found.add(s.index)
    return found
