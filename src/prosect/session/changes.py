"""What an action changed, where to click next, and the labels of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import EMPTY, Box
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.morphology import Components, innermost
from prosect.session.edits import Edit, Sheet
from prosect.vocabulary import Vocabulary

__all__ = ["Change", "Suggestion", "change_of", "disputed", "flat_labels"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What an action changed.

    Attributes:
        structure: Name of the structure, or of several.
        added: Voxels gained.
        removed: Voxels lost.
        box: Where, in voxels of the scan as stored; None where nothing changed.
        seconds: How long it took.
        notes: What was assumed, for the user to read.
    """

    structure: str
    added: int
    removed: int
    box: Box | None
    seconds: float
    notes: tuple[str, ...] = ()


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


def change_of(
    edits: Iterable[Edit], sheets: Mapping[str, Sheet], names: Iterable[str], seconds: float, notes: Iterable[str] = ()
) -> Change:
    """Return what edits change that are not done yet, for the structures named; what others lose goes to the notes."""
    counts: dict[str, list[int]] = {name: [0, 0] for name in names}
    notes, box = list(notes), EMPTY
    for edit in edits:
        if "shown" not in edit.layers:
            continue
        before = sheets[edit.structure].shown.read(edit.box)
        lost = int(np.count_nonzero(edit.bits & before))
        if edit.structure in counts:
            counts[edit.structure][0] += int(np.count_nonzero(edit.bits)) - lost
            counts[edit.structure][1] += lost
        else:
            notes.append(f"{lost} voxels taken from '{edit.structure}'")
        box |= edit.box
    added, removed = (sum(count[n] for count in counts.values()) for n in (0, 1))
    return Change(", ".join(counts), added, removed, box if box.size else None, seconds, tuple(notes))


def disputed(asked: Mask, yes: Mask, edited: Mask, box: Box, grid: Grid, name: str) -> Suggestion | None:
    """Return the middle of the largest component of a box on which network and mask disagree, or None.

    Args:
        asked: Where the network was asked (i j k).
        yes: Where it says yes.
        edited: The mask.
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


def flat_labels(
    sheets: Mapping[str, Sheet], grid: Grid, vocabulary: Vocabulary, provenance: Mapping[str, object]
) -> LabelMap:
    """Return one label per voxel: by the vocabulary's precedence, locked structures above all."""
    present = [sheet for sheet in sheets.values() if sheet.shown.count]
    tiers = vocabulary.tiers([sheet.target.index for sheet in present])
    order = sorted(zip(tiers, present, strict=True), key=lambda pair: (pair[1].locked, pair[0]))
    highest = max((sheet.target.index for sheet in present), default=0)
    array = np.zeros(grid.shape, dtype=np.uint8 if highest < 256 else np.uint16)
    for _, sheet in order:
        box = sheet.shown.box
        array[box.slices][sheet.shown.read(box)] = sheet.target.index
    return LabelMap(array, grid, vocabulary, provenance)
