"""Where the clicks of a structure are asked: at which working spacing, and in which patches of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from prosect.boxes import Box, SparseMask
from prosect.inference.scale_choice import LabelledPoint
from prosect.prompts import click_label
from prosect.session.asking import extent_of
from prosect.session.edits import Clicks, PlacedClick, Sheet, scale_of
from prosect.session.protocols import Responder, knows, rescaled_of, responder_at

__all__ = ["place_click", "scale_for"]

ONE_SCALE = "this model answers at its own working spacing only; the size is not used"


def scale_for(
    responder: Responder, sheet: Sheet, kept: Clicks, new: PlacedClick, spacing_mm: Sequence[float], notes: list[str]
) -> float:
    """Return the scale at which a structure is asked about with one more click.

    A person's word decides. Without it the scale is found where the model has a rule for it, and only for an object of
    its own that began with a click. The draft of a structure that the click branch was never taught says how large it
    is. Anything else has the size that the model was trained on: an object of one's own may begin with a dab of paint.

    Args:
        responder: Answers clicks on the scan.
        sheet: The structure.
        kept: The clicks that count beside the new one.
        new: The new click.
        spacing_mm: Distance of the scan's voxels along i, j, k.
        notes: What was assumed is added to these.
    """
    said = extent_of((*kept, new), spacing_mm)
    rescaled = rescaled_of(responder)
    if said is None:
        if rescaled is None or rescaled.find is None:
            return scale_of(kept)
        if sheet.target.zero_shot and not sheet.draft.count:
            points = _points((*kept, new))
            # Where nothing is said to belong to it there is no size to find yet.
            return rescaled.find(points, True) if points else scale_of(kept)
        is_stranger = not sheet.target.zero_shot and not knows(responder, sheet.target.index)
        if is_stranger and sheet.draft.count:
            return rescaled.scales.for_extent(_longest_mm(sheet.draft, spacing_mm))
        return scale_of(kept)
    if rescaled is not None:
        return rescaled.scales.for_extent(said)
    if new.extent_mm is not None and new.bounds is None:
        notes.append(ONE_SCALE)
    return 1.0


def _longest_mm(draft: SparseMask, spacing_mm: Sequence[float]) -> float:
    """Return the longest side of a draft in mm."""
    filled = Box.of(draft.read(draft.box))
    return max(count * spacing for count, spacing in zip(filled.shape, spacing_mm, strict=True))


def _points(clicks: Clicks) -> list[LabelledPoint]:
    """Return the clicks that count in the order of their turns, from the first positive one; none where none is."""
    counting = []
    for each in clicks:
        if each.turn is not None:
            counting.append((each.turn, each))
    counting.sort(key=lambda pair: pair[0])
    points = []
    for _, each in counting:
        points.append((each.position_ras, click_label(each.positive, ambiguous=False)))
    first = next((n for n, (_, label) in enumerate(points) if label), None)
    if first is None:
        return []
    return [points[first], *points[:first], *points[first + 1 :]]


def place_click(
    responder: Responder, sheets: Mapping[str, Sheet], name: str, kept: Clicks, new: PlacedClick, scale: float
) -> Clicks:
    """Return the clicks of a structure with a new one, each with the patch that answers it.

    Near clicks share a patch, those on other structures too. Where the scale changes, every click gets a patch anew.

    Args:
        responder: Answers clicks on the scan.
        sheets: All structures.
        name: The structure.
        kept: The clicks that count beside the new one.
        new: The new click.
        scale: At which all of them are asked about.
    """
    placing = responder_at(responder, scale)
    existing = []
    for other, sheet in sheets.items():
        if other != name and scale_of(sheet.clicks) == scale:
            existing += [each.patch for each in sheet.clicks]
    placed = kept if scale_of(kept) == scale else ()
    existing += [each.patch for each in placed]
    for each in (*kept, new)[len(placed) :]:
        patch = placing.place(each.position_ras, existing)
        existing.append(patch)
        placed = (*placed, replace(each, patch=patch, scale=scale))
    return placed
