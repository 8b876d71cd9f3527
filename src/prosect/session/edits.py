"""What one action does to the masks of a session: bits that flip in a box, so that doing it again undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box, SparseMask
from prosect.geometry import Grid
from prosect.prompts import Click, Target, click_at, voxel_of
from prosect.session.journal import decode_bits, encode_bits

__all__ = ["OVERLAPS", "Action", "Edit", "Overlap", "PlacedClick", "Sheet", "apply_action", "plan_mask"]

Overlap = Literal["allow", "take", "keep"]
OVERLAPS: tuple[str, ...] = get_args(Overlap)
Mask: TypeAlias = NDArray[np.bool_]
Voxel: TypeAlias = tuple[int, int, int]
LAYERS = ("draft", "edited", "shown")


@dataclass(frozen=True)
class PlacedClick:
    """A click that counts.

    Attributes:
        position_ras: Where, in mm.
        voxel: The scan's voxel it lies in.
        positive: Its sign.
        patch: The patch that answers it, as its start on the network grid.
    """

    position_ras: tuple[float, float, float]
    voxel: Voxel
    positive: bool
    patch: Voxel = (0, 0, 0)

    @classmethod
    def of(cls, click: Click, grid: Grid) -> PlacedClick:
        """Return a click that has no patch yet."""
        return cls(click.position_ras, voxel_of(click.position_ras, grid), click.positive)

    def within(self, box: Box) -> Voxel:
        """Return its voxel counted from the start of a box."""
        i, j, k = (v - s for v, s in zip(self.voxel, box.start, strict=True))
        return i, j, k

    def to_json(self) -> dict[str, Any]:
        """Return the click for the journal."""
        return {"position_ras": list(self.position_ras), "positive": self.positive, "patch": list(self.patch)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], grid: Grid) -> PlacedClick:
        """Return a click from the journal."""
        i, j, k = (int(n) for n in entry["patch"])
        click = click_at(entry["position_ras"], grid, positive=entry["positive"])
        return replace(cls.of(click, grid), patch=(i, j, k))


class Sheet:
    """What is known of one structure.

    Attributes:
        target: The structure.
        draft: The mask that clicks correct: M_a of Algorithm 1.
        edited: The draft after its clicks.
        shown: What is left of that under the overlap rule: the structure's mask.
        clicks: The clicks that count, in order.
        locked: Whether it must not change.
    """

    def __init__(self, target: Target, shape: Voxel) -> None:
        self.target = target
        self.draft, self.edited, self.shown = SparseMask(shape), SparseMask(shape), SparseMask(shape)
        self.clicks: tuple[PlacedClick, ...] = ()
        self.locked = False


@dataclass(frozen=True, eq=False)
class Edit:
    """Voxels of one structure that flip, in one or more of its masks."""

    structure: str
    layers: tuple[str, ...]
    box: Box
    bits: Mask

    def to_json(self) -> dict[str, Any]:
        """Return the edit for the journal."""
        return {"structure": self.structure, "layers": list(self.layers), **encode_bits(self.box, self.bits)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], shape: Voxel) -> Edit:
        """Return an edit from the journal; damage is refused."""
        box, bits = decode_bits(entry, shape)
        return cls(str(entry.get("structure")), tuple(n for n in LAYERS if n in entry.get("layers", ())), box, bits)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Edit)
            and (self.structure, self.layers, self.box) == (other.structure, other.layers, other.box)
            and np.array_equal(self.bits, other.bits)
        )


@dataclass(frozen=True)
class Action:
    """One thing a person did, as far as it can be undone.

    Attributes:
        edits: What flips.
        clicks: For each structure concerned, its clicks before and after.
    """

    edits: tuple[Edit, ...]
    clicks: Mapping[str, tuple[tuple[PlacedClick, ...], tuple[PlacedClick, ...]]] = field(default_factory=dict)

    def reversed(self) -> Action:
        """Return the action that undoes this one."""
        return replace(self, clicks={name: (after, before) for name, (before, after) in self.clicks.items()})


def apply_action(action: Action, sheets: Mapping[str, Sheet]) -> None:
    """Do an action."""
    for edit in action.edits:
        for layer in edit.layers:
            mask: SparseMask = getattr(sheets[edit.structure], layer)
            mask.toggle(edit.box, edit.bits)
    for name, (_, after) in action.clicks.items():
        sheets[name].clicks = after


def plan_mask(
    sheets: Mapping[str, Sheet], name: str, box: Box, wanted: Mask, overlap: str, draft: Mask | None = None
) -> tuple[Edit, ...]:
    """Return the edits that make a structure what is wanted in a box, under the overlap rule.

    `allow` leaves other structures alone, `take` takes voxels from those that are not locked, `keep` leaves every voxel
    to the structure that has it. Only voxels that this action changes are looked at: what the rule decided before
    stays decided.

    Args:
        sheets: All structures.
        name: The one that changes.
        box: Where.
        wanted: Its mask there before the rule.
        overlap: The rule.
        draft: Its new draft there, or None where that stays.
    """
    sheet = sheets[name]
    flipped = wanted ^ sheet.edited.read(box)
    shown = sheet.shown.read(box)
    gained = flipped & wanted & ~shown
    others = {n: s for n, s in sheets.items() if n != name and overlap != "allow" and (s.shown.box & box).size}
    for other in others.values():
        if overlap == "keep" or other.locked:
            gained &= ~other.shown.read(box)
    visible = gained | (flipped & ~wanted & shown)
    edits = [] if draft is None else [trimmed(name, ("draft",), box, draft ^ sheet.draft.read(box))]
    if np.array_equal(visible, flipped):
        edits.append(trimmed(name, ("edited", "shown"), box, flipped))
    else:
        edits += [trimmed(name, ("edited",), box, flipped), trimmed(name, ("shown",), box, visible)]
    if overlap == "take":
        edits += [
            trimmed(n, ("shown",), box, gained & other.shown.read(box))
            for n, other in others.items()
            if not other.locked
        ]
    return tuple(edit for edit in edits if edit.box.size)


def trimmed(structure: str, layers: tuple[str, ...], box: Box, bits: Mask) -> Edit:
    """Return an edit whose box is no larger than needed; an empty one where nothing flips."""
    inner = Box.of(bits)
    return Edit(structure, layers, inner.moved(box.start), bits[inner.slices])
