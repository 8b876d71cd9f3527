"""What an action would change, worked out before anything does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box
from prosect.inference.merge import Compat, merge
from prosect.inference.question import Question
from prosect.prompts import LabelledClick, click_label
from prosect.session.changes import Suggestion, disputed
from prosect.session.edits import Action, Edit, PlacedClick, Sheet, plan_mask
from prosect.session.protocols import ClickModel, Responder
from prosect.volume import Volume

__all__ = ["Planner"]

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

    def draft(self, sheets: Mapping[str, Sheet], sheet: Sheet, mask: Mask) -> tuple[Edit, ...]:
        """Return the edits that make a mask (i j k) a structure's draft and apply its clicks to it."""
        box = Box.of(mask) | sheet.draft.box | sheet.edited.box | self._extent(sheet, sheet.clicks)
        draft = mask[box.slices]
        wanted = self._merged(sheet, sheet.clicks, box, draft)
        return plan_mask({**sheets, sheet.target.name: sheet}, sheet.target.name, box, wanted, self.overlap, draft)

    def clicks(self, sheets: Mapping[str, Sheet], sheet: Sheet, clicks: tuple[PlacedClick, ...]) -> Action:
        """Return the action that makes these the clicks of a structure."""
        box = self._extent(sheet, clicks) | self._extent(sheet, sheet.clicks)
        if any(each.positive and sheet.draft[each.voxel] for each in clicks):
            box |= sheet.draft.box  # parts of the answer may hang together through the whole mask
        wanted = self._merged(sheet, clicks, box, sheet.draft.read(box))
        edits = plan_mask({**sheets, sheet.target.name: sheet}, sheet.target.name, box, wanted, self.overlap)
        return Action(edits, {sheet.target.name: (sheet.clicks, clicks)})

    def clear(self, sheets: Mapping[str, Sheet], sheet: Sheet) -> Action:
        """Return the action that empties a structure."""
        box = sheet.draft.box | sheet.edited.box
        nothing = np.zeros(box.shape, dtype=np.bool_)
        edits = plan_mask(sheets, sheet.target.name, box, nothing, self.overlap, nothing)
        return Action(edits, {sheet.target.name: (sheet.clicks, ())})

    def disputed(self, sheet: Sheet) -> Suggestion | None:
        """Return where network and mask disagree most about a structure that has clicks."""
        box = self._extent(sheet, sheet.clicks)
        asked, yes = self._propose(sheet, sheet.clicks, box)
        return disputed(asked, yes, sheet.edited.read(box), box, self.volume.grid, sheet.target.name)

    def _merged(self, sheet: Sheet, clicks: Sequence[PlacedClick], box: Box, draft: Mask) -> Mask:
        """Return the draft in a box, corrected by clicks (Alg. 1); where nothing was asked the draft stands."""
        if not clicks:
            return draft
        asked, yes = self._propose(sheet, clicks, box)
        at = {sign: [each.within(box) for each in clicks if each.positive == sign] for sign in (True, False)}
        axes = self.volume.grid.affine[:3, :3]
        return merge(draft, np.where(asked, yes, draft), at[True], at[False], axes, self.near_miss_mm, self.compat)

    def _propose(self, sheet: Sheet, clicks: Sequence[PlacedClick], box: Box) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked about clicks, and where it says yes."""
        return self.responder.propose(_question(sheet, clicks), box)

    def _extent(self, sheet: Sheet, clicks: Sequence[PlacedClick]) -> Box:
        """Return the box that the answer to clicks covers."""
        return self.responder.extent(_question(sheet, clicks)) if clicks else EMPTY


def _question(sheet: Sheet, clicks: Sequence[PlacedClick]) -> Question:
    """Return clicks on a structure as a responder takes them."""
    target = sheet.target
    labelled = [
        LabelledClick(each.position_ras, click_label(each.positive, target.ambiguous), each.patch) for each in clicks
    ]
    return Question(tuple(labelled), target.zero_shot)
