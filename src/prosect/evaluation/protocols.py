"""What is asked of a model and counted: automatically, by one click, by one click on the automatic result, by many.

All of it counted as a user meets it. The whole pipeline runs, results are judged on the scan's own voxels, a structure
that is found where there is none scores 0, and of several clicks the last counts, not the best. How the paper counts is
in `table1` and in `summary`; the two are never mixed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.data.labelled import LabelledScan
from prosect.evaluation.box_masks import Boxed
from prosect.evaluation.clickers import RULES, next_click
from prosect.evaluation.scores import Row, Target, row_of
from prosect.evaluation.surface import TOLERANCE_MM
from prosect.labelmap import Labels
from prosect.session import Change
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = [
    "AutomaticModel",
    "ClickingModel",
    "Rules",
    "auto",
    "auto_point",
    "automatic_targets",
    "clicked_targets",
    "clicks",
    "finds_itself",
    "point",
]

Mask = NDArray[np.bool_]
BOX_CLICKS = 2  # what a box counts as: it takes two points to draw (VISTA3D, Sec. 4)


class AutomaticModel(Protocol):
    """A model that segments by itself."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name."""

    def segment(self, volume: Volume, classes: Sequence[str | int] | None = None, overlap: bool = False) -> Labels:
        """Return labels on the scan's grid."""


class Session(Protocol):
    """Edits of one scan by clicks."""

    def click(self, position: Sequence[float], positive: bool = True, structure: str | int | None = None) -> Change:
        """Correct a structure where it was clicked, in RAS mm."""

    def box(
        self,
        corner: Sequence[float],
        opposite: Sequence[float],
        structure: str | int | None = None,
        space: str = "ras",
    ) -> Change:
        """Find the structure in a box, given by two opposite corners."""

    def mask(self, structure: str | int) -> Mask:
        """Return where a structure is (i j k)."""

    def start_from(self, labels: Labels, structures: Sequence[str | int] | None = None) -> Any:
        """Take masks as drafts."""


class ClickingModel(Protocol):
    """A model that answers clicks."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name."""

    def session(self, volume: Volume) -> Session:
        """Return a session on a scan."""


class BothModel(AutomaticModel, ClickingModel, Protocol):
    """A model that does both."""


@dataclass(frozen=True)
class Rules:
    """How results are made and judged.

    Attributes:
        tolerance_mm: How far surfaces may lie apart; see `surface_dice`.
        overlap: Judge one layer per structure instead of the flat map.
        clicker: By which of `RULES` clicks are placed.
        count: Clicks at most.
        zero_shot: Click every structure as an object that the model has no name for.
        box: Begin with a box around the structure, which counts as two clicks.
        only_labelled_slices: As the paper's evaluation of clicks does, forget what is found in axial slices that show
            nothing of the structure, before the next click is placed and before counting. It flatters.
    """

    tolerance_mm: float = TOLERANCE_MM
    overlap: bool = False
    clicker: str = "person"
    count: int = 5
    zero_shot: bool = False
    only_labelled_slices: bool = False
    box: bool = False


def structures_to_judge(scan: LabelledScan, wanted: Sequence[str] | None) -> list[tuple[int, str]]:
    """Return index and name of the structures that the labels of a scan say something about, or some of them.

    Raises:
        VocabularyError: The scan's vocabulary does not know a name (`STRUCTURE_UNKNOWN`).
    """
    indices = scan.known
    if wanted is not None:
        chosen = set()
        for name in wanted:
            chosen.add(scan.vocabulary[name].index)
        indices = tuple(index for index in indices if index in chosen)
    found: list[tuple[int, str]] = []
    for index in indices:
        found.append((index, scan.vocabulary[index].name))
    return found


def finds_itself(words: Vocabulary, name: str) -> bool:
    """Return whether a model with this vocabulary finds a structure without clicks."""
    found = words.get(name)
    return found is not None and found.status in ("supported", "group")


def automatic_targets(
    scan: LabelledScan, words: Vocabulary, wanted: Sequence[str] | None = None
) -> tuple[list[Target], list[str]]:
    """Return the structures of a scan that a model finds by itself, and the names of the others.

    Args:
        scan: Only structures that its labels say something about are judged.
        words: The model's vocabulary; structures are found in it by name.
        wanted: Only these, by name; all by default.

    Raises:
        VocabularyError: The scan's vocabulary does not know a name (`STRUCTURE_UNKNOWN`).
    """
    known, others = [], []
    for index, name in structures_to_judge(scan, wanted):
        if finds_itself(words, name):
            known.append(Target(index, name, words[name].name))
        else:
            others.append(name)
    return known, others


