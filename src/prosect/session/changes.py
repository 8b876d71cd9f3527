"""What an action changed, where to click next, and the labels of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.morphology import Components, innermost
from prosect.session.edits import Edit, Sheet
from prosect.vocabulary import Vocabulary

__all__ = ["Change", "StructureState", "Suggestion", "change_of", "find_dispute", "flat_labels", "labels_in"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What an action changed.

    Attributes:
        structure: Name of the structure the action was for, or of several.
        added: Voxels it gained.
        removed: Voxels it lost.
        box: Where masks changed, those of other structures too, in voxels of the scan as stored; None where none did.
        seconds: How long it took.
        notes: What was assumed, for the user to read.
        counts: Voxels gained and lost by each structure whose mask changed, those that lost to another included.
        revision: That of the session after the action.
    """

    structure: str
    added: int
    removed: int
    box: Box | None
    seconds: float
    notes: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    revision: int = 0
    _edits: tuple[Edit, ...] = field(default=(), repr=False, compare=False)

    def difference(self, structure: str, box: Box | None = None) -> Mask:
        """Return which voxels of a structure's mask changed (i j k).

        Args:
            structure: Its name.
            box: Where, in voxels of the scan as stored; by default `self.box`.
        """
        place = box
        if box is None:
            place = self.box
        out = np.zeros((0, 0, 0) if place is None else place.shape, dtype=np.bool_)
        if place is not None:
            for edit in self._edits:
                if edit.structure == structure and "shown" in edit.layers:
                    out ^= edit.read(place)
        return out


@dataclass(frozen=True)
class Suggestion:
    """Where a click would tell most: the middle of the largest part on which network and mask disagree.

    Attributes:
        structure: Name of the structure.
        position_ras: Where to look, in mm.
        positive: What the network takes the place for; the person judges.
        volume_ml: How much hangs on it.
    """

    structure: str
    position_ras: tuple[float, float, float]
    positive: bool
    volume_ml: float


@dataclass(frozen=True)
class StructureState:
    """A structure of a session, for a list of them.

    Attributes:
        name: Its name.
        index: Its label value.
        voxels: How many its mask has.
        clicks: How many clicks it has.
        drafted: Whether there is a draft that clicks correct.
        locked: Whether it must not change.
        zero_shot: Whether it is an object of its own, which no class of the model describes.
        box: Where its voxels lie, in voxels of the scan as stored; empty where it has none.
    """

    name: str
    index: int
    voxels: int
    clicks: int
    drafted: bool
    locked: bool
    zero_shot: bool
    box: Box = EMPTY

    @classmethod
    def of(cls, sheet: Sheet) -> StructureState:
        """Return the state of a structure."""
        target = sheet.target
        return cls(
            target.name,
            target.index,
            voxels=sheet.shown.count,
            clicks=len(sheet.clicks),
            drafted=sheet.draft.count > 0,
            locked=sheet.locked,
            zero_shot=target.zero_shot,
            box=sheet.shown.box,
        )


def change_of(
    edits: Iterable[Edit],
    sheets: Mapping[str, Sheet],
    names: Iterable[str],
    notes: Iterable[str],
    revision: int,
) -> Change:
    """Return what edits change that are not done yet, for the structures named; what others lose goes to the notes.

    How long it took is not known yet.
    """
    shown = tuple(edit for edit in edits if "shown" in edit.layers)
    counts: dict[str, tuple[int, int]] = {}
    asked, notes, box = list(names), list(notes), EMPTY
    for edit in shown:
        bits = edit.bits
        lost = int(np.count_nonzero(bits & sheets[edit.structure].shown.read(edit.box)))
        gained = int(np.count_nonzero(bits)) - lost
        added, removed = counts.get(edit.structure, (0, 0))
        counts[edit.structure] = (added + gained, removed + lost)
        box |= edit.box
    for name, (_, lost) in counts.items():
        if name not in asked:
            notes.append(f"{lost} voxels taken from '{name}'")
    return Change(
        ", ".join(asked),
        added=sum(counts[name][0] for name in asked if name in counts),
        removed=sum(counts[name][1] for name in asked if name in counts),
        box=box if box.size else None,
        seconds=0.0,
        notes=tuple(notes),
        counts=counts,
        revision=revision,
        _edits=shown,
    )


