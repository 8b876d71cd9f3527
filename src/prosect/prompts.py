"""What a person asks for: structures by name and clicks in the patient, checked here and nowhere else.

Positions are in millimetres, RAS. A click belongs to the scan where -0.5 <= i < n - 0.5 holds for its voxel index on
every axis, which is where voxels are (see `geometry`). A fractional index is a position inside a voxel and is taken as
such.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from prosect.boxes import Box
from prosect.drawn_box import likely_extent_mm
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.places import Point, Space, box_between, outside, place_of, three_numbers
from prosect.vocabulary import Structure, Vocabulary
from prosect.vocabulary.matching import can_be_name, is_background

__all__ = [
    "MAX_CLICKS",
    "Click",
    "LabelledClick",
    "Prompt",
    "Space",
    "Target",
    "click_at",
    "click_in",
    "click_label",
    "clicks_beside",
    "extend_vocabulary",
    "for_structure",
    "parse_at",
    "positive_of",
    "refuse_only_negative",
    "size_of",
    "target_of",
    "voxel_of",
]

Voxel: TypeAlias = tuple[int, int, int]

MAX_CLICKS = 1000  # of one structure; nobody clicks that often, a broken program does
MAX_NAME = 64
BACKGROUND = "The background is no structure. Name another, or click negatively where a structure is none."
MAX_EXTENT_MM = 10_000.0  # no scanner is longer
INTEGER = re.compile(r"[-+]?\d+")
AT = re.compile(r"(?P<numbers>.*?)\s*(?P<sign>[+-]?)")


@dataclass(frozen=True)
class Click:
    """One click.

    Attributes:
        position_ras: Where, in mm.
        positive: Whether the place belongs to the structure.
        structure: Name or index; None where the request says it once for all.
        extent_mm: The longest side of what is clicked, where a person knows it: the network answers at a working
            spacing that suits it.
        box: The box of the scan's voxels in which the structure lies, where a person knows it; see `click_in`.
    """

    position_ras: Point
    positive: bool = True
    structure: str | int | None = None
    extent_mm: float | None = None
    box: Box | None = None


class LabelledClick(NamedTuple):
    """A click as the network takes it.

    Attributes:
        position_ras: Where, in mm.
        label: From 0 to 3; see `click_label`.
        patch: The patch that answers it, as its start on the network grid.
    """

    position_ras: Point
    label: int
    patch: Voxel


@dataclass(frozen=True)
class Prompt:
    """A whole request: structures to segment automatically and clicks, checked together.

    Args:
        classes: Structures by name or index.
        clicks: Clicks in the order in which they were made.
        drafted: Whether there is a mask to correct, so that negative clicks alone make sense.
        grid: The scan's grid: clicks of both signs in one of its voxels clash. Without it, at one position.

    Raises:
        PromptError: Nothing asked for (`PROMPT_EMPTY`), a structure twice (`CLASS_REPEATED`), more than 1000 clicks on
            one structure (`CLICKS_TOO_MANY`), a positive and a negative click on one spot (`CLICKS_CONFLICT`), or
            negative clicks only, with nothing to remove from (`CLICKS_ONLY_NEGATIVE`).
    """

    classes: tuple[str | int, ...] = ()
    clicks: tuple[Click, ...] = ()
    drafted: bool = False
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if not self.classes and not self.clicks:
            raise PromptError("Nothing is asked for: name a structure or give a click.", code="PROMPT_EMPTY")
        for name in self.classes:
            if self.classes.count(name) > 1:
                raise PromptError(f"{name!r} is asked for twice; once is enough.", code="CLASS_REPEATED")
        of: dict[str | int | None, list[Click]] = {}
        for click in self.clicks:
            of.setdefault(click.structure, []).append(click)
        for structure, clicks in of.items():
            check_together(clicks, structure, self.drafted or structure in self.classes, self.grid)


def check_together(
    clicks: Sequence[Click], structure: str | int | None, drafted: bool, grid: Grid | None = None
) -> None:
    """Refuse clicks on one structure that do not go together; see `Prompt`."""
    named = "one structure" if structure is None else repr(structure)
    if len(clicks) > MAX_CLICKS:
        raise PromptError(f"{len(clicks)} clicks on {named}; at most {MAX_CLICKS} are taken.", code="CLICKS_TOO_MANY")
    signs: dict[Point | Voxel, bool] = {}
    for click in clicks:
        spot = click.position_ras if grid is None else voxel_of(click.position_ras, grid)
        if signs.setdefault(spot, click.positive) is not click.positive:
            raise PromptError(
                f"The spot {list(click.position_ras)} is clicked as part of {named} and as no part of it; remove one.",
                code="CLICKS_CONFLICT",
            )
    if not drafted and not any(click.positive for click in clicks):
        refuse_only_negative(structure)


def refuse_only_negative(structure: str | int | None) -> None:
    """Refuse negative clicks that have nothing to remove from.

    Raises:
        PromptError: Always (`CLICKS_ONLY_NEGATIVE`).
    """
    named = "the structure" if structure is None else repr(structure)
    raise PromptError(
        f"Only negative clicks, and {named} has no mask yet, so there is nothing to remove. Click inside it first, or "
        "start from an automatic draft.",
        code="CLICKS_ONLY_NEGATIVE",
    )


def refuse_last_positive(structure: str) -> None:
    """Refuse a negative click in the place of the only positive one.

    Raises:
        PromptError: Always (`CLICKS_ONLY_NEGATIVE`).
    """
    raise PromptError(
        f"This voxel holds the only positive click on '{structure}', perhaps the middle of its box. With a negative "
        "one in its place nothing would be left. Click inside the structure elsewhere first, or undo.",
        code="CLICKS_ONLY_NEGATIVE",
    )


def click_at(
    position: Sequence[float],
    grid: Grid,
    *,
    positive: bool = True,
    structure: str | int | None = None,
    space: str = "ras",
    extent_mm: float | None = None,
) -> Click:
    """Return the click at a position in a scan.

    Args:
        position: Three numbers, in mm or as a voxel index, whole or fractional.
        grid: The scan's grid.
        positive: Whether the place belongs to the structure.
        structure: Name or index.
        space: `ras`, `lps` (DICOM, ITK, Slicer files; mm) or `voxel` (i, j, k as the scan stores them, from 0).
        extent_mm: The longest side of what is clicked, where it is known.

    Raises:
        PromptError: Not three numbers (`POINT_NOT_THREE_NUMBERS`), NaN or infinite (`POINT_NOT_FINITE`), no such space
            (`SPACE_UNKNOWN`), outside the scan (`POINT_OUTSIDE`, with the bounds), or a size that is none
            (`EXTENT_INVALID`).
    """
    if not isinstance(positive, bool | np.bool_):
        raise PromptError(f"`positive` is {positive!r}; true or false is needed.", code="CLICK_LABEL")
    given, voxel, world = place_of(position, grid, space)
    if not grid.contains(voxel):
        raise PromptError(outside(given.tolist(), voxel.round(2).tolist(), grid, space), code="POINT_OUTSIDE")
    r, a, s = (world + 0.0).tolist()
    return Click((r, a, s), bool(positive), structure, size_of(extent_mm))


def click_in(
    corner: Sequence[float],
    opposite: Sequence[float],
    grid: Grid,
    *,
    structure: str | int | None = None,
    space: str = "ras",
) -> Click:
    """Return the positive click in the middle of a box that a person drew around a structure.

    A box of one voxel along an axis was drawn in a plane. It says where the structure ends in that plane, and in the
    planes beside it the less the farther they are.

    Args:
        corner: A corner of the box, in mm or as a voxel index; its voxel belongs to the box. What reaches beyond the
            scan is cut off.
        opposite: The opposite corner.
        grid: The scan's grid.
        structure: Name or index.
        space: See `click_at`.

    Raises:
        PromptError: As for `click_at`, or the box lies beside the scan (`POINT_OUTSIDE`).
    """
    box = box_between(corner, opposite, grid, space)
    middle = [(first + last - 1) / 2 for first, last in zip(box.start, box.stop, strict=True)]
    extent_mm = min(likely_extent_mm(box, grid.spacing_mm), MAX_EXTENT_MM)
    click = click_at(middle, grid, structure=structure, space="voxel", extent_mm=extent_mm)
    return replace(click, box=box)


def size_of(extent_mm: Any) -> float | None:
    """Return a size in mm, or None where none is said.

    Raises:
        PromptError: It is no number above 0 (`EXTENT_INVALID`).
    """
    if extent_mm is None:
        return None
    is_number = isinstance(extent_mm, int | float | np.integer | np.floating) and not isinstance(extent_mm, bool)
    if not is_number or not math.isfinite(extent_mm) or not 0 < extent_mm <= MAX_EXTENT_MM:
        raise PromptError(
            f"The size {extent_mm!r:.60} is no number of millimetres above 0 and up to {MAX_EXTENT_MM:.0f}; give the "
            "longest side of the structure.",
            code="EXTENT_INVALID",
        )
    return float(extent_mm)


def voxel_of(position_ras: Point, grid: Grid) -> Voxel:
    """Return the voxel that a position inside the scan lies in."""
    # Rounded first: through millimetres and back, an index exactly between two voxels must stay there.
    index = np.floor(grid.to_voxel(position_ras).round(6) + 0.5).astype(int)
    i, j, k = np.clip(index, 0, np.asarray(grid.shape) - 1).tolist()
    return i, j, k


def parse_at(text: str) -> tuple[Point, bool]:
    """Return position and sign of a typed click: `12.5,-40,310.2`, with `+` (default) or `-` at the end.

    Raises:
        PromptError: Not three numbers (`POINT_NOT_THREE_NUMBERS`), or not finite (`POINT_NOT_FINITE`).
    """
    match = AT.fullmatch(text.strip())
    words = match["numbers"].split(",") if match else []
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if match is None or len(numbers) != 3:
        raise PromptError(
            f"{text!r:.60} is no click; write X,Y,Z with an optional + or - at the end, such as 12.5,-40,310.2-",
            code="POINT_NOT_THREE_NUMBERS",
        )
    return three_numbers(numbers), match["sign"] != "-"


def click_label(positive: bool, ambiguous: bool) -> int:
    """Return the network's label of a click (VISTA3D, Sec. 3.2): 0 and 1, or 2 and 3 for an ambiguous structure."""
    return int(positive) + (2 if ambiguous else 0)


