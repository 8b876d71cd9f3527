"""What an action would change, worked out before anything does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box, SparseMask
from prosect.drawn_box import allowed, reach
from prosect.errors import GeometryError, PromptError
from prosect.geometry import Grid
from prosect.inference.merge import COMPATS, Compat, is_near, merge
from prosect.progress import Watch
from prosect.prompts import (
    MAX_CLICKS,
    Click,
    click_at,
    clicks_beside,
    refuse_only_negative,
)
from prosect.session.asking import asks_the_same, box_in_scan, in_its_place, notes_on_box, question_of
from prosect.session.changes import Suggestion, find_dispute
from prosect.session.correcting import anchor_of, near_clicks, selecting_voxel
from prosect.session.drafts import Draft
from prosect.session.edits import (
    LAYERS,
    OVERLAPS,
    Action,
    Clicks,
    Edit,
    PlacedClick,
    Sheet,
    after,
    apply_action,
    changes_between,
    count_from_now,
    join_actions,
    next_turn,
    plan_mask,
    scale_of,
)
from prosect.session.placing import place_click, scale_for
from prosect.session.protocols import ClickModel, Responder, knows, responder_at
from prosect.volume import Volume

__all__ = ["Planner", "checked_clicks", "require_rules"]

Mask = NDArray[np.bool_]


class Planner:
    """Plans actions on one scan; it changes no sheet.

    Args:
        volume: The scan.
        model: Answers clicks; asked for a responder at the first click where there is none yet.
        overlap: What becomes of voxels that several structures claim; see `plan_mask`.
        near_miss_mm: How far a click may miss what it selects; see `merge`.
        compat: Whose merge; see `merge`.
        responder: Answers clicks on the scan; made at the first click where it is not given.
    """

    def __init__(
        self,
        volume: Volume,
        model: ClickModel,
        overlap: str,
        near_miss_mm: float,
        compat: Compat | None = None,
        responder: Responder | None = None,
    ) -> None:
        self.volume, self.model, self.overlap = volume, model, overlap
        self.near_miss_mm, self.compat = near_miss_mm, compat
        self._given = responder

    @cached_property
    def responder(self) -> Responder:
        """What answers clicks on the scan."""
        return self.model.responder(self.volume) if self._given is None else self._given

    def draft(self, sheets: Mapping[str, Sheet], sheet: Sheet, mask: Mask, watch: Watch | None = None) -> Action:
        """Return the action that makes a mask (i j k) a structure's draft and applies its clicks to it."""
        box = Box.of(mask) | sheet.draft.box | sheet.edited.box
        return self._action(sheets, sheet, sheet.clicks, watch, box, mask)

    def drafts(self, sheets: Mapping[str, Sheet], drafts: Sequence[Draft], watch: Watch | None = None) -> Action:
        """Return the one action that makes masks the drafts of their structures, one after another.

        Args:
            sheets: All structures, those of the drafts too.
            drafts: The masks.
            watch: Called while the network is asked about clicks made before.
        """
        planned: list[Action] = []
        try:
            for draft in drafts:
                action = self.draft(sheets, sheets[draft.target.name], draft.read(), watch)
                apply_action(action, sheets)  # the next one must see what this one took
                planned.append(action)
        finally:
            for action in reversed(planned):
                # Planned only: the sheets are given back as they came.
                apply_action(action.inverse(), sheets)
        return join_actions(planned)

    def clicks(self, sheets: Mapping[str, Sheet], sheet: Sheet, clicks: Clicks, watch: Watch | None = None) -> Action:
        """Return the action that makes these the clicks of a structure."""
        if asks_the_same(sheet, clicks, self.volume.grid.spacing_mm):
            return Action((), {sheet.target.name: (sheet.clicks, clicks)})  # only what waits has changed
        box = self._extent(sheet, sheet.clicks)
        if any(each.positive and sheet.draft[each.voxel] for each in clicks):
            box |= sheet.draft.box  # parts of the answer may hang together through the whole mask
        return self._action(sheets, sheet, clicks, watch, box)

    def all_clicks(
        self, sheets: Mapping[str, Sheet], sheet: Sheet, wanted: Sequence[PlacedClick], watch: Watch | None = None
    ) -> Action:
        """Return the one action that does what clicking these on a structure in turn would do.

        Clicks that the structure has already, in the same order, stand as they are; where it has others, all its clicks
        are taken away first.

        Args:
            sheets: All structures.
            sheet: The structure.
            wanted: Its clicks to be; patches and turns are worked out here.
            watch: Called while the network is asked.
        """
        name = sheet.target.name
        # Under the rule `take` an intermediate mask may take voxels from others, so theirs are followed as well.
        before = {**sheets, name: sheet}
        concerned = before if self.overlap == "take" else {name: sheet}
        copies = {**before, **{each: before[each].copy() for each in concerned}}
        work = copies[name]
        kept = len(work.clicks)
        if not _begins_with(wanted, work.clicks):
            apply_action(self.clicks(copies, work, (), watch), copies)
            kept = 0
        clicks = work.clicks
        for each in wanted[kept:]:
            if not each.positive or self.overlap != "allow" or any(one.turn is None for one in clicks):
                # What this click does depends on the mask that those before it make.
                clicks = self._follow(copies, work, clicks, watch)
            clicks = self.add(copies, work, clicks, each) or clicks
        self._follow(copies, work, clicks, watch)
        return changes_between(before, copies)

    def _follow(self, sheets: Mapping[str, Sheet], work: Sheet, clicks: Clicks, watch: Watch | None) -> Clicks:
        """Bring the sheet of a structure that is worked on up to its clicks, and return them."""
        if clicks != work.clicks:
            apply_action(self.clicks(sheets, work, clicks, watch), sheets)
        return work.clicks

    def add(
        self,
        sheets: Mapping[str, Sheet],
        sheet: Sheet,
        clicks: Clicks,
        new: PlacedClick,
        notes: list[str] | None = None,
        may_begin: bool = True,
    ) -> Clicks | None:
        """Return the clicks of a structure with a new one, or None where it says nothing new.

        Args:
            sheets: All structures; a patch of any of them may serve.
            sheet: The structure, with the mask that the clicks so far make.
            clicks: Its clicks so far.
            new: The click; its patch and turn are worked out here.
            notes: What was assumed is added to these.
            may_begin: Whether a negative click may be the first of a structure without a draft.

        Raises:
            PromptError: The click cannot be taken; see `clicks_beside`.
        """
        notes = [] if notes is None else notes
        spacing_mm = self.volume.grid.spacing_mm
        counting = in_its_place(clicks, new, spacing_mm)
        if counting is None:
            return None
        new = counting
        kept = clicks_beside(clicks, new, sheet.target.name, may_begin or bool(sheet.draft.count), notes)
        # A click that takes the place of another counts: without that one the mask is another already.
        if len(kept) == len(clicks) and self.waits(sheet, new):
            notes.append("there is nothing to remove here; the click counts once the mask grows over it")
        else:
            new = replace(new, turn=next_turn(kept))
        scale = scale_of(kept)
        if new.turn is not None or new.extent_mm is not None:
            scale = scale_for(self.responder, sheet, kept, new, spacing_mm, notes)
        if new.bounds is not None:
            notes += notes_on_box((*kept, new), spacing_mm)
        placed = place_click(self.responder, sheets, sheet.target.name, kept, new, scale)
        if new.positive or self.compat == "official":
            return placed
        return self._anchored(sheet, placed)

    def _anchored(self, sheet: Sheet, placed: Clicks) -> Clicks:
        """Return clicks of which the last, a negative one, has the place that is shown with it; see `anchor_of`."""
        patch = responder_at(self.responder, scale_of(placed)).box(placed[-1].patch)
        anchor = anchor_of(placed, sheet.edited, patch, self.volume.grid)
        return (*placed[:-1], replace(placed[-1], anchor_ras=anchor))

    def waits(self, sheet: Sheet, click: PlacedClick) -> bool:
        """Return whether a click has nothing to remove: a negative one where the structure has no voxel near."""
        if click.positive or self.compat == "official":
            return False
        axes = self.volume.grid.affine[:3, :3]
        box = sheet.shown.box
        if not box.size:
            return True
        return not is_near(sheet.shown.read(box), click.within(box), axes, self.near_miss_mm)

    def paint(self, sheets: Mapping[str, Sheet], sheet: Sheet, box: Box, bits: Mask, positive: bool) -> Action:
        """Return the action that adds voxels of a box (i j k) to a structure, or removes them.

        The mask as it then is becomes the draft. The clicks that made it are part of it from now on: asked about again
        they would undo what was painted.

        Raises:
            GeometryError: The bits do not fill the box (`BOX_OUTSIDE`).
        """
        if bits.shape != box.shape:
            raise GeometryError(f"{bits.shape} bits for a box of {box.shape} voxels.", code="BOX_OUTSIDE")
        name = sheet.target.name
        whole = box | sheet.draft.box | sheet.edited.box
        wanted = sheet.edited.read(whole)
        painted = np.zeros_like(wanted)
        if positive:
            wanted[box.within(whole)] |= bits
            painted[box.within(whole)] = bits
        else:
            wanted[box.within(whole)] &= ~bits
        edits = plan_mask({**sheets, name: sheet}, name, whole, wanted, self.overlap, wanted, painted)
        return Action(edits, {name: (sheet.clicks, ())})

    def clear(self, sheets: Mapping[str, Sheet], sheet: Sheet) -> Action:
        """Return the action that empties a structure."""
        box = sheet.draft.box | sheet.edited.box
        nothing = np.zeros(box.shape, dtype=np.bool_)
        edits = plan_mask(sheets, sheet.target.name, box, nothing, self.overlap, nothing)
        return Action(edits, {sheet.target.name: (sheet.clicks, ())})

    def rename(self, old: Sheet, new: Sheet) -> Action:
        """Return the action that gives draft, clicks and mask of a structure to another one, which has none.

        Raises:
            PromptError: It has some, or is the same (`STRUCTURE_EXISTS`).
        """
        if new.clicks or new.draft.count or new.edited.count or new.target.name == old.target.name:
            raise PromptError(
                f"There is a '{new.target.name}' in this session already; choose another name.", code="STRUCTURE_EXISTS"
            )
        edits = []
        for sheet in (old, new):
            for layer in LAYERS:
                mask: SparseMask = getattr(old, layer)
                edits.append(Edit.of(sheet.target.name, (layer,), mask.box, mask.read(mask.box)))
        clicks = {old.target.name: (old.clicks, ()), new.target.name: (new.clicks, old.clicks)}
        return Action(tuple(edit for edit in edits if edit.box.size), clicks)

    def suggestion(self, sheets: Iterable[Sheet]) -> Suggestion | None:
        """Return where network and mask disagree most about one of some structures, those that may change."""
        best: Suggestion | None = None
        for sheet in sheets:
            found = self.find_dispute(sheet) if sheet.clicks and not sheet.locked else None
            if found is not None and (best is None or found.volume_ml > best.volume_ml):
                best = found
        return best

    def find_dispute(self, sheet: Sheet) -> Suggestion | None:
        """Return where network and mask disagree most about a structure that has clicks."""
        box = self._extent(sheet, sheet.clicks)
        if not box.size:
            return None
        asked, yes = self._propose(sheet, sheet.clicks, box)
        return find_dispute(asked, yes, sheet.edited.read(box), box, self.volume.grid, sheet.target.name)

    def _action(
        self,
        sheets: Mapping[str, Sheet],
        sheet: Sheet,
        clicks: Clicks,
        watch: Watch | None,
        least: Box,
        draft: Mask | None = None,
    ) -> Action:
        """Return the action that gives a structure clicks, and a draft where there is a new one.

        Clicks that waited begin to count where the new mask grows over them. That changes the mask, so it is asked for
        again, until it grows over no other.

        Args:
            sheets: All structures.
            sheet: The one that changes.
            clicks: Its clicks to be.
            watch: Called while the network is asked.
            least: Box that may change whatever the network answers.
            draft: Its new draft on the whole scan (i j k), or None where that stays.
        """
        name, before = sheet.target.name, sheet.clicks
        while True:
            box = least | self._extent(sheet, clicks, watch)
            old = sheet.draft.read(box) if draft is None else draft[box.slices]
            wanted = self._merged(sheet, clicks, box, old, watch)
            reached = []
            for each in clicks:
                inside = each.turn is None and (box & Box(each.voxel, after(each.voxel))).size
                if inside and wanted[each.within(box)] and not sheet.edited[each.voxel]:
                    reached.append(each)
            if not reached:
                break
            clicks = count_from_now(clicks, reached)
        new = None if draft is None else old
        edits = plan_mask({**sheets, name: sheet}, name, box, wanted, self.overlap, new)
        return Action(edits, {} if clicks == before else {name: (before, clicks)})

    def _merged(self, sheet: Sheet, clicks: Clicks, box: Box, draft: Mask, watch: Watch | None) -> Mask:
        """Return the draft in a box, corrected by clicks (Alg. 1); where nothing was asked the draft stands."""
        counting = [each for each in clicks if each.turn is not None]
        if not counting:
            return draft
        asked, yes = self._propose(sheet, clicks, box, watch)
        positive = [selecting_voxel(each, asked & yes, box) for each in counting if each.positive]
        negative = [each.within(box) for each in counting if not each.positive]
        axes = self.volume.grid.affine[:3, :3]
        return merge(draft, np.where(asked, yes, draft), positive, negative, axes, self.near_miss_mm, self.compat)

    def _extent(self, sheet: Sheet, clicks: Clicks, watch: Watch | None = None) -> Box:
        """Return the box that the answer to clicks covers."""
        question = question_of(sheet, clicks, self.volume.grid.spacing_mm)
        if not question.clicks:
            return EMPTY
        box = responder_at(self.responder, scale_of(clicks)).extent(question, watch)
        bounds = question.bounds
        return box if bounds is None else reach(bounds, box, self.volume.grid.spacing_mm)

    def _propose(self, sheet: Sheet, clicks: Clicks, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked about a structure, and where it says yes, both (i j k)."""
        question = question_of(sheet, clicks, self.volume.grid.spacing_mm)
        asked, yes = responder_at(self.responder, scale_of(clicks)).propose(question, box, watch)
        if question.bounds is not None:
            # Beyond what a person drew around the structure the network has no say.
            asked = asked & allowed(question.bounds, box, self.volume.grid.spacing_mm)
        if sheet.draft.count and self.compat != "official":
            counting = [each for each in clicks if each.turn is not None]
            is_known = sheet.target.zero_shot or knows(self.responder, sheet.target.index)
            asked = asked & near_clicks(counting, box, self.volume.grid.spacing_mm, is_known)
        return asked, yes


def require_rules(overlap: str, compat: str | None) -> None:
    """Refuse rules that do not exist.

    Raises:
        PromptError: No such rule for overlaps (`OVERLAP_UNKNOWN`), or no such code to be like (`COMPAT_UNKNOWN`).
    """
    if overlap not in OVERLAPS:
        raise PromptError(f"There is no rule {overlap!r}; use {', '.join(OVERLAPS)}.", code="OVERLAP_UNKNOWN")
    if compat is not None and compat not in COMPATS:
        raise PromptError(f"There is no mode {compat!r}; use {', '.join(COMPATS)}.", code="COMPAT_UNKNOWN")


def checked_clicks(sheet: Sheet, clicks: Iterable[Click], grid: Grid) -> list[PlacedClick]:
    """Return clicks with their voxels, as those that a structure is to have; in one voxel the last one counts.

    Raises:
        PromptError: One lies outside the scan, there are too many (`CLICKS_TOO_MANY`), or only negative ones where
            there is no draft (`CLICKS_ONLY_NEGATIVE`).
    """
    wanted: list[PlacedClick] = []
    for each in clicks:
        click = click_at(each.position_ras, grid, positive=each.positive, extent_mm=each.extent_mm)
        click = replace(click, box=box_in_scan(each.box, grid))
        placed = in_its_place(wanted, PlacedClick.of(click, grid), grid.spacing_mm)
        if placed is not None:
            wanted = [*(one for one in wanted if one.voxel != placed.voxel), placed]
    name = sheet.target.name
    if len(wanted) > MAX_CLICKS:
        raise PromptError(f"{len(wanted)} clicks on '{name}'; at most {MAX_CLICKS} are taken.", code="CLICKS_TOO_MANY")
    if wanted and not sheet.draft.count and not any(each.positive for each in wanted):
        refuse_only_negative(name)
    return wanted


def _begins_with(wanted: Sequence[PlacedClick], clicks: Clicks) -> bool:
    """Return whether a row of clicks begins with those there are."""
    if len(wanted) < len(clicks):
        return False
    for new, old in zip(wanted, clicks, strict=False):
        if (new.voxel, new.positive, new.extent_mm, new.bounds) != (old.voxel, old.positive, old.extent_mm, old.bounds):
            return False
    return True