def find_dispute(asked: Mask, yes: Mask, edited: Mask, box: Box, grid: Grid, name: str) -> Suggestion | None:
    """Return the middle of the largest component of a box on which network and mask disagree, or None.

    Args:
        asked: Where the network was asked (i j k).
        yes: Where it says yes (i j k).
        edited: The mask (i j k).
        box: Where these lie in the scan.
        grid: The scan's grid.
        name: The structure.
    """
    parts = Components.of(asked & (yes ^ edited))
    if not parts.count:
        return None
    largest = int(parts.sizes.argmax())
    inner = innermost(parts.mask([largest]), grid.spacing_mm)
    voxel = np.asarray(inner) + box.start
    r, a, s = grid.to_world(voxel).tolist()
    return Suggestion(name, (r, a, s), bool(yes[inner]), float(parts.sizes[largest]) * grid.voxel_volume_ml)


def labels_in(
    sheets: Mapping[str, Sheet],
    vocabulary: Vocabulary,
    box: Box,
    undone: Change | None = None,
    values: Mapping[str, int] | None = None,
) -> NDArray[np.uint16]:
    """Return one label per voxel of a box (i j k): by the vocabulary's precedence, locked structures above all.

    Args:
        sheets: All structures.
        vocabulary: Says which structure covers which.
        box: In voxels of the scan as stored.
        undone: The newest change; given, the labels are those from before it.
        values: The label of each structure by name; one without is left out. By default each has its index.
    """
    out = np.zeros(box.shape, dtype=np.uint16)
    for sheet in painting_order(sheets, vocabulary, undone):
        # Nothing lies outside the structure's own box, and with many structures most boxes lie elsewhere.
        if undone is not None:
            where = box
        else:
            where = box & sheet.shown.box
        left_out = values is not None and sheet.target.name not in values
        if left_out or not where.size:
            continue
        mask = sheet.shown.read(where)
        if undone is not None:
            mask ^= undone.difference(sheet.target.name, where)
        label = sheet.target.index if values is None else values[sheet.target.name]
        np.copyto(out[where.within(box)], label, where=mask)
    return out


def flat_labels(
    sheets: Mapping[str, Sheet], grid: Grid, vocabulary: Vocabulary, provenance: Mapping[str, object]
) -> LabelMap:
    """Return one label per voxel of the scan (i j k); see `labels_in`."""
    order = painting_order(sheets, vocabulary)
    highest = max((sheet.target.index for sheet in order), default=0)
    array = np.zeros(grid.shape, dtype=np.uint8 if highest < 256 else np.uint16)
    for sheet in order:
        box = sheet.shown.box
        array[box.slices][sheet.shown.read(box)] = sheet.target.index
    return LabelMap(array, grid, vocabulary, provenance)


def painting_order(
    sheets: Mapping[str, Sheet], vocabulary: Vocabulary, undone: Change | None = None
) -> Sequence[Sheet]:
    """Return the structures that have a voxel, the lowest first: each covers those before it."""
    present = []
    for name, sheet in sheets.items():
        if undone is None:
            added, removed = (0, 0)
        else:
            added, removed = undone.counts.get(name, (0, 0))
        if sheet.shown.count - added + removed:
            present.append(sheet)
    tiers = vocabulary.tiers([sheet.target.index for sheet in present])
    ranked = sorted(zip(tiers, present, strict=True), key=lambda pair: (pair[1].locked, pair[0]))
    return [sheet for _, sheet in ranked]
