"""One person editing one scan: drafts, clicks, undo, redo, and a journal that survives a kill.

There is one mask per structure, on the scan's own voxels. A mask is a function of its draft and of the set of its
clicks (VISTA3D, Alg. 1), not of the way that led there. Every action is kept as the bits it flipped: undo, redo and
resuming restore them exactly, on any machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError, PromptError
from prosect.inference.merge import COMPATS, NEAR_MISS_MM, Compat
from prosect.labelmap import LabelMap, Labels
from prosect.prompts import (
    Target,
    click_at,
    clicks_beside,
    extend_vocabulary,
    target_of,
)
from prosect.session.changes import Change, Suggestion, change_of, flat_labels
from prosect.session.edits import OVERLAPS, Action, Edit, PlacedClick, Sheet, apply_action
from prosect.session.journal import Journal, Record, refuse_other, write_record
from prosect.session.planning import Planner
from prosect.session.protocols import ClickModel, Responder, require_drafts, scan_hash
from prosect.volume import Volume

__all__ = ["Session"]

Mask = NDArray[np.bool_]


class Session:
    """Edits of one scan.

    Args:
        volume: The scan.
        model: Drafts structures and answers clicks.
        overlap: `allow` keeps every structure whole and lets the vocabulary decide in the flat map, `take` gives a
            voxel to the structure edited last, `keep` to the one that had it first. A locked structure keeps its
            voxels under every rule.
        near_miss_mm: How far a click may miss what it selects; see `merge`.
        compat: `official` merges as the official code does, defects included; None is Algorithm 1. See `merge`.
        journal: File to which every action is written before it takes effect.
        responder: What `model.responder(volume)` returned, for several sessions of one scan: it is made ready once.
        clock: Returns seconds.

    Raises:
        PromptError: No such rule (`OVERLAP_UNKNOWN`), no such code to be compatible with (`COMPAT_UNKNOWN`).
        FormatError: The journal exists (`JOURNAL_EXISTS`) or cannot be written.
    """

    def __init__(
        self,
        volume: Volume,
        model: ClickModel,
        *,
        overlap: str = "allow",
        near_miss_mm: float = NEAR_MISS_MM,
        compat: Compat | None = None,
        journal: str | os.PathLike[str] | None = None,
        responder: Responder | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if overlap not in OVERLAPS:
            raise PromptError(f"There is no rule {overlap!r}; use {', '.join(OVERLAPS)}.", code="OVERLAP_UNKNOWN")
        if compat is not None and compat not in COMPATS:
            raise PromptError(f"There is no mode {compat!r}; use {', '.join(COMPATS)}.", code="COMPAT_UNKNOWN")
        self.volume, self.vocabulary = volume, model.vocabulary
        self._model, self._clock, self._overlap = model, clock, overlap
        self._planner = Planner(volume, model, overlap, float(near_miss_mm), compat, responder)
        self._sheets: dict[str, Sheet] = {}
        self._done: list[Action] = []
        self._undone: list[Action] = []
        self._entries: list[Mapping[str, Any]] = []
        self.header: Mapping[str, Any] = {
            "scan_sha256": scan_hash(volume),
            "model": dict(model.identity),
            "overlap": overlap,
            "near_miss_mm": float(near_miss_mm),
            "compat": compat,
        }
        if journal is not None and Path(journal).exists():
            raise FormatError(
                f"{Path(journal).name}: there is a session in this file already; go on with it by `prosect.resume`, or "
                "give another name.",
                code="JOURNAL_EXISTS",
            )
        self._journal = None if journal is None else Journal(Path(journal), self.header)

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures that have a voxel, in the order in which they came."""
        return tuple(name for name, sheet in self._sheets.items() if sheet.shown.count)

    @property
    def responder(self) -> Responder:
        """What answers clicks on the scan: patches, and what is remembered of them."""
        return self._planner.responder

    @property
    def labels(self) -> LabelMap:
        """One label per voxel on the scan's grid; where structures overlap, see `flat_labels`."""
        clicks = {name: len(sheet.clicks) for name, sheet in self._sheets.items() if sheet.clicks}
        sought = sorted(sheet.target.index for sheet in self._sheets.values())
        provenance = {**self.header["model"], "classes": sought, "clicks": clicks}
        return flat_labels(self._sheets, self.volume.grid, self.vocabulary, provenance)

    def mask(self, structure: str | int) -> Mask:
        """Return where a structure is (i j k); all False where it has no voxel."""
        sheet = self._sheets.get(target_of(structure, self.vocabulary).name)
        return np.zeros(self.volume.grid.shape, dtype=np.bool_) if sheet is None else sheet.shown.full()

    def segment(self, structures: Sequence[str | int]) -> Change:
        """Draft structures automatically; clicks made before are applied to the new draft.

        Raises:
            VocabularyError: A structure is unknown, or the model was not trained for it.
            PromptError: A structure is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        indices = self._model.vocabulary.resolve(structures).indices
        for index in indices:
            self._sheet(target_of(index, self.vocabulary))
        labels = require_drafts(self._model).draft(self.volume, indices, self._overlap == "allow")
        return self._draft(labels, indices, started)

    def start_from(self, labels: Labels, structures: Sequence[str | int] | None = None) -> Change:
        """Take masks as drafts; clicks made before are applied to them.

        Args:
            labels: Masks on the scan's grid.
            structures: Which of them; all that occur by default.

        Raises:
            GeometryError: The labels lie on another grid.
            PromptError: A structure is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        if labels.grid.distance_to(self.volume.grid) > min(self.volume.grid.spacing_mm) / 2:
            raise GeometryError("The labels lie on another grid than the scan; resample them to it first.")
        chosen = labels.present if structures is None else [labels.vocabulary[each].index for each in structures]
        return self._draft(labels, chosen, started)

    def click(
        self, position: Sequence[float], positive: bool = True, structure: str | int | None = None, space: str = "ras"
    ) -> Change:
        """Correct a structure where a person clicked, and nowhere else.

        Args:
            position: Where, in mm or voxels.
            positive: Whether the place belongs to the structure.
            structure: Name or index; a name that nobody knows makes an object of its own. None takes the only
                structure there is.
            space: `ras`, `lps` or `voxel`.

        Raises:
            PromptError: The click cannot be honoured; see `click_at`, `target_of` and `replaced`. Nothing has changed.
        """
        started = self._clock()
        click = click_at(position, self.volume.grid, positive=positive, space=space)
        target = target_of(self._only() if structure is None else structure, self.vocabulary)
        sheet = self._sheet(target)
        notes = [target.note] if target.note and target.name not in self._sheets else []
        made = PlacedClick.of(click, self.volume.grid)
        kept = clicks_beside(sheet.clicks, made, sheet.target.name, bool(sheet.draft.count), notes)
        if kept is None:
            seconds = self._clock() - started
            return Change(target.name, 0, 0, None, seconds, (*notes, "this voxel was clicked so before"))
        existing = [each.patch for other in self._sheets.values() for each in other.clicks]
        made = replace(made, patch=self.responder.place(made.position_ras, existing))
        action = self._planner.clicks(self._sheets, sheet, (*kept, made))
        return self._do({"do": "click", **made.to_json()}, action, [sheet], started, notes)

    def clear(self, structure: str | int) -> Change:
        """Remove a structure's draft, clicks and mask; `undo` brings them back.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`), or it is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        sheet = self._sheet(self._here(structure).target)
        return self._do({"do": "clear"}, self._planner.clear(self._sheets, sheet), [sheet], started)

    def undo(self) -> Change:
        """Take the last action back, bit for bit.

        Raises:
            PromptError: There is none (`NOTHING_TO_UNDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        return self._step("undo", self._done, self._undone)

    def redo(self) -> Change:
        """Do again what was undone last, bit for bit.

        Raises:
            PromptError: There is nothing (`NOTHING_TO_REDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        return self._step("redo", self._undone, self._done)

    def lock(self, structure: str | int, locked: bool = True) -> None:
        """Protect a structure's mask from every change, or release it.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`).
        """
        sheet = self._here(structure)
        self._record({"do": "lock", "structures": [sheet.target.name], "locked": bool(locked)})
        sheet.locked = bool(locked)

    def suggest(self, structure: str | int | None = None) -> Suggestion | None:
        """Return where to click next, or None where network and masks agree in every patch that was asked.

        Args:
            structure: Name or index; by default any.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`).
        """
        sheets = self._sheets.values() if structure is None else [self._here(structure)]
        found = []
        for sheet in sheets:
            if sheet.clicks and not sheet.locked:
                found.append(self._planner.disputed(sheet))
        return max((each for each in found if each is not None), key=lambda each: each.volume_ml, default=None)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the session, from which `prosect.resume` restores it, and return the path.

        Raises:
            FormatError: The file cannot be written.
            ResourceError: The disk is full.
        """
        write_record(Record(self.header, tuple(self._entries)), Path(path))
        return Path(path)

    def replay(
        self, record: Record, *, recompute: bool = False, journal: str | os.PathLike[str] | None = None
    ) -> Session:
        """Do the actions of a record in this session, which must be new, and return it.

        Args:
            record: A session of the same scan and weights.
            recompute: Ask the network again instead of taking the recorded bits, and refuse where they differ.
            journal: File to go on writing to, the actions so far first.

        Raises:
            FormatError: Another scan, model or rule (`SESSION_OTHER`), a damaged action (`SESSION_DAMAGED`), or a click
                that is answered otherwise now (`REPLAY_DIFFERS`).
        """
        refuse_other(record, self.header)
        for number, entry in enumerate(record.entries):
            try:
                self._again(entry, recompute)
            except (LookupError, TypeError, ValueError, PromptError) as error:
                raise FormatError(f"Action {number} of the session is damaged.", code="SESSION_DAMAGED") from error
        if journal is not None:
            self._journal = Journal(Path(journal), self.header, self._entries)
        return self

    def _again(self, entry: Mapping[str, Any], recompute: bool) -> None:
        """Do a recorded action."""
        kind, names = entry["do"], entry.get("structures", ())
        if kind == "lock":
            self.lock(names[0], entry["locked"])
            return
        if kind in ("undo", "redo"):
            self.undo() if kind == "undo" else self.redo()
            return
        edits = tuple(Edit.from_json(each, self.volume.grid.shape) for each in entry["edits"])
        if kind == "click" and recompute:
            self.click(entry["position_ras"], entry["positive"], names[0])
            if self._done[-1].edits != edits:
                raise FormatError("A click is answered otherwise now than then.", code="REPLAY_DIFFERS")
            return
        vocabulary, sheets = self.vocabulary, []
        for name in names:
            target = target_of(name, vocabulary)
            vocabulary = extend_vocabulary(vocabulary, target)
            sheets.append(self._sheet(target))
        clicks = {}
        if kind == "click":
            made = PlacedClick.from_json(entry, self.volume.grid)
            kept = tuple(each for each in sheets[0].clicks if each.voxel != made.voxel)
            clicks[sheets[0].target.name] = (sheets[0].clicks, (*kept, made))
        elif kind == "clear":
            clicks[sheets[0].target.name] = (sheets[0].clicks, ())
        about = {key: value for key, value in entry.items() if key not in ("edits", "structures")}
        self._do(about, Action(edits, clicks), sheets, self._clock())

    def _draft(self, labels: Labels, indices: Sequence[int], started: float) -> Change:
        """Take masks as the drafts of structures, one after another."""
        vocabulary, new = self.vocabulary, {}
        for index in indices:
            target = target_of(labels.name_of(index), vocabulary)
            vocabulary = extend_vocabulary(vocabulary, target)
            new[index] = self._sheet(target)
        sheets = {**self._sheets, **{sheet.target.name: sheet for sheet in new.values()}}
        edits: list[Edit] = []
        try:
            for index, sheet in new.items():
                planned = self._planner.draft(sheets, sheet, np.asarray(labels.mask(index)))
                apply_action(Action(planned), sheets)  # the next one must see what this one took
                edits += planned
        finally:
            apply_action(Action(tuple(edits)), sheets)
        return self._do({"do": "draft"}, Action(tuple(edits)), list(new.values()), started)

    def _sheet(self, target: Target) -> Sheet:
        """Return the sheet of a structure, a new one where there is none; a locked one is refused."""
        sheet = self._sheets.get(target.name)
        if sheet is not None and sheet.locked:
            raise PromptError(f"'{target.name}' is locked; unlock it first.", code="STRUCTURE_LOCKED")
        return sheet or Sheet(target, self.volume.grid.shape)

    def _here(self, structure: str | int) -> Sheet:
        found = self.vocabulary.get(structure)
        if found is None or found.name not in self._sheets:
            raise PromptError(f"{structure!r:.60} is not in this session.", code="STRUCTURE_ABSENT")
        return self._sheets[found.name]

    def _only(self) -> str:
        if len(self._sheets) != 1:
            raise PromptError(
                f"Say which structure the click is for; the session has {len(self._sheets)}.", code="STRUCTURE_MISSING"
            )
        return next(iter(self._sheets))

    def _do(
        self,
        about: Mapping[str, Any],
        action: Action,
        sheets: Sequence[Sheet],
        started: float,
        notes: Sequence[str] = (),
    ) -> Change:
        """Write an action to the journal, then do it, and return what it changed."""
        names = [sheet.target.name for sheet in sheets]
        everything = {**self._sheets, **dict(zip(names, sheets, strict=True))}
        self._record({**about, "structures": names, "edits": [edit.to_json() for edit in action.edits]})
        change = change_of(action.edits, everything, names, self._clock() - started, notes)
        self._sheets.update(zip(names, sheets, strict=True))
        for sheet in sheets:
            self.vocabulary = extend_vocabulary(self.vocabulary, sheet.target)
        apply_action(action, self._sheets)
        self._done.append(action)
        self._undone.clear()
        return change

    def _step(self, kind: str, source: list[Action], to: list[Action]) -> Change:
        started = self._clock()
        if not source:
            raise PromptError(f"There is nothing to {kind}.", code=f"NOTHING_TO_{kind.upper()}")
        action = source[-1].reversed()
        names = dict.fromkeys([*action.clicks, *(edit.structure for edit in action.edits)])
        for name in names:
            self._sheet(self._sheets[name].target)
        self._record({"do": kind})
        change = change_of(action.edits, self._sheets, names, self._clock() - started)
        apply_action(action, self._sheets)
        to.append(source.pop().reversed())
        return change

    def _record(self, entry: Mapping[str, Any]) -> None:
        """Bring an action to the disk before it takes effect."""
        if self._journal is not None:
            self._journal.append(entry)
        self._entries.append(entry)
