"""Where the clicks of a structure are asked: at which working spacing, and in which patches of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from prosect.session.edits import Clicks, PlacedClick, Sheet, extent_of, scale_of
from prosect.session.protocols import Responder, rescaled_of, responder_at

__all__ = ["place_click", "scale_for"]

ONE_SCALE = "this model answers at its own working spacing only; the size is not used"


def scale_for(responder: Responder, kept: Clicks, new: PlacedClick, notes: list[str]) -> float:
    """Return the scale at which a structure is asked about with one more click.

    Args:
        responder: Answers clicks on the scan.
        kept: The clicks that count beside the new one.
        new: The new click.
        notes: What was assumed is added to these.
    """
    said = extent_of((*kept, new))
    if said is None:
        return scale_of(kept)
    rescaled = rescaled_of(responder)
    if rescaled is not None:
        return rescaled.scales.for_extent(said)
    if new.extent_mm is not None and new.bounds is None:
        notes.append(ONE_SCALE)
    return 1.0


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
