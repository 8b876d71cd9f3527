"""What the network is asked about a structure, given its clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prosect.boxes import Box
from prosect.drawn_box import flat_axis, holds
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.inference.question import Question
from prosect.prompts import LabelledClick, click_label
from prosect.session.edits import Clicks, PlacedClick, Sheet, scale_of

__all__ = ["asks_the_same", "bounds_of", "box_in_scan", "extent_of", "in_its_place", "notes_on_box", "question_of"]


def box_in_scan(box: Box | None, grid: Grid) -> Box | None:
    """Return the part of a box that lies in a scan, or None where there is no box.

    Raises:
        PromptError: No part does (`POINT_OUTSIDE`).
    """
    if box is None:
        return None
    inside = box & Box((0, 0, 0), grid.shape)
    if not inside.size:
        raise PromptError(
            f"The box from voxel {box.start} to {box.stop} lies outside the scan of {grid.shape} voxels; draw it over "
            "the scan.",
            code="POINT_OUTSIDE",
        )
    return inside


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


def in_its_place(clicks: Sequence[PlacedClick], new: PlacedClick, spacing_mm: Sequence[float]) -> PlacedClick | None:
    """Return a new click as it counts beside others, or None where it says nothing new.

    In one voxel the last click counts. Size and box of the one before stay, where they count and the new one says none.

    Args:
        clicks: In their order.
        new: The new click.
        spacing_mm: Distance of voxels along i, j, k.
    """
    old = next((each for each in clicks if each.voxel == new.voxel), None)
    if old is None:
        return new
    bounds, extent_mm = bounds_of(clicks, spacing_mm), extent_of(clicks, spacing_mm)
    says_so_again = new.positive == old.positive and new.bounds in (None, bounds) and new.extent_mm in (None, extent_mm)
    # A box drawn later may have taken the voxel away, which a positive click there gives back.
    is_cut_off = new.positive and bounds is not None and not holds(bounds, new.voxel, spacing_mm)
    if says_so_again and not is_cut_off:
        return None
    if new.bounds is None and old.bounds == bounds:
        new = replace(new, bounds=bounds)
    if new.extent_mm is None and old.extent_mm == extent_mm:
        new = replace(new, extent_mm=extent_mm)
    return new


def notes_on_box(clicks: Sequence[PlacedClick], spacing_mm: Sequence[float]) -> list[str]:
    """Return what to say of the box that was drawn last: that positive clicks lie where it leaves no room.

    Args:
        clicks: In their order.
        spacing_mm: Distance of voxels along i, j, k.
    """
    bounds = bounds_of(clicks, spacing_mm)
    if bounds is None:
        return []
    count = sum(each.positive and not holds(bounds, each.voxel, spacing_mm) for each in clicks)
    if not count:
        return []
    return [f"the box holds the whole structure: clicks outside it ({count}) no longer add to it"]


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
