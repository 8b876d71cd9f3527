"""What one action does to the masks of a session: bits that flip in a box, so that doing it again undoes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box, SparseMask
from prosect.geometry import Grid
from prosect.prompts import Click, Target, click_at, voxel_of
from prosect.session.bits import box_from_json, pack, packed_from_json, to_json, unpack

__all__ = [
    "LAYERS",
    "OVERLAPS",
    "Action",
    "Clicks",
    "Edit",
    "Overlap",
    "PlacedClick",
    "Sheet",
    "after",
    "apply_action",
    "changes_between",
    "count_from_now",
    "join_actions",
    "plan_mask",
    "scale_of",
]

Overlap = Literal["allow", "take", "keep"]
OVERLAPS: tuple[str, ...] = get_args(Overlap)
Mask: TypeAlias = NDArray[np.bool_]
Voxel: TypeAlias = tuple[int, int, int]
LAYERS = ("draft", "edited", "shown")
POINTER_BYTES = 8


@dataclass(frozen=True)
class PlacedClick:
    """A click of a structure.

    Attributes:
        position_ras: Where, in mm.
        voxel: The scan's voxel it lies in.
        positive: Its sign.
        patch: The patch that answers it, as its start on the network grid.
        turn: When it began to count among the clicks of its structure, from 1; None while it waits. A negative click
            where the structure has no voxel waits until the mask grows over it.
        extent_mm: The longest side of the structure, where the person said it with this click.
        bounds: The box of the scan's voxels in which the structure lies, where the person drew it with this click.
        scale: The working spacing of its patch, as a multiple of the model's; that of all clicks of its structure.
        anchor_ras: A place deep in the structure that the network is shown with a negative click alone in its patch, in
            mm; see `session.anchors`.
    """

    position_ras: tuple[float, float, float]
    voxel: Voxel
    positive: bool
    patch: Voxel = (0, 0, 0)
    turn: int | None = None
    extent_mm: float | None = None
    bounds: Box | None = None
    scale: float = 1.0
    anchor_ras: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, click: Click, grid: Grid) -> PlacedClick:
        """Return a click that has no patch yet and waits."""
        voxel = voxel_of(click.position_ras, grid)
        return cls(click.position_ras, voxel, click.positive, extent_mm=click.extent_mm, bounds=click.box)

    def within(self, box: Box) -> Voxel:
        """Return its voxel counted from the start of a box."""
        i, j, k = (v - s for v, s in zip(self.voxel, box.start, strict=True))
        return i, j, k

    def to_json(self) -> dict[str, Any]:
        """Return the click for the journal."""
        plain: dict[str, Any] = {
            "position_ras": list(self.position_ras),
            "positive": self.positive,
            "patch": list(self.patch),
            "turn": self.turn,
        }
        if self.scale != 1:
            plain["scale"] = self.scale
        if self.extent_mm is not None:
            plain["extent_mm"] = self.extent_mm
        if self.bounds is not None:
            plain["bounds"] = [list(self.bounds.start), list(self.bounds.stop)]
        if self.anchor_ras is not None:
            plain["anchor_ras"] = list(self.anchor_ras)
        return plain

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], grid: Grid, clicks: Clicks = ()) -> PlacedClick:
        """Return a click from the journal; one from before clicks could wait counts after those given.

        Raises:
            PromptError, LookupError, TypeError, ValueError: It is damaged.
        """
        i, j, k = (int(n) for n in entry["patch"])
        turn = entry.get("turn", next_turn(clicks))
        extent_mm = entry.get("extent_mm")
        click = click_at(entry["position_ras"], grid, positive=entry["positive"], extent_mm=extent_mm)
        if "bounds" in entry:
            click = replace(click, box=bounds_from(entry["bounds"], grid))
        placed = cls.of(click, grid)
        if "anchor_ras" in entry:
            placed = replace(placed, anchor_ras=click_at(entry["anchor_ras"], grid).position_ras)
        scale = float(entry.get("scale", 1.0))
        if not 0 < scale < math.inf:
            raise ValueError(f"a click has the scale {scale}")
        return replace(placed, patch=(i, j, k), turn=None if turn is None else int(turn), scale=scale)


Clicks: TypeAlias = tuple[PlacedClick, ...]


def bounds_from(corners: Any, grid: Grid) -> Box:
    """Return the box of a click from the journal.

    Raises:
        TypeError, ValueError: It is none of the scan.
    """
    (a, b, c), (i, j, k) = ([int(n) for n in corner] for corner in corners)
    box = Box((a, b, c), (i, j, k))
    if not box.size or box & Box((0, 0, 0), grid.shape) != box:
        raise ValueError(f"a click has the box {corners}")
    return box


def scale_of(clicks: Sequence[PlacedClick]) -> float:
    """Return the scale at which the clicks of one structure are answered; they share it."""
    if clicks:
        return clicks[-1].scale
    return 1.0


def after(voxel: Voxel) -> Voxel:
    """Return where the box of one voxel ends."""
    i, j, k = voxel
    return i + 1, j + 1, k + 1


def next_turn(clicks: Iterable[PlacedClick]) -> int:
    """Return the turn after the last that clicks had."""
    return 1 + max((each.turn for each in clicks if each.turn is not None), default=0)


def count_from_now(clicks: Clicks, which: Iterable[PlacedClick]) -> Clicks:
    """Return clicks of which some that waited begin to count, in their order."""
    chosen = list(which)
    turn = next_turn(clicks)
    counted = []
    for each in clicks:
        if each in chosen:
            each = replace(each, turn=turn)
            turn += 1
        counted.append(each)
    return tuple(counted)


class Sheet:
    """What is known of one structure.

    Attributes:
        target: The structure.
        draft: The mask that clicks correct: M_a of Algorithm 1.
        edited: The draft after its clicks.
        shown: What is left of that under the overlap rule: the structure's mask.
        clicks: Its clicks, in the order in which they were made.
        locked: Whether it must not change.
    """

    def __init__(self, target: Target, shape: Voxel) -> None:
        self.target = target
        self.draft, self.edited, self.shown = SparseMask(shape), SparseMask(shape), SparseMask(shape)
        self.clicks: Clicks = ()
        self.locked = False

    def copy(self) -> Sheet:
        """Return a sheet of its own with the same content."""
        other = Sheet(self.target, self.draft.shape)
        for layer in LAYERS:
            mask: SparseMask = getattr(self, layer)
            getattr(other, layer).toggle(mask.box, mask.read(mask.box))
        other.clicks, other.locked = self.clicks, self.locked
        return other


@dataclass(frozen=True, eq=False)
class Edit:
    """Voxels of one structure that flip, in one or more of its masks.

    Attributes:
        structure: Its name.
        layers: Which of its masks: `draft`, `edited`, `shown`.
        box: Where, in voxels of the scan as stored.
        packed: The bits of the box; see `pack`.
    """

    structure: str
    layers: tuple[str, ...]
    box: Box
    packed: bytes

    @classmethod
    def of(cls, structure: str, layers: tuple[str, ...], box: Box, bits: Mask) -> Edit:
        """Return the edit that flips bits (i j k) of a box; its own box is cut to them, and empty where none flips."""
        inner = Box.of(bits)
        return cls(structure, layers, inner.shift(box.start), pack(bits[inner.slices]))

    @property
    def bits(self) -> Mask:
        """The voxels of the box that flip (i j k)."""
        return unpack(self.packed, self.box.shape)

    def read(self, box: Box) -> Mask:
        """Return which voxels of another box flip (i j k)."""
        out = np.zeros(box.shape, dtype=np.bool_)
        shared = box & self.box
        if shared.size:
            out[shared.within(box)] = self.bits[shared.within(self.box)]
        return out

    def to_json(self) -> dict[str, Any]:
        """Return the edit for the journal."""
        return {"structure": self.structure, "layers": list(self.layers), **to_json(self.box, self.packed)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], shape: Voxel) -> Edit:
        """Return an edit from the journal.

        Raises:
            SessionError: It is damaged (`SESSION_DAMAGED`).
        """
        box, packed = box_from_json(entry, shape), packed_from_json(entry)
        unpack(packed, box.shape)
        layers = tuple(layer for layer in LAYERS if layer in entry.get("layers", ()))
        return cls(str(entry.get("structure")), layers, box, packed)

    def __eq__(self, other: object) -> bool:
        # The bits are compared, not how they are packed: another zlib packs the same bits otherwise.
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
        clicks: For each structure whose clicks change, its clicks before and after.
    """

    edits: tuple[Edit, ...]
    clicks: Mapping[str, tuple[Clicks, Clicks]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held, about: packed bits and references to clicks."""
        of_edits = sum(len(edit.packed) for edit in self.edits)
        return of_edits + sum(POINTER_BYTES * (len(a) + len(b)) for a, b in self.clicks.values())

    def inverse(self) -> Action:
        """Return the action that undoes this one."""
        return replace(self, clicks={name: (after, before) for name, (before, after) in self.clicks.items()})


def apply_action(action: Action, sheets: Mapping[str, Sheet]) -> None:
    """Do an action."""
    for edit in action.edits:
        bits = edit.bits
        for layer in edit.layers:
            mask: SparseMask = getattr(sheets[edit.structure], layer)
            mask.toggle(edit.box, bits)
    for name, (_, after) in action.clicks.items():
        sheets[name].clicks = after


def plan_mask(
    sheets: Mapping[str, Sheet],
    name: str,
    box: Box,
    wanted: Mask,
    overlap: str,
    draft: Mask | None = None,
    painted: Mask | None = None,
) -> tuple[Edit, ...]:
    """Return the edits that make a structure what is wanted in a box, under the overlap rule.

    `allow` leaves other structures alone, `take` takes voxels from those that are not locked, `keep` leaves every voxel
    to the structure that has it. Only voxels that this action changes are looked at: what the rule decided before
    stays decided, but where a person paints a voxel that the structure had lost to another.

    Args:
        sheets: All structures.
        name: The one that changes.
        box: Where.
        wanted: Its mask there before the rule (i j k).
        overlap: The rule.
        draft: Its new draft there (i j k), or None where that stays.
        painted: Which of the wanted voxels (i j k) a person named one by one.
    """
    sheet = sheets[name]
    flipped = wanted ^ sheet.edited.read(box)
    shown = sheet.shown.read(box)
    # Under `keep` and `take` a structure may be edited where another is shown.
    gained = flipped & wanted & ~shown
    if painted is not None:
        gained |= painted & wanted & ~shown
    others = sheets_beside(sheets, name, box, overlap)
    for other in others.values():
        if overlap == "keep" or other.locked:
            gained &= ~other.shown.read(box)
    visible = gained | (flipped & ~wanted & shown)
    edits = []
    if draft is not None:
        edits.append(Edit.of(name, ("draft",), box, draft ^ sheet.draft.read(box)))
    edits += flips_of(name, box, flipped, visible)
    if overlap == "take":
        for other_name, other in others.items():
            if not other.locked:
                edits.append(Edit.of(other_name, ("shown",), box, gained & other.shown.read(box)))
    return tuple(edit for edit in edits if edit.box.size)


def flips_of(name: str, box: Box, edited: Mask, shown: Mask) -> list[Edit]:
    """Return the edits that flip voxels of a box (i j k) in two masks of a structure: one where both flip alike."""
    if np.array_equal(edited, shown):
        return [Edit.of(name, ("edited", "shown"), box, edited)]
    return [Edit.of(name, ("edited",), box, edited), Edit.of(name, ("shown",), box, shown)]


def sheets_beside(sheets: Mapping[str, Sheet], name: str, box: Box, overlap: str) -> dict[str, Sheet]:
    """Return the other structures that the rule asks about a box; none where structures may overlap."""
    found = {}
    for other, sheet in sheets.items():
        if other != name and overlap != "allow" and (sheet.shown.box & box).size:
            found[other] = sheet
    return found


def changes_between(before: Mapping[str, Sheet], after: Mapping[str, Sheet]) -> Action:
    """Return the action that leads from some sheets to others of the same structures."""
    edits: list[Edit] = []
    clicks: dict[str, tuple[Clicks, Clicks]] = {}
    for name, old in before.items():
        new = after[name]
        if new is old:
            continue
        box = old.edited.box | new.edited.box | old.shown.box | new.shown.box
        edited = old.edited.read(box) ^ new.edited.read(box)
        shown = old.shown.read(box) ^ new.shown.read(box)
        edits += flips_of(name, box, edited, shown)
        if new.clicks != old.clicks:
            clicks[name] = (old.clicks, new.clicks)
    return Action(tuple(edit for edit in edits if edit.box.size), clicks)


def join_actions(actions: Iterable[Action]) -> Action:
    """Return one action that does what several do in turn; each structure has clicks in one of them at most."""
    edits: list[Edit] = []
    clicks: dict[str, tuple[Clicks, Clicks]] = {}
    for action in actions:
        edits += action.edits
        clicks.update(action.clicks)
    return Action(tuple(edits), clicks)
