"""One person editing one scan: drafts, clicks, undo, redo, and a journal that survives a kill.

There is one mask per structure, on the scan's own voxels. A mask is a function of its draft and of the set of clicks
that count (VISTA3D, Alg. 1), not of the way that led there. Every action is kept as the bits it flipped: undo, redo and
resuming restore them exactly, on any machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.inference.merge import NEAR_MISS_MM, Compat
from prosect.progress import Watch
from prosect.prompts import Click, Target, click_at, click_in, size_of
from prosect.session.board import Board
from prosect.session.changes import Change, Suggestion
from prosect.session.drafts import Draft, Masks, drafts_of
from prosect.session.edits import PlacedClick
from prosect.session.entries import Entries
from prosect.session.journal import Journal, Record, begin_journal, refuse_other, write_record
from prosect.session.planning import Planner, checked_clicks, require_rules
from prosect.session.protocols import ClickModel, Responder, label_values_by, require_drafts, scan_hash
from prosect.session.reading import Reading
from prosect.session.replaying import click_entry, clicks_to_json, replay_record
from prosect.session.undoing import UNDO_BYTES, larger_limit
from prosect.volume import Volume

__all__ = ["Session"]

Mask = NDArray[np.bool_]


class Session(Reading):
    """Edits of one scan.

    Every action takes effect whole or not at all: one that is refused, fails or is cancelled changes nothing.

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
        undo_bytes: What undo may keep; the oldest actions can no longer be undone where they need more.
        clock: Returns seconds.

    Raises:
        PromptError: No such rule (`OVERLAP_UNKNOWN`), no such code to be compatible with (`COMPAT_UNKNOWN`).
        SessionError: The journal exists (`JOURNAL_EXISTS`) or cannot be written.
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
        undo_bytes: int = UNDO_BYTES,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        require_rules(overlap, compat)
        self._model, self._clock, self._overlap = model, clock, overlap
        self._undo_bytes = int(undo_bytes)
        self._planner = Planner(volume, model, overlap, float(near_miss_mm), compat, responder)
        header = {
            "scan_sha256": scan_hash(volume),
            "model": dict(model.identity),
            "overlap": overlap,
            "near_miss_mm": float(near_miss_mm),
            "compat": compat,
            "undo_bytes": self._undo_bytes,
        }
        entries = Entries(None if journal is None else begin_journal(Path(journal), header))
        board = Board(volume.grid, model.vocabulary, entries, self._undo_bytes, label_values_by(model))
        super().__init__(volume, board, header)

    @property
    def responder(self) -> Responder:
        """What answers clicks on the scan: patches, and what is remembered of them."""
        return self._planner.responder

    def segment(self, structures: Sequence[str | int], *, watch: Watch | None = None) -> Change:
        """Draft structures automatically; clicks made before are applied to the new draft.

        Args:
            structures: Names or indices.
            watch: Told of each window.

        Raises:
            VocabularyError: A structure is unknown, or the model was not trained for it.
            PromptError: A structure is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        indices = self._model.vocabulary.resolve(structures).indices
        for index in indices:
            self._board.sheet(self._board.target(index))
        labels = require_drafts(self._model).draft(self.volume, indices, self._overlap == "allow", watch)
        return self._draft(drafts_of(labels, indices, None, self.volume.grid, self.vocabulary), started, watch)

    def start_from(
        self,
        labels: Masks,
        structures: Sequence[str | int] | None = None,
        *,
        name: str | None = None,
        watch: Watch | None = None,
    ) -> Change:
        """Take masks as drafts; clicks made before are applied to them.

        Args:
            labels: Masks on the scan's grid: a label map, layers, what `prosect.read_labels` returns, the path of a
                label file, or a bool array (i j k) of one structure.
            structures: Which of them; all that occur by default.
            name: What the one structure is to be called; a new name makes an object of its own.
            watch: Called while the network is asked about clicks made before.

        Raises:
            GeometryError: The labels lie on another grid, or have another shape (`DRAFT_GRID`).
            PromptError: They are no masks (`DRAFT_INVALID`), do not hold the structure (`DRAFT_MISSING`), or the
                structure is locked (`STRUCTURE_LOCKED`).
            FormatError: The file cannot be read as labels.
        """
        started = self._clock()
        values = self._board.label_values
        drafts = drafts_of(labels, structures, name, self.volume.grid, self.vocabulary, values)
        return self._draft(drafts, started, watch)

    def click(
        self,
        position: Sequence[float],
        positive: bool = True,
        structure: str | int | None = None,
        space: str = "ras",
        *,
        extent_mm: float | None = None,
        watch: Watch | None = None,
    ) -> Change:
        """Correct a structure where a person clicked, and nowhere else.

        A negative click where the structure has no voxel changes nothing; it counts once the mask grows over it.

        Args:
            position: Where, in mm or voxels.
            positive: Whether the place belongs to the structure.
            structure: Name or index; a name that nobody knows makes an object of its own. None takes the only
                structure there is.
            space: `ras`, `lps` or `voxel`.
            extent_mm: The longest side of the structure, where it is known; it counts for later clicks, too. The
                network then answers at a working spacing that suits it.
            watch: Called while the network is asked.

        Raises:
            PromptError: The click cannot be honoured; see `click_at`, `target_of`, `clicks_beside`. Nothing changes.
        """
        click = click_at(position, self.volume.grid, positive=positive, space=space, extent_mm=extent_mm)
        return self._click(click, structure, watch)

    def box(
        self,
        corner: Sequence[float],
        opposite: Sequence[float],
        structure: str | int | None = None,
        space: str = "ras",
        *,
        extent_mm: float | None = None,
        watch: Watch | None = None,
    ) -> Change:
        """Find the structure that a person drew a box around.

        It is a positive click in the middle that says the size. Outside the box nothing is found, until a positive
        click there says that the structure goes on. A box of one voxel along an axis was drawn in a plane: it says
        where the structure ends in that plane, and in the planes beside it the less the farther they are.

        Args:
            corner: A corner of the box, in mm or voxels.
            opposite: The opposite corner.
            structure: As for `click`.
            space: `ras`, `lps` or `voxel`.
            extent_mm: As for `click`; by default the box says it.
            watch: Called while the network is asked.

        Raises:
            PromptError: The box lies beside the scan, or the click cannot be honoured; see `click`. Nothing changes.
        """
        click = click_in(corner, opposite, self.volume.grid, space=space)
        said = size_of(extent_mm)
        if said is not None:
            click = replace(click, extent_mm=said)
        return self._click(click, structure, watch)

    def _click(self, click: Click, structure: str | int | None, watch: Watch | None) -> Change:
        """Take one more click on a structure; see `click`."""
        started = self._clock()
        target = self._board.target(self._board.only_name() if structure is None else structure)
        sheet = self._board.sheet(target)
        notes = self._board.notes_on(target, structure)
        new = PlacedClick.of(click, self.volume.grid)
        clicks = self._planner.add(self._board.sheets, sheet, sheet.clicks, new, notes, may_begin=False)
        if clicks is None:
            notes.append("this voxel was clicked so before")
            return self._nothing(target, started, notes)
        action = self._planner.clicks(self._board.sheets, sheet, clicks, watch)
        change = self._board.do(click_entry(clicks, action), action, [sheet], notes)
        # A click that waits was told of already.
        if clicks[-1].turn is not None:
            change = explain(change)
        return self._timed(change, started)

    def set_clicks(self, structure: str | int, clicks: Iterable[Click], *, watch: Watch | None = None) -> Change:
        """Make these all the clicks of a structure, in one action; the mask is as if they were clicked in turn.

        For clients that send all their points each time: what the structure has already stands, only new clicks are
        asked about.

        Args:
            structure: Name or index; a name that nobody knows makes an object of its own.
            clicks: All its clicks, in order; none takes its clicks away. The structure they name is of no consequence.
            watch: Called while the network is asked.

        Raises:
            PromptError: A click cannot be honoured; see `click` and `target_of`. Nothing has changed.
        """
        started = self._clock()
        target = self._board.target(structure)
        sheet = self._board.sheet(target)
        wanted = checked_clicks(sheet, clicks, self.volume.grid)
        action = self._planner.all_clicks(self._board.sheets, sheet, wanted, watch)
        notes = self._board.notes_on(target, structure)
        if not action.edits and not action.clicks:
            return self._nothing(target, started, [*notes, "the structure has these clicks already"])
        about = {"do": "clicks", "clicks": clicks_to_json(action)}
        return self._timed(explain(self._board.do(about, action, [sheet], notes)), started)

    def paint(self, structure: str | int, box: Box, bits: Mask, positive: bool = True) -> Change:
        """Add voxels to a structure by hand, or remove them; the network is not asked.

        The mask becomes the draft that later clicks correct, and the clicks so far no longer count by themselves.

        Args:
            structure: Name or index; a name that nobody knows makes an object of its own.
            box: Where, in voxels of the scan as stored; `bits` (i j k) says which of them.
            positive: Whether they are added or removed.

        Raises:
            GeometryError: The box does not lie inside the scan, or the bits do not fill it (`BOX_OUTSIDE`).
            PromptError: The structure is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        target = self._board.target(structure)
        sheet = self._board.sheet(target)
        self._board.read(structure, box)  # refuses a box outside the scan
        action = self._planner.paint(self._board.sheets, sheet, box, bits, positive)
        about, notes = {"do": "paint", "clicks": clicks_to_json(action)}, self._board.notes_on(target)
        if not action.edits:
            return self._nothing(target, started, notes)
        return self._timed(self._board.do(about, action, [sheet], notes), started)

    def clear(self, structure: str | int) -> Change:
        """Remove a structure's draft, clicks and mask; `undo` brings them back.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`), or it is locked (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        sheet = self._board.sheet(self._board.existing(structure).target)
        action = self._planner.clear(self._board.sheets, sheet)
        return self._timed(self._board.do({"do": "clear"}, action, [sheet]), started)

    def rename(self, structure: str | int, name: str) -> Change:
        """Give draft, clicks and mask of a structure to another name, known or new, that has none.

        Raises:
            PromptError: `STRUCTURE_ABSENT`, `STRUCTURE_LOCKED`, or the other name is in use (`STRUCTURE_EXISTS`).
        """
        started = self._clock()
        old = self._board.sheet(self._board.existing(structure).target)
        new = self._board.sheet(self._board.target(name))
        action = self._planner.rename(old, new)
        about = {"do": "rename", "clicks": clicks_to_json(action)}
        return self._timed(self._board.do(about, action, [new, old]), started)

    def undo(self) -> Change:
        """Take the last action back, bit for bit.

        Raises:
            PromptError: There is none (`NOTHING_TO_UNDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        return self._timed(self._board.undo(), started)

    def redo(self) -> Change:
        """Do again what was undone last, bit for bit.

        Raises:
            PromptError: There is nothing (`NOTHING_TO_REDO`), or it concerns a locked structure (`STRUCTURE_LOCKED`).
        """
        started = self._clock()
        return self._timed(self._board.redo(), started)

    def lock(self, structure: str | int, locked: bool = True) -> None:
        """Protect a structure's mask from every change, or release it.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`).
        """
        self._board.lock(structure, bool(locked))

    def suggest(self, structure: str | int | None = None) -> Suggestion | None:
        """Return where to click next, or None where network and masks agree in every patch that was asked.

        Args:
            structure: Name or index; by default any.

        Raises:
            PromptError: There is no such structure here (`STRUCTURE_ABSENT`).
        """
        sheets = self._board.sheets.values() if structure is None else [self._board.existing(structure)]
        return self._planner.suggestion(sheets)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the session, from which `prosect.resume` restores it, and return the path.

        Raises:
            FormatError: The file cannot be written, or the journal was taken away.
            ResourceError: The disk is full.
        """
        return write_record(Record(self.header, tuple(self._board.entries)), Path(path))

    def replay(
        self, record: Record, *, recompute: bool = False, journal: str | os.PathLike[str] | None = None
    ) -> Session:
        """Do the actions of a record in this session, which must be new, and return it.

        Args:
            record: A session of the same scan and weights.
            recompute: Ask the network again instead of taking the recorded bits, and refuse where they differ.
            journal: File to go on writing to, the actions so far first.

        Raises:
            SessionError: Another scan, model or rule (`SESSION_OTHER`), a damaged action (`SESSION_DAMAGED`), or a
                click that is answered otherwise now (`REPLAY_DIFFERS`).
        """
        refuse_other(record, {key: value for key, value in self.header.items() if key != "undo_bytes"})
        replay_record(self._board, self._planner, record, recompute)
        # Who replays these actions again must find what each recorded undo found, so the larger limit is the one kept.
        self.header = {**self.header, "undo_bytes": larger_limit(record.header.get("undo_bytes"), self._undo_bytes)}
        if journal is not None:
            self._board.entries = Entries(Journal(Path(journal), self.header, self._board.entries))
        return self

    def _draft(self, drafts: Sequence[Draft], started: float, watch: Watch | None) -> Change:
        """Take masks as the drafts of structures, one after another."""
        new, brought = {}, {}
        for draft in drafts:
            called = draft.target.name
            new[called] = self._board.sheet(draft.target)
            # What the session's own model says needs no record.
            if draft.value is not None and self._board.label_values.get(called) != draft.value:
                brought[called] = draft.value
        whole = self._planner.drafts({**self._board.sheets, **new}, drafts, watch)
        about: dict[str, Any] = {"do": "draft"}
        if whole.clicks:
            about["clicks"] = clicks_to_json(whole)
        if brought:
            about["label_values"] = brought
        return self._timed(self._board.do(about, whole, list(new.values())), started)

    def _nothing(self, target: Target, started: float, notes: Sequence[str]) -> Change:
        """Return the change of an action that says nothing new."""
        return self._timed(Change(target.name, 0, 0, None, 0.0, tuple(notes), revision=self.revision), started)

    def _timed(self, change: Change, started: float) -> Change:
        """Return a change with how long it took."""
        return replace(change, seconds=self._clock() - started)


def explain(change: Change) -> Change:
    """Return the change of a click, with a note where no mask changed."""
    if change.box is not None:
        return change
    note = "the mask stays as it is; more clicks near this one may change it, or the brush"
    return replace(change, notes=(*change.notes, note))
