"""Corrections of a mask by clicks, without harm to what is right: what is shown to the network, and where it has a say.

Networks are taught that the first click lies in the structure. Shown nothing but what does not belong to it, they find
nothing at all, and a negative click on a mask that was right but for one corner would take all of it away. So where
no positive click lies in the patch of a negative one, the deepest place of the mask there is shown as one. It stays
with the click, in the journal too, so that the same clicks always ask the same.

A draft may be better than what the click branch finds, most of all where another model made it. So a click on a drafted
structure changes the draft near the click only (`experiments/corrections.py` measures what that is worth).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box, SparseMask, Voxel
from prosect.geometry import Grid
from prosect.morphology import Components, innermost
from prosect.session.edits import PlacedClick, after

__all__ = ["anchor_of", "near_clicks", "selecting_voxel"]

Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

STEP_MM = 3.0  # a deep place is found on voxels of about this size
# How far around a negative click a draft may change; around a positive one it is twice as far.
KNOWN_MM = 24.0  # a structure that the click branch was taught, or an object of one's own
STRANGE_MM = 8.0  # one that another model drafted


def anchor_of(clicks: Sequence[PlacedClick], mask: SparseMask, patch: Box, grid: Grid) -> Point | None:
    """Return the place in RAS mm that is shown with the last of some clicks, a negative one, or None.

    Args:
        clicks: Those of the structure.
        mask: The structure.
        patch: The box of the scan that the network sees, in voxels.
        grid: The scan's grid.
    """
    wrong = []
    for each in clicks:
        if (patch & Box(each.voxel, after(each.voxel))).size:
            if each.positive:
                return None
            wrong.append(each.within(patch))
    inside = mask.read(patch)
    steps = [max(1, round(STEP_MM / spacing)) for spacing in grid.spacing_mm]
    for voxel in wrong:
        # Far from what is wrong, too.
        inside[tuple(slice(max(v - n, 0), v + n + 1) for v, n in zip(voxel, steps, strict=True))] = False
    thinned = inside[:: steps[0], :: steps[1], :: steps[2]]
    if not thinned.any():
        thinned, steps = inside, [1, 1, 1]
    if not thinned.any():
        return None
    coarse_mm = [spacing * n for spacing, n in zip(grid.spacing_mm, steps, strict=True)]
    deepest = innermost(thinned, coarse_mm)
    place = [start + n * index for start, n, index in zip(patch.start, steps, deepest, strict=True)]
    r, a, s = np.asarray(grid.to_world(np.asarray(place, dtype=np.float64))).tolist()
    return r, a, s


def selecting_voxel(click: PlacedClick, found: Mask, box: Box) -> Voxel:
    """Return the voxel, counted as in a box, by which a click selects parts of what was found there.

    It is the click's own. The middle of a box that a person drew need not lie in the structure; where it does not, a
    voxel of the largest part found in that box stands for it.

    Args:
        click: A positive click.
        found: The network's answer in `box` (i j k).
        box: In voxels of the scan.
    """
    place = click.within(box)
    if click.bounds is None or 1 in click.bounds.shape:
        return place
    shared = click.bounds & box
    middle = Box(click.voxel, after(click.voxel))
    if not shared.size or ((middle & box).size and found[place]):
        return place
    inside = found[shared.within(box)]
    if not inside.any():
        return place
    parts = Components.of(inside)
    largest = parts.mask({int(parts.sizes.argmax())})
    i, j, k = (start + int(n) for start, n in zip(shared.start, np.argwhere(largest)[0], strict=True))
    return i - box.start[0], j - box.start[1], k - box.start[2]


def near_clicks(clicks: Sequence[PlacedClick], box: Box, spacing_mm: Sequence[float], is_known: bool) -> Mask:
    """Return where in a box of the scan (i j k) clicks may change a draft.

    Args:
        clicks: Those that count.
        box: In voxels of the scan.
        spacing_mm: Distance of voxels along i, j, k.
        is_known: Whether the click branch was taught the structure.
    """
    near = np.zeros(box.shape, dtype=np.bool_)
    for each in clicks:
        radius_mm = KNOWN_MM if is_known else STRANGE_MM
        if each.positive:
            radius_mm *= 2
        squares = []
        for place, count, spacing in zip(each.within(box), box.shape, spacing_mm, strict=True):
            squares.append(((np.arange(count) - place) * spacing) ** 2)
        i, j, k = squares
        near |= i[:, None, None] + j[:, None] + k <= radius_mm**2
    return near
