"""Dice by number of clicks as SAM-Med3D's own evaluation counts it (`infer_utils.py` of its repository).

One crop, placed by the truth: its middle is that of the structure's box. No other crop is asked, so what a structure
has beyond it is lost. The network sees every click so far beside its last answer. Differs from the official code, which
chooses clicks on labels resampled to 1.5 mm; here they are chosen on the scan's own voxels inside the crop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.data.labelled import LabelledScan
from prosect.evaluation.clickers import RULES, next_click
from prosect.evaluation.protocols import Rules
from prosect.evaluation.scores import Row, Target, row_of
from prosect.inference.crops import CropResponder
from prosect.inference.question import Question
from prosect.models.spec import ModelSpec
from prosect.prompts import LabelledClick
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["COUNTED", "ShowsCrops", "sam_clicks_as_published", "shows_crops", "start_around"]

Mask = NDArray[np.bool_]

COUNTED = (
    "As SAM-Med3D's repository counts: one crop placed by looking at the truth, all clicks so far shown at once. The "
    "last click and the best so far are columns of their own; published figures are of the last."
)


@runtime_checkable
class ShowsCrops(Protocol):
    """A SAM-Med3D, which answers on crops that can be placed from outside."""

    @property
    def spec(self) -> ModelSpec:
        """What it was trained with."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows by name."""

    def with_switches(
        self, *, prompts: Literal["newest", "all"] | None = None, extend: bool | None = None
    ) -> ShowsCrops:
        """Return the model with some switches set otherwise."""

    def responder(self, volume: Volume) -> CropResponder:
        """Return what answers clicks on a scan."""


def shows_crops(model: object) -> TypeGuard[ShowsCrops]:
    """Return whether clicks on a model can be counted as SAM-Med3D's repository does."""
    return isinstance(model, ShowsCrops)


def sam_clicks_as_published(
    scan: LabelledScan,
    model: ShowsCrops,
    targets: Sequence[Target],
    rules: Rules,
    generator: np.random.Generator,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Return a row after each click on each structure that is there.

    Args:
        scan: With its truth.
        model: Answers clicks.
        targets: What is judged.
        rules: `clicker` `random` is the current official default, `ritm` that of the first two clicks before.
        generator: Decides where the rule leaves it open.
        clock: Returns seconds.
    """
    asked = model.with_switches(prompts="all", extend=False)
    rows: list[Row] = []
    for target in targets:
        rows += _rows_of_clicks(scan, asked, target, rules, generator, clock)
    return rows


def _rows_of_clicks(
    scan: LabelledScan,
    model: ShowsCrops,
    target: Target,
    rules: Rules,
    generator: np.random.Generator,
    clock: Callable[[], float],
) -> Iterator[Row]:
    """Yield the row after each click on one structure."""
    truth = scan.truth(target.index)
    if not truth.any():
        return
    responder = model.responder(scan.volume)
    start = start_around(truth, responder.position, scan, model.spec.window[0])
    box = responder.box(start)
    inside = truth[box.slices]
    found = np.zeros_like(inside)
    clicks: list[LabelledClick] = []
    grid = scan.volume.grid.crop(box.start, box.stop)
    for number in range(rules.count):
        click = next_click(RULES[rules.clicker], inside, found, grid, generator, number)
        if click is None:
            return
        clicks.append(LabelledClick(click.position_ras, int(click.positive), start))
        begun = clock()
        seen, yes = responder.propose(Question(tuple(clicks), True), box)
        found = seen & yes
        mask = np.zeros_like(truth)
        mask[box.slices] = found
        yield row_of(scan, target, mask, truth, number + 1, clock() - begun, rules.tolerance_mm)


def start_around(
    truth: Mask, position: Callable[[Sequence[float]], NDArray[np.float64]], scan: LabelledScan, size: int
) -> tuple[int, int, int]:
    """Return the crop whose middle is that of the structure's box, as its start on the network grid.

    Args:
        truth: The structure (i j k).
        position: Turns RAS mm into voxels of the network grid.
        scan: Where the structure lies.
        size: Voxels of a crop along each axis.
    """
    box = Box.of(truth)
    corners = scan.volume.grid.to_world(np.array([box.start, np.subtract(box.stop, 1)], dtype=np.float64))
    middle = np.mean([position(corner.tolist()) for corner in np.asarray(corners)], axis=0)
    i, j, k = (int(n) for n in np.floor(middle + 0.5) - size // 2)
    return i, j, k
