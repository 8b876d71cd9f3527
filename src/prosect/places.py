"""Places in a scan as people and programs give them: three numbers in one of three spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import PromptError
from prosect.geometry import Grid

__all__ = ["Corners", "Point", "Space", "box_between", "outside", "parse_box", "place_of", "three_numbers"]

Space = Literal["ras", "lps", "voxel"]
Point: TypeAlias = tuple[float, float, float]
Corners: TypeAlias = tuple[Point, Point]
Floats: TypeAlias = NDArray[np.float64]

SPACES: tuple[str, ...] = get_args(Space)
FARTHEST = 1e15  # farther than any scan reaches, and still a number that whole numbers hold


def place_of(position: Sequence[float], grid: Grid, space: str) -> tuple[Floats, Floats, Floats]:
    """Return a position (3) as it was given, as a voxel index, and in RAS mm; it may lie outside the scan.

    Raises:
        PromptError: As for `click_at`.
    """
    if space not in SPACES:
        raise PromptError(f"There is no space {space!r}; use {', '.join(SPACES)}.", code="SPACE_UNKNOWN")
    given = np.asarray(three_numbers(position), dtype=np.float64)
    bounded = given.clip(-FARTHEST, FARTHEST)
    if space == "voxel":
        return given, bounded, np.asarray(grid.to_world(bounded))
    world = bounded
    if space == "lps":
        world = bounded * (-1, -1, 1)
    return given, np.asarray(grid.to_voxel(world)), world


def box_between(corner: Sequence[float], opposite: Sequence[float], grid: Grid, space: str = "ras") -> Box:
    """Return the box of a scan's voxels between two opposite corners; each corner's voxel belongs to it.

    Raises:
        PromptError: It lies beside the scan (`POINT_OUTSIDE`), or a corner is none; see `click_at`.
    """
    ends = [place_of(each, grid, space) for each in (corner, opposite)]
    indices = np.array([voxel for _, voxel, _ in ends])
    # Rounded first, as in `voxel_of`.
    low = np.floor(indices.min(axis=0).round(6) + 0.5).astype(int)
    high = np.floor(indices.max(axis=0).round(6) + 0.5).astype(int)
    last = np.asarray(grid.shape) - 1
    if (high < 0).any() or (low > last).any():
        middle = ends[0][0] / 2 + ends[1][0] / 2
        raise PromptError(
            outside(middle.tolist(), indices.mean(axis=0).round(2).tolist(), grid, space), code="POINT_OUTSIDE"
        )
    (i, j, k), (end_i, end_j, end_k) = low.clip(0, last).tolist(), (high.clip(0, last) + 1).tolist()
    return Box((i, j, k), (end_i, end_j, end_k))


def three_numbers(position: Any) -> Point:
    """Return a position as three finite numbers."""
    if isinstance(position, str | bytes) or not hasattr(position, "__len__") or len(position) != 3:
        found = f"{position!r:.60}"
        raise PromptError(f"A position is three numbers; found {found}.", code="POINT_NOT_THREE_NUMBERS")
    # Arrays and tensors, or their elements, give plain numbers by one name.
    position = [number.tolist() if hasattr(number, "tolist") else number for number in position]
    for number in position:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise PromptError(f"A position is three numbers; found {number!r:.60}.", code="POINT_NOT_THREE_NUMBERS")
    try:
        x, y, z = (float(number) for number in position)
    except OverflowError:
        x = y = z = math.inf
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise PromptError(f"The position {list(position)!r:.90} is not finite.", code="POINT_NOT_FINITE")
    return x, y, z


def outside(given: Sequence[float], voxel: Sequence[float], grid: Grid, space: str) -> str:
    """Return the message on a point outside the scan: where it would be, and the bounds in the caller's own space."""
    last = tuple(n - 1 for n in grid.shape)
    corners = grid.corners_ras() * ((-1, -1, 1) if space == "lps" else (1, 1, 1))
    low, high = corners.min(axis=0).round(1).tolist(), corners.max(axis=0).round(1).tolist()
    bounds = f"voxels run from (0, 0, 0) to {last}"
    if space == "voxel":
        return f"The click at voxel {list(given)} lies outside the scan; {bounds}."
    return (
        f"The click at {list(given)} mm ({space.upper()}) lies outside the scan, at voxel {list(voxel)}; {bounds}, in "
        f"millimetres from {low} to {high}."
    )


def parse_box(text: str) -> Corners:
    """Return the opposite corners of a typed box: `12.5,-40,310:60,5,340`.

    Raises:
        PromptError: Not twice three numbers (`POINT_NOT_THREE_NUMBERS`), or not finite (`POINT_NOT_FINITE`).
    """
    corners = []
    for words in text.split(":"):
        try:
            numbers = [float(word) for word in words.split(",")]
        except ValueError:
            numbers = []
        corners.append(numbers)
    if [len(numbers) for numbers in corners] != [3, 3]:
        raise PromptError(
            f"{text!r:.60} is no box; write two opposite corners, X,Y,Z:X,Y,Z, such as 12.5,-40,310:60,5,340",
            code="POINT_NOT_THREE_NUMBERS",
        )
    return three_numbers(corners[0]), three_numbers(corners[1])
