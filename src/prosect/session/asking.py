"""What the network is asked about a structure, given its clicks."""

from __future__ import annotations

from collections.abc import Sequence

from prosect.boxes import Box
from prosect.drawn_box import flat_axis, holds
from prosect.inference.question import Question
from prosect.prompts import LabelledClick, click_label
from prosect.session.edits import Clicks, PlacedClick, Sheet, scale_of

__all__ = ["asks_the_same", "bounds_of", "extent_of", "question_of"]


def extent_of(clicks: Sequence[PlacedClick], spacing_mm: Sequence[float]) -> float | None:
    """Return the longest side of a structure in mm as a person said it last, or None.

    Args:
        clicks: In their order.
        spacing_mm: Distance of voxels along i, j, k.
    """
    said = None
    for number, each in enumerate(clicks):
        if each.extent_mm is not None and not _adds_a_part(each, clicks[:number], spacing_mm):
            said = each.extent_mm
    return said


def bounds_of(clicks: Sequence[PlacedClick], spacing_mm: Sequence[float]) -> Box | None:
    """Return the box in which a structure lies as a person drew it last, or None.

    A positive click where the box leaves no room says that the structure goes on there, so the box no longer counts.

    Args:
        clicks: In their order.
        spacing_mm: Distance of voxels along i, j, k.
    """
    bounds: Box | None = None
    for number, each in enumerate(clicks):
        if each.bounds is not None and not _adds_a_part(each, clicks[:number], spacing_mm):
            bounds = each.bounds
        elif bounds is not None and each.positive and not holds(bounds, each.voxel, spacing_mm):
            bounds = None
    return bounds


def _adds_a_part(click: PlacedClick, before: Sequence[PlacedClick], spacing_mm: Sequence[float]) -> bool:
    """Return whether a click's box was drawn around a part only: the structure was clicked elsewhere before.

    A box in space is meant for the whole structure, whatever was clicked; one in a plane is what viewers have, and they
    use it for parts that are missing, too.
    """
    if click.bounds is None or flat_axis(click.bounds) is None:
        return False
    return any(each.positive and not holds(click.bounds, each.voxel, spacing_mm) for each in before)


def question_of(sheet: Sheet, clicks: Clicks, spacing_mm: Sequence[float]) -> Question:
    """Return the clicks on a structure that count, as a responder takes them: in the order of their turns.

    Args:
        sheet: The structure.
        clicks: Its clicks.
        spacing_mm: Distance of voxels along i, j, k.
    """
    target = sheet.target
    counting = [(each.turn, each) for each in clicks if each.turn is not None]
    counting.sort(key=lambda pair: pair[0])
    labelled = []
    for _, each in counting:
        if each.anchor_ras is not None:
            labelled.append(LabelledClick(each.anchor_ras, click_label(True, target.ambiguous), each.patch))
        labelled.append(LabelledClick(each.position_ras, click_label(each.positive, target.ambiguous), each.patch))
    return Question(tuple(labelled), target.zero_shot, target.index, bounds_of(clicks, spacing_mm))


def asks_the_same(sheet: Sheet, clicks: Clicks, spacing_mm: Sequence[float]) -> bool:
    """Return whether clicks ask the network about a structure what its clicks so far ask; see `question_of`."""
    if scale_of(clicks) != scale_of(sheet.clicks):
        return False
    return question_of(sheet, clicks, spacing_mm) == question_of(sheet, sheet.clicks, spacing_mm)
