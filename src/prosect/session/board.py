"""The masks and clicks of a session, and the one way in which they change: action by action, each on record first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import GeometryError, PromptError
from prosect.geometry import Grid
from prosect.label_values import distinct_values
from prosect.labelmap import LabelMap
from prosect.prompts import Target, extend_vocabulary, target_of
from prosect.session.changes import Change, change_of, flat_labels, labels_in
from prosect.session.edits import Action, Sheet, apply_action
from prosect.session.entries import Entries
from prosect.session.undoing import Undoing
from prosect.vocabulary import Vocabulary

__all__ = ["Board"]

Mask = NDArray[np.bool_]


class Board:
    """What a session holds.

    Args:
        grid: The scan's grid.
        vocabulary: The structures known at first; those that clicks make are added.
        entries: Where every action is recorded before it takes effect.
        undo_bytes: What undo may keep.
        label_values: Label value in files by name, where it is not the structure's index.

    Attributes:
        sheets: What is known of each structure, by name, in the order in which they came.
        undoing: What can be undone and done again.
        revision: How many actions there were, undo and redo included.
        label_values: As given, and those that drafts brought along.
    """

    def __init__(
        self,
        grid: Grid,
        vocabulary: Vocabulary,
        entries: Entries,
        undo_bytes: int,
        label_values: Mapping[str, int] | None = None,
    ) -> None:
        self.label_values = dict(label_values or {})
        self.grid, self.vocabulary, self.entries = grid, vocabulary, entries
        self.sheets: dict[str, Sheet] = {}
        self.undoing = Undoing(undo_bytes)
        self.revision = 0

    def target(self, structure: str | int) -> Target:
        """Return what clicks on a structure mean here; see `target_of`.

        Raises:
            PromptError: As there.
        """
        return target_of(structure, self.vocabulary)

    def sheet(self, target: Target) -> Sheet:
        """Return the sheet of a structure, a new one where there is none.

        Raises:
            PromptError: It is locked (`STRUCTURE_LOCKED`).
        """
        sheet = self.sheets.get(target.name)
        if sheet is not None and sheet.locked:
            raise PromptError(f"'{target.name}' is locked; unlock it first.", code="STRUCTURE_LOCKED")
        return sheet or Sheet(target, self.grid.shape)

    def existing(self, structure: str | int) -> Sheet:
        """Return the sheet of a structure that there is.

        Raises:
            PromptError: There is none (`STRUCTURE_ABSENT`).
        """
        found = self.vocabulary.get(structure)
        if found is None or found.name not in self.sheets:
            raise PromptError(f"{structure!r:.60} is not in this session.", code="STRUCTURE_ABSENT")
        return self.sheets[found.name]

    def only_name(self) -> str:
        """Return the name of the only structure.

        Raises:
            PromptError: There are several, or none (`STRUCTURE_MISSING`).
        """
        if len(self.sheets) != 1:
            raise PromptError(
                f"Say which structure the click is for; the session has {len(self.sheets)}.", code="STRUCTURE_MISSING"
            )
        return next(iter(self.sheets))

    def read(self, structure: str | int, box: Box) -> Mask:
        """Return where a structure is in a box (i j k)."""
        self._require_inside(box)
        sheet = self.sheets.get(self.target(structure).name)
        if sheet is None:
            return np.zeros(box.shape, dtype=np.bool_)
        return sheet.shown.read(box)

    def read_labels(self, box: Box, before: Change | None, values: Mapping[str, int] | None) -> NDArray[np.uint16]:
        """Return one label per voxel of a box (i j k); see `Session.read_labels`."""
        self._require_inside(box)
        if before is not None and before.revision != self.revision:
            raise PromptError(
                f"The change led to revision {before.revision}, and the session is at {self.revision}; only the newest "
                "change can be taken away.",
                code="CHANGE_OLD",
            )
        return labels_in(self.sheets, self.vocabulary, box, before, values)

    def labels(self, provenance: Mapping[str, object]) -> LabelMap:
        """Return one label per voxel of the scan (i j k)."""
        clicks = {}
        for name, sheet in self.sheets.items():
            if sheet.clicks:
                clicks[name] = len(sheet.clicks)
        sought = sorted(sheet.target.index for sheet in self.sheets.values())
        about = {**provenance, "classes": sought, "clicks": clicks}
        # Only where there are any, so that results of other models stay as they were.
        values = self.own_values(sought)
        if values:
            about["label_values"] = values
        return flat_labels(self.sheets, self.grid, self.vocabulary, about)

    def own_values(self, sought: Sequence[int]) -> dict[int, int]:
        """Return the label values in files of structures, where they are not the indices; see `distinct_values`."""
        values = {}
        for name, value in self.label_values.items():
            structure = self.vocabulary.get(name)
            if structure is not None and structure.index in sought:
                values[structure.index] = value
        return distinct_values(values, sought)

    def notes_on(self, target: Target, asked: str | int | None = None) -> list[str]:
        """Return what was assumed of a structure that is new here, or that a person named otherwise before.

        Args:
            target: The structure.
            asked: What it was called now.
        """
        if target.name not in self.sheets:
            if target.note:
                return [target.note]
            return []
        known = isinstance(asked, str) and asked.strip() != target.name and target.zero_shot
        if known:
            return [f"'{asked}' is taken as '{target.name}', which is here already"]
        return []

    def do(
        self, about: Mapping[str, Any], action: Action, sheets: Sequence[Sheet], notes: Sequence[str] = ()
    ) -> Change:
        """Record an action, then do it, and return what it changed.

        Args:
            about: What the record says of it besides its edits.
            action: What changes.
            sheets: Those of the structures that it is for, new ones too.
            notes: What was assumed.
        """
        names = [sheet.target.name for sheet in sheets]
        brought = checked_values(about.get("label_values", {}))
        everything = {**self.sheets, **dict(zip(names, sheets, strict=True))}
        edits = [edit.to_json() for edit in action.edits]
        # Whatever can fail comes before the record, which would else hold an action that was never done.
        change = change_of(action.edits, everything, names, notes, self.revision + 1)
        self.entries.append({**about, "structures": names, "edits": edits})
        self.sheets.update(zip(names, sheets, strict=True))
        for sheet in sheets:
            self.vocabulary = extend_vocabulary(self.vocabulary, sheet.target)
        apply_action(action, self.sheets)
        self.label_values.update(brought)
        self.revision += 1
        first = not self.undoing.dropped
        if self.undoing.add(action) and first:
            limit = self.undoing.limit_bytes or 0
            note = f"undo keeps at most {limit / 2**20:.0f} MiB: from now on the oldest actions cannot be undone"
            change = replace(change, notes=(*change.notes, note))
        return change

    def undo(self) -> Change:
        """Take the newest action back.

        Raises:
            PromptError: There is none (`NOTHING_TO_UNDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        if not self.undoing.can_undo:
            dropped = self.undoing.dropped
            older = ""
            if dropped:
                older = f"; the {dropped} oldest actions can no longer be undone, for want of memory"
            raise PromptError(f"There is nothing to undo{older}.", code="NOTHING_TO_UNDO")
        change = self._step("undo", self.undoing.newest.inverse())
        self.undoing.step_back()
        return change

    def redo(self) -> Change:
        """Do again what was undone last.

        Raises:
            PromptError: There is nothing (`NOTHING_TO_REDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        if not self.undoing.can_redo:
            raise PromptError("There is nothing to redo.", code="NOTHING_TO_REDO")
        change = self._step("redo", self.undoing.newest_undone)
        self.undoing.step_on()
        return change

    def lock(self, structure: str | int, locked: bool) -> None:
        """Protect a structure from every change, or release it."""
        sheet = self.existing(structure)
        self.entries.append({"do": "lock", "structures": [sheet.target.name], "locked": locked})
        sheet.locked = locked
        self.revision += 1

    def _step(self, kind: str, action: Action) -> Change:
        """Undo or redo, which the record holds as an action of its own."""
        names = dict.fromkeys([*action.clicks, *(edit.structure for edit in action.edits)])
        for name in names:
            self.sheet(self.sheets[name].target)
        change = change_of(action.edits, self.sheets, names, (), self.revision + 1)
        self.entries.append({"do": kind})
        apply_action(action, self.sheets)
        self.revision += 1
        return change

    def _require_inside(self, box: Box) -> None:
        """Refuse a box that does not lie inside the scan."""
        shape = self.grid.shape
        if not all(0 <= a <= b <= n for a, b, n in zip(box.start, box.stop, shape, strict=True)):
            raise GeometryError(
                f"The box from {box.start} to {box.stop} does not lie inside the scan of {shape} voxels.",
                code="BOX_OUTSIDE",
            )


def checked_values(stated: Any) -> dict[str, int]:
    """Return the label values by name that an entry of a record states.

    Raises:
        ValueError: One cannot be the value of a label.
    """
    values = {}
    for name, value in stated.items():
        if not 0 < value <= np.iinfo(np.uint16).max:
            raise ValueError(f"{name} has label value {value}")
        values[str(name)] = int(value)
    return values
