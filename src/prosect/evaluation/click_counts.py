"""How many clicks a Dice takes, what five clicks give, and whether one model needs fewer than another.

NoC@90 is the number of clicks until Dice reaches 0.90, at most 20: an object that never reaches it counts 20, and how
many those are is said beside it. It is the usual measure of interactive segmentation (RITM, SimpleClick).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prosect.evaluation.scores import Row
from prosect.evaluation.summary import CONFIDENCE, RESAMPLES, Mean, area, by_object, latest, mean_of, table

__all__ = ["LEVELS", "MOST_CLICKS", "Difference", "click_figures", "paired_difference"]

LEVELS = (0.80, 0.85, 0.90)
MOST_CLICKS = 20
AREA_CLICKS = 5

Key = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """What one model gains over another on the same objects.

    Attributes:
        value: Mean gain in Dice.
        low: Lower end of its interval of 95 % (paired bootstrap over scans).
        high: Upper end.
        count: Objects that both answered.
    """

    value: float
    low: float
    high: float
    count: int


def click_figures(rows: Sequence[Row], generator: np.random.Generator) -> dict[str, Mean | None] | None:
    """Return the figures by their names: `noc_80` and so on, `failed_80` and so on, and `dice_auc`.

    The first is the number of clicks until that Dice, 20 where it is not reached; the second the share of objects that
    do not reach it; the third the mean Dice over five clicks by the trapezoid rule, from 0 to 1.

    Args:
        rows: After each click; fewer than 20 clicks are taken for all that there are.
        generator: Draws scans for the intervals.
    """
    series = by_object(rows)
    if not series or max(max(own) for own in series.values()) < 2:
        return None
    keys = list(series)
    figures: dict[str, Mean | None] = {}
    for level in LEVELS:
        needed = []
        for own in series.values():
            needed.append(clicks_to(own, level))
        counts: list[float | None] = []
        for n in needed:
            counts.append(float(MOST_CLICKS if n is None else n))
        failed: list[float | None] = [float(n is None) for n in needed]
        name = f"{100 * level:.0f}"
        figures[f"noc_{name}"] = mean_of(table(keys, counts), generator)
        figures[f"failed_{name}"] = mean_of(table(keys, failed), generator)
    areas: list[float | None] = []
    for own in series.values():
        areas.append(mean_over_clicks(own))
    figures["dice_auc"] = mean_of(table(keys, areas), generator)
    return figures


def clicks_to(own: Mapping[int, Row], level: float) -> int | None:
    """Return the first number of clicks after which an object's Dice reaches a level, or None."""
    for count in sorted(own):
        dice = own[count].dice
        if 1 <= count <= MOST_CLICKS and dice is not None and dice >= level:
            return count
    return None


def mean_over_clicks(own: Mapping[int, Row]) -> float:
    """Return the mean Dice of an object from the first click to the fifth; one that ended early keeps its last."""
    dices = []
    for count in range(1, AREA_CLICKS + 1):
        dices.append(latest(own, count).dice or 0.0)
    return area(np.asarray(dices)) / (AREA_CLICKS - 1)


def paired_difference(
    ours: Sequence[Row], theirs: Sequence[Row], clicks: int, generator: np.random.Generator
) -> Difference | None:
    """Return by how much the Dice of one model exceeds another's after so many clicks, on objects that both answered.

    Scans are drawn with replacement, each with the rows of both models, so what makes a scan hard cancels out.

    Args:
        ours: Rows of one model.
        theirs: Rows of the other.
        clicks: After how many clicks.
        generator: Draws the scans.
    """
    gains = gains_by_scan(by_object(ours), by_object(theirs), clicks)
    if not gains:
        return None
    sums = np.array([sum(each) for each in gains.values()])
    counts = np.array([len(each) for each in gains.values()])
    drawn = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Difference(float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()))


def gains_by_scan(
    ours: Mapping[Key, Mapping[int, Row]], theirs: Mapping[Key, Mapping[int, Row]], clicks: int
) -> dict[str, list[float]]:
    """Return by scan the differences in Dice of the objects that both models answered."""
    gains: dict[str, list[float]] = {}
    for key in ours.keys() & theirs.keys():
        first, second = latest(ours[key], clicks).dice, latest(theirs[key], clicks).dice
        if first is not None and second is not None:
            gains.setdefault(key[0], []).append(first - second)
    return gains
