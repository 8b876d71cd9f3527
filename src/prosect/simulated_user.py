"""Where a person would click: the clickers of the paper's evaluation, reproducible from a generator.

First the centre of the structure (VISTA3D, Sec. 4: "a single positive click sampled from the foreground center"), then
a random place in the larger error: a positive click where the mask misses the truth, a negative one where it exceeds
it. To correct an automatic draft the first click is of the second kind too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.morphology import erode, innermost, largest_component
from prosect.prompts import Click, click_at

__all__ = ["centre_click", "clicks_until", "error_click"]

Mask = NDArray[np.bool_]


def centre_click(truth: Mask, grid: Grid, structure: str | int | None = None) -> Click | None:
    """Return a positive click deep in the largest component of the truth (i j k), or None where there is none."""
    part = largest_component(truth)
    if part is None:
        return None
    voxel = innermost(part, grid.spacing_mm)
    return click_at(voxel, grid, structure=structure, space="voxel")


def error_click(
    truth: Mask,
    mask: Mask,
    grid: Grid,
    generator: np.random.Generator,
    structure: str | int | None = None,
    *,
    inner: bool = False,
) -> Click | None:
    """Return a random click in the larger error of a mask, or None where it is the truth.

    Args:
        truth: The structure (i j k).
        mask: What there is of it.
        grid: Where both lie.
        generator: Decides.
        structure: Goes into the click.
        inner: Prefer voxels with all 26 neighbours in the same error, as the official training does.
    """
    missed, excess = truth & ~mask, mask & ~truth
    counts = int(np.count_nonzero(missed)), int(np.count_nonzero(excess))
    if not any(counts):
        return None
    positive = counts[0] >= counts[1]
    error = excess
    if positive:
        error = missed
    if inner:
        core = erode(error)
        if core.any():  # a thin error has no inside, and is clicked all the same
            error = core
    places = np.flatnonzero(error)
    chosen = int(places[int(generator.integers(len(places)))])
    voxel = []
    for n in np.unravel_index(chosen, error.shape):
        voxel.append(int(n))
    return click_at(voxel, grid, positive=positive, structure=structure, space="voxel")


def clicks_until(
    truth: Mask,
    grid: Grid,
    answer: Callable[[Click], Mask],
    generator: np.random.Generator,
    count: int,
    draft: Mask | None = None,
) -> Iterator[tuple[Click, Mask]]:
    """Yield up to `count` clicks, each with the mask after it; ends early where mask and truth agree.

    Args:
        truth: The structure (i j k).
        grid: Its grid.
        answer: Takes a click and returns the mask after it.
        generator: Decides where errors are clicked.
        count: Most clicks.
        draft: The automatic mask to correct; None starts from nothing, with a click in the centre.
    """
    mask = np.zeros_like(truth) if draft is None else draft
    for number in range(count):
        # A draft has been answered already: there is an error to click from the start.
        if number == 0 and draft is None:
            click = centre_click(truth, grid)
        else:
            click = error_click(truth, mask, grid, generator)
        if click is None:
            return
        mask = answer(click)
        yield click, mask
