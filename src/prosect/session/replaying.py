"""What an entry of a session's record says: the same action again, or the question that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prosect.errors import PromptError, SessionError
from prosect.geometry import Grid
from prosect.prompts import extend_vocabulary, target_of
from prosect.session.board import Board
from prosect.session.edits import Action, Clicks, Edit, PlacedClick, Sheet
from prosect.session.journal import Record
from prosect.session.planning import Planner

__all__ = ["click_entry", "clicks_to_json", "replay_record"]


def replay_record(board: Board, planner: Planner, record: Record, recompute: bool) -> None:
    """Do the actions of a record on a new board.

    Args:
        board: Of a new session.
        planner: Asks the network where that is wanted.
        record: What to do.
        recompute: Ask the network again instead of taking the recorded bits, and refuse where they differ.

    Raises:
        SessionError: A damaged action (`SESSION_DAMAGED`), or a click that is answered otherwise now
            (`REPLAY_DIFFERS`).
    """
    own_limit = board.undoing.limit_bytes
    # With the limit of then, each undo finds what it found then. Before there was a limit, there was none.
    board.undoing.limit_bytes = record.header.get("undo_bytes")
    for number, entry in enumerate(record.entries):
        try:
            replay_entry(board, planner, entry, recompute)
        except (LookupError, TypeError, ValueError, PromptError) as error:
            raise SessionError(f"Action {number} of the session is damaged.", code="SESSION_DAMAGED") from error
    board.undoing.limit_bytes = own_limit
    board.undoing.trim()


def replay_entry(board: Board, planner: Planner, entry: Mapping[str, Any], recompute: bool) -> None:
    """Do one action of a record; see `replay_record`."""
    kind, names = entry["do"], entry.get("structures", ())
    if kind == "lock":
        board.lock(names[0], bool(entry["locked"]))
        return
    if kind == "undo":
        board.undo()
        return
    if kind == "redo":
        board.redo()
        return
    vocabulary, sheets = board.vocabulary, []
    for name in names:
        target = target_of(name, vocabulary)
        vocabulary = extend_vocabulary(vocabulary, target)
        sheets.append(board.sheet(target))
    action = recorded_action(entry, sheets, board.grid)
    if recompute and kind in ("click", "clicks"):
        _, after = action.clicks[sheets[0].target.name]
        if kind == "click":
            again = planner.clicks(board.sheets, sheets[0], after)
        else:
            # As a client sent them: patches and turns are what the planner finds.
            sent = [replace(each, patch=(0, 0, 0), turn=None, scale=1.0) for each in after]
            again = planner.all_clicks(board.sheets, sheets[0], sent)
        if again.edits != action.edits:
            raise SessionError("A click is answered otherwise now than then.", code="REPLAY_DIFFERS")
    about = {key: value for key, value in entry.items() if key not in ("edits", "structures")}
    board.do(about, action, sheets)


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
        new = PlacedClick.from_json(entry, grid, sheets[0].clicks)
        clicks[sheets[0].target.name] = (sheets[0].clicks, (*without(sheets[0].clicks, new), new))
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
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (_, after) in action.clicks.items():
        found[name] = [each.to_json() for each in after]
    return found


def click_entry(clicks: Clicks, action: Action) -> dict[str, Any]:
    """Return what the record says of one more click.

    Where others change with it, the record holds them all: they begin to count, or get patches of another scale.

    Args:
        clicks: The structure's clicks with the new one, which is the last.
        action: What it does; the one structure whose clicks it changes is that of the click.
    """
    new = clicks[-1]
    about = {"do": "click", **new.to_json()}
    ((before, after),) = action.clicks.values()
    if after == (*without(before, new), new):
        return about
    return {**about, "clicks": clicks_to_json(action)}


def without(clicks: Clicks, new: PlacedClick) -> Clicks:
    """Return the clicks that stay as they are beside a new one, which takes the place of one on its own voxel."""
    return tuple(each for each in clicks if each.voxel != new.voxel)
