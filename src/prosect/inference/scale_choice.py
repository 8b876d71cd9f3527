"""Find the scale of a target from its clicks alone: answer at several scales, and choose by what speaks for each.

The first click is answered at every scale that is tried. What speaks for an answer is a weighted sum of its cues, which
stands for the Dice that it may have; the model's own scale is left only where another is better by a margin. Later
clicks can lead back to the model's own scale, where the answers at the other contradict them more. They never lead away
from it: of seven objects that were tried so, four ended worse and one better, because every click in an error of a mask
contradicts the scale that made it, and some other scale is always silent there.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prosect.inference.scale_cues import View, cues_of
from prosect.places import Point

__all__ = ["Known", "LabelledPoint", "ScaleRule", "Views", "find_scale"]

LabelledPoint = tuple[Point, int]  # where a click is, in RAS mm, and its label

SURE = 2.0  # logit at which an answer counts as sure


@dataclass(frozen=True)
class ScaleRule:
    """How a scale is chosen. Fitted by `experiments/scale_rule.py`.

    Attributes:
        tried: The scales that are tried; 1 is among them.
        weights: What a cue is worth, by its name in `CUES`, in Dice per unit.
        margin: By how much another scale must be better than 1.
        margin_hu: The same for a scan in the units that the model was trained on.
        contradicted: What a scale loses with each click that its answer was sure to call otherwise.
        steady: By how much the model's own scale must be better to be gone back to.
    """

    tried: tuple[float, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    margin: float = 0.0
    margin_hu: float = 0.0
    contradicted: float = 0.2
    steady: float = 0.0


class Views(Protocol):
    """What answers clicks at one scale."""

    def view(self, points: Sequence[LabelledPoint], zero_shot: bool) -> View:
        """Return the answer to clicks in the patch of the first."""

    def value_at(self, points: Sequence[LabelledPoint], zero_shot: bool, position_ras: Point) -> float | None:
        """Return the logit of that answer at a place; None where the patch does not show it."""


@dataclass(frozen=True)
class Found:
    """What clicks speak for.

    Attributes:
        chosen: The scale.
        worth: Of each scale that is tried.
    """

    chosen: float
    worth: Mapping[float, float]


# What was found, by the clicks and whether the structure is an object of its own.
Known = MutableMapping[tuple[tuple[LabelledPoint, ...], bool], Found]


def find_scale(
    at: Mapping[float, Views],
    points: Sequence[LabelledPoint],
    zero_shot: bool,
    rule: ScaleRule,
    margin: float,
    known: Known | None = None,
) -> float:
    """Return the scale that the clicks on one structure speak for.

    It depends on the clicks and their order only. The first click costs one pass for each scale that is tried, each
    further one at most two, and none where the model's own scale was chosen.

    Args:
        at: What answers at each scale that is tried.
        points: The clicks in their order, the first of them positive.
        zero_shot: Whether the structure is an object of its own.
        rule: How the scale is chosen.
        margin: By how much another scale must be better than 1.
        known: What was found of clicks before, with the same of all else; what is found now is added. Without it the
            answers to all clicks are needed again at each, which after a hundred clicks nobody remembers.
    """
    asked = tuple(points)
    memory: Known = {} if known is None else known
    begin, found = 1, None
    for count in range(len(asked), 0, -1):
        found = memory.get((asked[:count], zero_shot))
        if found is not None:
            begin = count
            break
    if found is None:
        found = _first(at, asked[:1], zero_shot, rule, margin)
        memory[asked[:1], zero_shot] = found
    for count in range(begin, len(asked)):
        found = _after(found, at, asked[: count + 1], zero_shot, rule)
        memory[asked[: count + 1], zero_shot] = found
    return found.chosen


def _first(
    at: Mapping[float, Views], points: Sequence[LabelledPoint], zero_shot: bool, rule: ScaleRule, margin: float
) -> Found:
    """Return what the first click speaks for; see `find_scale`."""
    worth = {}
    for scale in rule.tried:
        cues = cues_of(at[scale].view(points, zero_shot))
        worth[scale] = sum(weight * cues[name] for name, weight in rule.weights.items())
    # The model was trained at its own scale, so another one must be clearly better.
    worth[1.0] += margin
    return Found(_best(worth), worth)


def _after(
    before: Found, at: Mapping[float, Views], points: Sequence[LabelledPoint], zero_shot: bool, rule: ScaleRule
) -> Found:
    """Return what clicks speak for, given what all but the last of them did; see `find_scale`."""
    if before.chosen == 1:
        return before
    worth = dict(before.worth)
    position, label = points[-1]
    for scale in (before.chosen, 1.0):
        value = at[scale].value_at(points[:-1], zero_shot, position)
        worth[scale] -= rule.contradicted * _contradiction(value, label % 2 == 1)
    if worth[1.0] > worth[before.chosen] + rule.steady:
        return Found(1.0, worth)
    return Found(before.chosen, worth)


def _contradiction(value: float | None, positive: bool) -> float:
    """Return how much a click contradicts an answer, from 0 to 1.

    Args:
        value: The answer's logit at the click; None where it does not show the place, and so takes it for no part.
        positive: Whether the place belongs to the structure.
    """
    logit = -SURE if value is None else value
    against = -logit if positive else logit
    return min(max(against / SURE, 0.0), 1.0)


def _best(worth: Mapping[float, float]) -> float:
    """Return the scale of greatest worth; at a tie the one nearer to the model's own."""
    return min(worth, key=lambda scale: (-worth[scale], abs(scale - 1), scale))