def positive_of(label: object, ambiguous: bool = False) -> bool | None:
    """Return what a label of the official software means: True, False, or None for a padding click (-1).

    Raises:
        PromptError: No such label, or 2 or 3 for a structure that is not ambiguous (`CLICK_LABEL`).
    """
    if isinstance(label, bool) or label not in (-1, 0, 1, 2, 3):
        raise PromptError(f"The click label {label!r} is none of -1, 0, 1, 2, 3.", code="CLICK_LABEL")
    if label in (2, 3) and not ambiguous:
        raise PromptError(
            f"The click label {label} is for ambiguous structures only, which the vocabulary knows; use 0 or 1.",
            code="CLICK_LABEL",
        )
    return None if label == -1 else label in (1, 3)


def for_structure(clicks: Iterable[Click], structure: str | int) -> list[Click]:
    """Return clicks with the structure filled in where they name none."""
    return [replace(click, structure=structure) if click.structure is None else click for click in clicks]


@dataclass(frozen=True)
class Target:
    """What clicks are for, and how the network is told (VISTA3D, Sec. 3.2).

    Attributes:
        name: The structure's official name, or the user's own.
        index: Its label value.
        zero_shot: Whether the network meets it as something no class describes.
        ambiguous: Whether clicks carry the special embedding.
        note: What was assumed, for the user to read; empty where nothing was.
    """

    name: str
    index: int
    zero_shot: bool
    ambiguous: bool
    note: str = ""


