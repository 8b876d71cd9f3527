"""What a person drew on the page, a box or a lasso in one plane, as clicks of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.progress import Watch
from prosect.server.converting import BoxPrompt, Drawing, placed_of
from prosect.server.view import View
from prosect.session import Change, Session

__all__ = ["Shape", "answer_shape", "fill", "prompt_of"]


@dataclass(frozen=True)
class Shape:
    """A box or a lasso.

    Attributes:
        structure: Name.
        kind: A box has two corners as its path, a lasso its outline.
        path: RAS mm, all in one plane.
        axis: The axis of the display copy that is normal to that plane.
        positive: Whether what lies inside belongs to the structure.
    """

    structure: str
    kind: Literal["box", "lasso"]
    path: tuple[tuple[float, ...], ...]
    axis: int
    positive: bool = True


def prompt_of(shape: Shape, grid: Grid, view: View) -> BoxPrompt | Drawing:
    """Return a shape in voxels of the scan as stored.

    Raises:
        PromptError: It lies outside the scan, or is smaller than a voxel (`SHAPE_EMPTY`).
    """
    voxels = grid.to_voxel(np.asarray(shape.path, dtype=np.float64))
    normal = view.order.axes[shape.axis]
    plane = int(np.rint(voxels[:, normal].mean()))
    low = np.floor(voxels.min(axis=0) + 0.5).astype(int)
    high = np.floor(voxels.max(axis=0) + 0.5).astype(int) + 1
    low[normal], high[normal] = plane, plane + 1
    start = [max(int(each), 0) for each in low]
    stop = [min(int(each), count) for each, count in zip(high, grid.shape, strict=True)]
    if any(first >= last for first, last in zip(start, stop, strict=True)):
        raise PromptError("The shape lies outside the scan; draw it over the picture.", code="SHAPE_EMPTY")
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    if shape.kind == "box":
        return BoxPrompt(box, shape.positive)
    within = [axis for axis in range(3) if axis != normal]
    flat = fill(voxels[:, within], [box.start[axis] for axis in within], [box.shape[axis] for axis in within])
    if not flat.any():
        raise PromptError("The lasso holds no voxel; draw it larger.", code="SHAPE_EMPTY")
    return Drawing("lasso", box, np.expand_dims(flat, normal), shape.positive)


def fill(corners: NDArray[np.float64], start: Sequence[int], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return which voxel centres lie inside a closed outline, in two dimensions (even-odd rule).

    Args:
        corners: The outline (n, 2), in voxels.
        start: First voxel of the part that is looked at.
        shape: Its size.
    """
    first = np.arange(start[0], start[0] + shape[0], dtype=np.float64)[:, None]
    second = np.arange(start[1], start[1] + shape[1], dtype=np.float64)[None, :]
    inside = np.zeros(tuple(shape), dtype=np.bool_)
    for (a, b), (c, d) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if b == d:  # parallel to the ray, so it is never crossed
            continue
        crossed = (b > second) != (d > second)
        inside ^= crossed & (first < (c - a) * (second - b) / (d - b) + a)
    return inside


def answer_shape(session: Session, watch: Watch, shape: Shape, view: View) -> Change:
    """Make a shape clicks of its structure, in one action, and return what changed.

    Raises:
        PromptError: The shape is refused, or holds nothing that could be removed (`SHAPE_EMPTY`).
    """
    grid = session.volume.grid
    prompt = prompt_of(shape, grid, view)
    read = partial(session.read, shape.structure)
    new = [each.click(grid) for each in placed_of(prompt, read, grid.spacing_mm)]
    if not new:
        raise PromptError(
            f"There is nothing of '{shape.structure}' to remove in the box, or the lasso is too small.",
            code="SHAPE_EMPTY",
        )
    return session.set_clicks(shape.structure, [*session.clicks(shape.structure), *new], watch=watch)
