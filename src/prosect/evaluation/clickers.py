"""By which rules clicks are simulated: a person's, the paper's evaluation, the CVPR 2025 challenge, SAM-Med3D's two.

`person` is what training uses too: the centre first, then a random place in the larger error. The others are rules
that published curves were made by, repeated so that ours can be laid beside them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.morphology import erode, euclidean_depth, largest_component
from prosect.prompts import Click, click_at
from prosect.simulated_user import centre_click, error_click

__all__ = [
    "RULES",
    "Rule",
    "anywhere",
    "challenge_click",
    "core",
    "nearest_to_middle",
    "next_click",
    "paper_click",
    "person_click",
    "random_click",
    "ritm_click",
    "voxel_count",
]

Mask = NDArray[np.bool_]
# Takes truth and mask (i j k), their grid, a generator, and how many clicks were given before; see `next_click`.
Rule = Callable[[Mask, Mask, Grid, np.random.Generator, int], Click | None]

CUBE, PLATE = (1, 1, 1), (1, 1, 0)  # official: errors are eroded by 3x3x3 voxels, and by 3x3x1 where nothing is left
PLATE_CLICKS = 10  # official: only the first clicks look for thin errors when no thick one is left
TIE_SEED = 42  # the challenge's


def next_click(
    rule: Rule, truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int
) -> Click | None:
    """Return the next click by a rule, or None where the rule has none left.

    Rules look at the box of truth and mask only, and at one voxel around it: outside there is neither a structure nor
    an error. That voxel is missing where the scan ends, so that a rule can tell the end of a structure from the end of
    the scan.

    Args:
        rule: One of `RULES`.
        truth: The structure (i j k).
        mask: What there is of it so far.
        grid: Where both lie.
        generator: Decides where the rule leaves it open.
        number: How many clicks were given before; with a draft to correct, one more.
    """
    box = Box.of(truth) | Box.of(mask)
    if not box.size:
        return None
    box = box.grown(1) & Box((0, 0, 0), grid.shape)
    return rule(truth[box.slices], mask[box.slices], grid.crop(box.start, box.stop), generator, number)


def person_click(truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int) -> Click | None:
    """Return a click in the centre first, then a random one in the larger error; see `simulated_user`."""
    if number == 0:
        return centre_click(truth, grid)
    return error_click(truth, mask, grid, generator)


def paper_click(truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int) -> Click | None:
    """Return the next click of the curves in Fig. 5, by the rules of the official evaluation.

    First the voxel of the eroded structure's largest component nearest to that component's middle. Then a random voxel
    of the larger of two components: the largest eroded one of what is missed, which wins a tie, and of what exceeds.
    What lies beyond the scan counts as part of whatever touches its end, in the official code and here, so nothing is
    eroded from there. Differs from the official code, which erodes on the network's grid, not on the scan's.
    """
    if number == 0:
        part = core(truth)
        if part is None:
            return None
        return at(nearest_to_middle(part), grid, True)
    reaches = [CUBE]
    if number < PLATE_CLICKS:
        reaches.append(PLATE)
    for reach in reaches:
        missed = largest_component(erode(truth & ~mask, reach, beyond=True))
        excess = largest_component(erode(mask & ~truth, reach, beyond=True))
        positive = voxel_count(missed) >= voxel_count(excess)
        chosen = excess
        if positive:
            chosen = missed
        if chosen is not None:
            return at(anywhere(chosen, generator), grid, positive)
    return None


def voxel_count(part: Mask | None) -> int:
    """Return how many voxels a component (i j k) has; 0 for none."""
    if part is None:
        return 0
    return int(np.count_nonzero(part))


def challenge_click(truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int) -> Click | None:
    """Return the next click of the CVPR 2025 challenge for interactive segmentation.

    The voxel of the largest component of all errors that lies deepest in it, counted in voxels; a tie is drawn with the
    challenge's fixed seed, so `generator` has no say. Differs from the challenge, which halves the resolution of errors
    larger than 60 million voxels.
    """
    # Missed and excess voxels are taken together, so one error may hold both.
    error = largest_component(truth ^ mask)
    if error is None:
        return None
    inner = euclidean_depth(error)
    deepest = np.argwhere(inner == inner.max())
    voxel = deepest[np.random.RandomState(TIE_SEED).choice(len(deepest))]
    return at(voxel, grid, bool(truth[tuple(voxel)]))


def random_click(truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int) -> Click | None:
    """Return SAM-Med3D's usual click: any voxel of either error; any voxel of the structure where there is no error."""
    error = truth ^ mask
    places = truth
    if error.any():
        places = error
    if not places.any():
        return None
    voxel = anywhere(places, generator)
    return at(voxel, grid, bool(truth[tuple(voxel)]))


def ritm_click(truth: Mask, mask: Mask, grid: Grid, generator: np.random.Generator, number: int) -> Click | None:
    """Return the click of RITM, SAM-Med3D's other rule: any voxel more than half as deep as the deepest one.

    Of what is missed or of what exceeds, whichever is deeper, counted in voxels; None where there is no error.
    """
    missed, excess = euclidean_depth(truth & ~mask), euclidean_depth(mask & ~truth)
    positive = float(missed.max()) > float(excess.max())
    depth = excess
    if positive:
        depth = missed
    most = float(depth.max())
    if not most:
        return None
    return at(anywhere(depth > most / 2, generator), grid, positive)


RULES: dict[str, Rule] = {
    "person": person_click,
    "paper": paper_click,
    "challenge": challenge_click,
    "random": random_click,
    "ritm": ritm_click,
}


def core(mask: Mask) -> Mask | None:
    """Return the largest component (i j k) of the eroded mask, or of the mask where erosion leaves none.

    Nothing is eroded from the end of the array, as in the official code.
    """
    part = largest_component(erode(mask, CUBE, beyond=True))
    if part is None:
        return largest_component(mask)
    return part


def nearest_to_middle(part: Mask) -> NDArray[np.int64]:
    """Return the voxel (3) of a component (i j k) nearest to the mean of its voxels."""
    voxels = np.argwhere(part)
    return np.asarray(voxels[((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1).argmin()])


def anywhere(part: Mask, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a random voxel (3) of a mask (i j k)."""
    places = np.flatnonzero(part)
    return np.array(np.unravel_index(places[int(generator.integers(len(places)))], part.shape))


def at(voxel: NDArray[np.int64], grid: Grid, positive: bool) -> Click:
    """Return the click at a voxel (3) of the grid."""
    return click_at([int(n) for n in voxel], grid, positive=positive, space="voxel")