def target_of(structure: str | int, vocabulary: Vocabulary) -> Target:
    """Return what clicks on a structure mean.

    A structure that the model was trained for is clicked as such. Everything else is an object of its own (zero-shot):
    a structure known by name only, or a new name that the user gives. The user never chooses tokens or labels.

    Raises:
        PromptError: A group (`STRUCTURE_GROUP`), an index that no structure has (`STRUCTURE_UNKNOWN`), or a name that
            cannot be one, such as `background` (`STRUCTURE_NAME`).
    """
    if is_background(structure):
        raise PromptError(BACKGROUND, code="STRUCTURE_NAME")
    found = vocabulary.get(structure)
    if found is not None and found.status == "group":
        parts = ", ".join(f"'{vocabulary[i].name}'" for i in found.parts)
        raise PromptError(f"'{found.name}' is a group; click on one of its parts: {parts}.", code="STRUCTURE_GROUP")
    if found is not None:
        note = "" if found.supported else f"the model has no class for '{found.name}': an object of its own (zero-shot)"
        return Target(found.name, found.index, not found.supported, found.supported and found.ambiguous, note)
    if not isinstance(structure, str) or INTEGER.fullmatch(structure.strip()):
        vocabulary.find(structure)
    name = str(structure).strip()
    if not can_be_name(name) or not name.isprintable() or len(name) > MAX_NAME:
        raise PromptError(
            f"{name!r:.60} cannot be the name of a structure; 1 to {MAX_NAME} printable characters are needed, and a "
            "letter among them.",
            code="STRUCTURE_NAME",
        )
    near = ", ".join(f"'{other}'" for other in vocabulary.nearest(name))
    index = max(s.index for s in vocabulary) + 1
    return Target(name, index, True, False, f"'{name}' is new: an object of its own (zero-shot). Known names: {near}")


