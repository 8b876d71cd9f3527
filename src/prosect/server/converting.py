"""Boxes, scribbles and lassos as clicks: what a person drew on a picture, in the only words that our models know.

Everything here is in voxels of the scan as stored (i j k); distances are in mm. The constants stand in one table, and
`experiments/foreign_prompts.py` measures them against single clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.morphology import Components, city_block_depth, innermost
from prosect.prompts import Click, click_at, click_in

__all__ = [
    "RULES",
    "BoxPrompt",
    "Drawing",
    "Placed",
    "Point",
    "PointPrompt",
    "Prompt",
    "Rules",
    "box_centre",
    "erasing_points",
    "inner_points",
    "lasso_points",
    "placed_of",
    "scribble_points",
]

Mask: TypeAlias = NDArray[np.bool_]
Point: TypeAlias = tuple[float, float, float]
Voxels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Rules:
    """How drawings become clicks.

    Attributes:
        scribble_clicks: Most clicks of one connected part of a scribble.
        scribble_total: Most clicks of a scribble.
        scribble_gap_mm: A part gets no further click where all of it lies nearer than this to one.
        lasso_clicks: Most clicks of a lasso.
        lasso_voxels: A part of a lasso needs more voxels than this.
        lasso_depth: Further clicks lie at least at this share of the depth of the deepest voxel.
        erasing_clicks: Most clicks of a box that removes.
    """

    scribble_clicks: int = 5
    scribble_total: int = 10
    scribble_gap_mm: float = 8.0
    lasso_clicks: int = 3
    lasso_voxels: int = 4
    lasso_depth: float = 0.5
    erasing_clicks: int = 3


RULES = Rules()


@dataclass(frozen=True)
class PointPrompt:
    """A click.

    Attributes:
        point: Voxel of the scan as stored (i j k), whole or not.
        positive: Whether it belongs to the structure.
    """

    point: Point
    positive: bool


@dataclass(frozen=True)
class BoxPrompt:
    """A box that a person drew around something, or around what should go.

    Attributes:
        box: In voxels of the scan as stored; it may be flat.
        positive: Whether what lies in it belongs to the structure.
    """

    box: Box
    positive: bool


@dataclass(frozen=True, eq=False)
class Drawing:
    """A scribble or a lasso.

    Attributes:
        kind: A scribble is a line through the structure, a lasso a filled region of it.
        box: Where it lies, in voxels of the scan as stored.
        bits: Which voxels of the box were drawn (i j k).
        positive: Whether they belong to the structure.
    """

    kind: Literal["scribble", "lasso"]
    box: Box
    bits: Mask
    positive: bool


Prompt: TypeAlias = PointPrompt | BoxPrompt | Drawing


@dataclass(frozen=True)
class Placed:
    """A click that a prompt became.

    Attributes:
        point: Voxel of the scan as stored (i j k), whole or not.
        positive: Whether it belongs to the structure.
        box: The box that a person drew around the structure, or None.
    """

    point: Point
    positive: bool
    box: Box | None = None

    def click(self, grid: Grid) -> Click:
        """Return it as a click on a scan.

        Raises:
            PromptError: It lies outside the scan (`POINT_OUTSIDE`).
        """
        click = click_at(self.point, grid, positive=self.positive, space="voxel")
        if self.box is None:
            return click
        drawn = click_in(self.box.start, [stop - 1 for stop in self.box.stop], grid, space="voxel")
        return replace(click, extent_mm=drawn.extent_mm, box=drawn.box)


def placed_of(prompt: Prompt, read: Callable[[Box], Mask], spacing_mm: Sequence[float]) -> tuple[Placed, ...]:
    """Return the clicks that a prompt becomes; none where there is nothing to remove.

    Args:
        prompt: What a person drew.
        read: Returns what the structure has in a box of the scan (i j k).
        spacing_mm: Distance of voxels along i, j, k.
    """
    if isinstance(prompt, BoxPrompt) and prompt.positive:
        return (Placed(box_centre(prompt.box), True, prompt.box),)
    points: tuple[Point, ...]
    if isinstance(prompt, PointPrompt):
        points = (prompt.point,)
    elif isinstance(prompt, BoxPrompt):
        points = erasing_points(prompt.box, read(prompt.box), spacing_mm)
    elif prompt.kind == "scribble":
        points = scribble_points(prompt, read(prompt.box), spacing_mm)
    else:
        points = lasso_points(prompt, spacing_mm)
    # A lasso goes around the structure in its plane, so it says what a box says, too.
    drawn = prompt.box if isinstance(prompt, Drawing) and prompt.kind == "lasso" and prompt.positive else None
    return tuple(Placed(point, prompt.positive, drawn) for point in points)


def scribble_points(
    drawing: Drawing, mask: Mask, spacing_mm: Sequence[float], rules: Rules = RULES
) -> tuple[Point, ...]:
    """Return clicks along a scribble, in each of its connected parts from the middle to the farthest ends.

    Voxels that are already as the person wants them say nothing new, so they are left out unless no other was drawn.

    Args:
        drawing: The scribble.
        mask: The structure in the box of the scribble (i j k).
        spacing_mm: Distance of voxels along i, j, k.
        rules: The constants.
    """
    news = drawing.bits & (~mask if drawing.positive else mask)
    drawn = news if news.any() else drawing.bits
    parts = Components.of(drawn)
    chosen: list[Voxels] = []
    for part in largest_first(parts)[: rules.scribble_total]:
        count = min(rules.scribble_clicks, rules.scribble_total - len(chosen))
        if count <= 0:
            break
        voxels = np.argwhere(parts.mask([part]))
        middle = middle_of(voxels, spacing_mm)
        chosen += [middle, *spread(voxels, [middle], count - 1, rules.scribble_gap_mm, spacing_mm)]
    return moved(chosen, drawing.box)


def lasso_points(drawing: Drawing, spacing_mm: Sequence[float], rules: Rules = RULES) -> tuple[Point, ...]:
    """Return clicks deep inside the region of a lasso, none on its outline.

    Args:
        drawing: The lasso.
        spacing_mm: Distance of voxels along i, j, k.
        rules: The constants.
    """
    chosen = inner_voxels(drawing.bits, spacing_mm, rules.lasso_clicks, rules.lasso_voxels, rules.lasso_depth)
    return moved(chosen, drawing.box)


def erasing_points(box: Box, mask: Mask, spacing_mm: Sequence[float], rules: Rules = RULES) -> tuple[Point, ...]:
    """Return clicks deep inside what a structure has in a box that should go; none where it has nothing.

    Args:
        box: The box.
        mask: The structure in it (i j k).
        spacing_mm: Distance of voxels along i, j, k.
        rules: The constants.
    """
    return moved(inner_voxels(mask, spacing_mm, rules.erasing_clicks, 0, rules.lasso_depth), box)


def inner_points(mask: Mask, box: Box, spacing_mm: Sequence[float]) -> tuple[Point, ...]:
    """Return the innermost voxel of the largest part of a mask that lies in a box; nothing for an empty mask."""
    return moved(inner_voxels(mask, spacing_mm, 1, 0, 1.0), box)


def box_centre(box: Box) -> Point:
    """Return the middle of a box, which may lie between voxels."""
    i, j, k = ((low + high - 1) / 2 for low, high in zip(box.start, box.stop, strict=True))
    return i, j, k


def inner_voxels(
    mask: Mask, spacing_mm: Sequence[float], count: int, more_than: int, depth_share: float
) -> list[Voxels]:
    """Return up to `count` voxels (3,) deep inside a mask: the innermost of each part, then the farthest from those.

    Args:
        mask: Where to look (i j k).
        spacing_mm: Distance of voxels along i, j, k.
        count: Most voxels.
        more_than: A part needs more voxels than this; where none has, all parts count.
        depth_share: The farthest ones lie at this share of their part's greatest depth, or deeper.
    """
    parts = Components.of(mask)
    enough = [part for part in largest_first(parts) if parts.sizes[part] > more_than]
    chosen: list[Voxels] = []
    deep: list[Voxels] = []
    for part in (enough or largest_first(parts))[:count]:
        inside = parts.mask([part])
        depth, axes = depth_in(inside, spacing_mm)
        first = innermost(depth > 0, [spacing_mm[axis] for axis in axes])
        chosen.append(placed(np.asarray([first]), axes, inside)[0])
        deep.append(placed(np.argwhere(depth >= depth_share * depth.max()), axes, inside))
    if chosen and len(chosen) < count:
        candidates = np.concatenate(deep)
        chosen += spread(candidates, chosen, count - len(chosen), 0.0, spacing_mm)
    return chosen


def depth_in(mask: Mask, spacing_mm: Sequence[float]) -> tuple[NDArray[np.float32], list[int]]:
    """Return how deep each voxel lies in a mask, in mm, and the axes on which that was measured.

    A region that was drawn in one plane has no depth across it, so that axis is left out.
    """
    box = Box.of(mask)
    axes = [axis for axis in range(3) if box.shape[axis] > 1]
    while len(axes) < 2:  # a line or a single voxel: any further axis will do
        axes.append(next(axis for axis in range(3) if axis not in axes))
    axes.sort()
    left_out = tuple(axis for axis in range(3) if axis not in axes)
    flat = np.asarray(mask.any(axis=left_out))
    return city_block_depth(flat, [spacing_mm[axis] for axis in axes]), axes


def placed(voxels: NDArray[np.int64], axes: Sequence[int], mask: Mask) -> Voxels:
    """Return voxels (n, 2 or 3) that were found on some axes as voxels (n, 3) of the mask."""
    out = np.zeros((len(voxels), 3), dtype=np.int64)
    out[:] = Box.of(mask).start
    out[:, list(axes)] = voxels
    return out


def largest_first(parts: Components) -> list[int]:
    """Return the numbers of connected parts, the largest first; among equals the one that comes first."""
    return [int(part) for part in np.argsort(-parts.sizes, kind="stable")]


def middle_of(voxels: Voxels, spacing_mm: Sequence[float]) -> Voxels:
    """Return the voxel of some (n, 3) that is nearest to their centroid."""
    offset = (voxels - voxels.mean(axis=0)) * np.asarray(spacing_mm)
    nearest: Voxels = voxels[int(np.argmin((offset**2).sum(axis=1)))]
    return nearest


def spread(
    voxels: Voxels, chosen: Sequence[Voxels], count: int, gap_mm: float, spacing_mm: Sequence[float]
) -> list[Voxels]:
    """Return up to `count` voxels of some (n, 3), each the farthest from all chosen before it.

    Args:
        voxels: What is chosen from.
        chosen: What is chosen already.
        count: Most voxels of the result.
        gap_mm: The search ends where no voxel is this far from those chosen.
        spacing_mm: Distance of voxels along i, j, k.
    """
    added: list[Voxels] = []
    nearest = np.full(len(voxels), np.inf)
    for one in chosen:
        nearest = np.minimum(nearest, squared_mm(voxels, one, spacing_mm))
    while len(added) < count:
        farthest = int(np.argmax(nearest))
        # Even without a gap no voxel is chosen twice.
        if nearest[farthest] < max(gap_mm**2, 1e-9):
            break
        added.append(voxels[farthest])
        nearest = np.minimum(nearest, squared_mm(voxels, voxels[farthest], spacing_mm))
    return added


def squared_mm(voxels: Voxels, one: Voxels, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return the squared distance of voxels (n, 3) from one, in mm^2."""
    offset = (voxels - one) * np.asarray(spacing_mm, dtype=np.float64)
    return np.asarray((offset**2).sum(axis=1))


def moved(voxels: Sequence[Voxels], box: Box) -> tuple[Point, ...]:
    """Return voxels of a box as points of the scan."""
    points = []
    for voxel in voxels:
        i, j, k = (float(part) for part in voxel + np.asarray(box.start))
        points.append((i, j, k))
    return tuple(points)