def clicked_targets(
    scan: LabelledScan, words: Vocabulary, wanted: Sequence[str] | None = None, zero_shot: bool = False
) -> list[Target]:
    """Return the structures of a scan as they are clicked: by name, or each as an object that no model has a name for.

    A group has no name to click; it is an object of its own.

    Raises:
        VocabularyError: The scan's vocabulary does not know a name (`STRUCTURE_UNKNOWN`).
    """
    targets = []
    for index, name in structures_to_judge(scan, wanted):
        found = words.get(name)
        stranger = zero_shot or (found is not None and found.status == "group")
        targets.append(Target(index, name, f"unnamed object {index}" if stranger else name))
    return targets


def auto(
    scan: LabelledScan,
    model: AutomaticModel,
    targets: Sequence[Target],
    rules: Rules,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Return the rows of an automatic segmentation of all targets at once."""
    if not targets:
        return []
    started = clock()
    labels = model.segment(scan.volume, [target.asked for target in targets], overlap=rules.overlap)
    seconds = clock() - started
    found, truth = Boxed.of(labels), Boxed.of(scan.labels)
    rows = []
    for target in targets:
        box = found.box(target.asked) | truth.box(target.index)
        masks = found.mask(target.asked, box), truth.mask(target.index, box)
        rows.append(row_of(scan, target, *masks, 0, seconds, rules.tolerance_mm, distances=True))
    return rows


def point(
    scan: LabelledScan, model: ClickingModel, targets: Sequence[Target], rules: Rules, generator: np.random.Generator
) -> list[Row]:
    """Return the rows after one click in the middle of each structure that is there.

    One click for the whole scan. Differs from the paper's, which is one click for every window; see `table1`.
    """
    return clicks(scan, model, targets, replace(rules, count=1), generator)


def auto_point(
    scan: LabelledScan,
    model: BothModel,
    targets: Sequence[Target],
    rules: Rules,
    generator: np.random.Generator,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Return the rows of the automatic result, and after one click in the larger error of each structure.

    The click's answer stands whether it helps or harms. Differs from the paper's, which keeps the best of several
    trials by looking at the truth; see `table1`.
    """
    if not targets:
        return []
    started = clock()
    draft = model.segment(scan.volume, [target.asked for target in targets], overlap=rules.overlap)
    seconds = clock() - started
    session = model.session(scan.volume)
    if draft.present:
        session.start_from(draft)
    rows: list[Row] = []
    for target in targets:
        truth, found = scan.truth(target.index), session.mask(target.asked)
        rows.append(row_of(scan, target, found, truth, 0, seconds, rules.tolerance_mm))
        rows += rows_of_clicks(scan, session, target, replace(rules, count=1), generator, found)
    return rows


def clicks(
    scan: LabelledScan, model: ClickingModel, targets: Sequence[Target], rules: Rules, generator: np.random.Generator
) -> list[Row]:
    """Return a row after each click on each structure that is there, starting from nothing.

    A structure ends early when it is right or when the rule has no click left; `summary` carries its last row on.
    """
    session = model.session(scan.volume)
    rows: list[Row] = []
    for target in targets:
        rows += rows_of_clicks(scan, session, target, rules, generator)
    return rows


def rows_of_clicks(
    scan: LabelledScan,
    session: Session,
    target: Target,
    rules: Rules,
    generator: np.random.Generator,
    draft: Mask | None = None,
) -> Iterator[Row]:
    """Yield the row after each click on one structure.

    Args:
        scan: Where the structure is.
        session: Answers the clicks.
        target: The structure.
        rules: By which clicks are placed and counted.
        generator: Decides where a rule leaves it open.
        draft: The automatic mask (i j k) that the clicks correct; None starts from nothing.
    """
    truth = scan.truth(target.index)
    if draft is not None:
        mask, before = draft, 1  # rules take a draft for an answer to a first click
    elif truth.any():
        mask, before = np.zeros_like(truth), 0
    else:
        return
    slices = None
    if rules.only_labelled_slices:
        slices = labelled_slices(scan, truth)
    first = 0
    if rules.box:
        first = BOX_CLICKS - 1
    for number in range(first, max(rules.count, first + 1)):
        if rules.box and number == BOX_CLICKS - 1:
            around = Box.of(truth)
            i, j, k = around.stop
            seconds = session.box(around.start, (i - 1, j - 1, k - 1), target.asked, "voxel").seconds
        else:
            click = next_click(RULES[rules.clicker], truth, mask, scan.volume.grid, generator, before + number)
            if click is None:
                return
            seconds = session.click(click.position_ras, click.positive, target.asked).seconds
        mask = session.mask(target.asked)
        if slices is not None:
            mask = mask & slices
        yield row_of(scan, target, mask, truth, number + 1, seconds, rules.tolerance_mm)


def labelled_slices(scan: LabelledScan, truth: Mask) -> Mask:
    """Return the axial slices that show a structure, in a shape that broadcasts to the scan's."""
    axis = scan.volume.grid.to_ras().axes[2]
    others = tuple(a for a in range(3) if a != axis)
    return np.asarray(truth.any(axis=others, keepdims=True))