def extend_vocabulary(vocabulary: Vocabulary, target: Target) -> Vocabulary:
    """Return a vocabulary that knows the target's name; the user's own objects lie above others in a flat map."""
    if target.index in {s.index for s in vocabulary}:
        return vocabulary
    reason = "an object that was made by clicks"
    own = Structure(target.index, target.name, "unsupported", overlapping=True, reason=reason)
    return vocabulary.extend(vocabulary.name, [own])


class SignedVoxel(Protocol):
    """A click as far as it can clash with another."""

    @property
    def voxel(self) -> Voxel:
        """The scan's voxel it lies in."""

    @property
    def positive(self) -> bool:
        """Its sign."""


AnyClick = TypeVar("AnyClick", bound=SignedVoxel)


def clicks_beside(
    clicks: Sequence[AnyClick], new: AnyClick, structure: str, drafted: bool, notes: list[str]
) -> tuple[AnyClick, ...]:
    """Return the clicks that still count beside a new one: in one voxel the last click does, and a note says so.

    Raises:
        PromptError: Too many clicks (`CLICKS_TOO_MANY`), or only negative ones and no draft (`CLICKS_ONLY_NEGATIVE`).
    """
    kept = tuple(each for each in clicks if each.voxel != new.voxel)
    if len(kept) + 1 > MAX_CLICKS:
        raise PromptError(f"'{structure}' has {MAX_CLICKS} clicks; no more are taken.", code="CLICKS_TOO_MANY")
    if not drafted and not any(each.positive for each in (*kept, new)):
        if len(kept) < len(clicks):
            refuse_last_positive(structure)
        refuse_only_negative(structure)
    if any(each.voxel == new.voxel and each.positive != new.positive for each in clicks):
        notes.append("this voxel was clicked the other way before; the last click counts")
    return kept
