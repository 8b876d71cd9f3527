"""What an entry of a session's record says: the same action again, or the question that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prosect.geometry import Grid
from prosect.session.edits import Action, Clicks, Edit, PlacedClick, Sheet

__all__ = ["clicks_of_entry", "clicks_to_json", "recorded_action"]


def recorded_action(entry: Mapping[str, Any], sheets: Sequence[Sheet], grid: Grid) -> Action:
    """Return the action of an entry.

    Args:
        entry: From the record.
        sheets: The structures that the entry names, in its order.
        grid: The scan's grid.

    Raises:
        SessionError: A mask is damaged (`SESSION_DAMAGED`).
        LookupError, TypeError, ValueError, PromptError: Something else is.
    """
    edits = tuple(Edit.from_json(each, grid.shape) for each in entry["edits"])
    clicks: dict[str, tuple[Clicks, Clicks]] = {}
    if entry["do"] == "click":
        made = PlacedClick.from_json(entry, grid, sheets[0].clicks)
        kept = tuple(each for each in sheets[0].clicks if each.voxel != made.voxel)
        clicks[sheets[0].target.name] = (sheets[0].clicks, (*kept, made))
    elif entry["do"] == "clear":
        clicks[sheets[0].target.name] = (sheets[0].clicks, ())
    for sheet in sheets:
        name = sheet.target.name
        # All clicks are recorded where the kind of the action does not tell them.
        if name in entry.get("clicks", ()):
            clicks[name] = (sheet.clicks, clicks_of_entry(entry, name, grid))
    return Action(edits, clicks)


def clicks_of_entry(entry: Mapping[str, Any], name: str, grid: Grid) -> Clicks:
    """Return the clicks of a structure after an action that records them all."""
    return tuple(PlacedClick.from_json(each, grid) for each in entry["clicks"][name])


def clicks_to_json(action: Action) -> dict[str, list[dict[str, Any]]]:
    """Return the clicks after an action, by structure, for the record."""
    return {name: [each.to_json() for each in after] for name, (_, after) in action.clicks.items()}
