"""Leave out crumbs of structures that are one piece in everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.inference.components import Components

__all__ = ["CRUMB", "leave_out_crumbs"]

# Share of the largest piece below which another is left out. Of two pieces alike in size nobody knows which is wrong:
# in an abdomen the larger "spinal cord" of a model of the neck was a hip, and the smaller one the cord.
CRUMB = 0.3

Labels = NDArray[Any]


def leave_out_crumbs(
    arrays: Sequence[Labels], indices: Sequence[int], overlap: bool, containers: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """Leave out, in place, pieces of some structures that are far smaller than the largest (26 neighbours).

    Args:
        arrays: One flat label map (i j k), or one mask (i j k) per index.
        indices: What was asked for.
        overlap: Whether the arrays are masks.
        containers: The structures that are one piece, each with the structure that a voxel left out of it falls to in
            a flat map, such as the body; 0 where there is none.

    Returns:
        Number of pieces and of voxels left out, by structure; nothing for those that stay as they are.
    """
    left_out: dict[int, tuple[int, int]] = {}
    for number, index in enumerate(indices):
        if index not in containers:
            continue
        whole = arrays[number] if overlap else arrays[0]
        box = _box_of(whole, 1 if overlap else index)
        if box is None:
            continue
        part = whole[box.slices]
        mask = part != 0 if overlap else part == index
        pieces = Components.of(mask)
        sizes = pieces.sizes
        crumbs = np.flatnonzero(sizes < CRUMB * sizes.max())
        if len(crumbs):
            part[pieces.mask(crumbs)] = 0 if overlap else containers[index]
            left_out[index] = (len(crumbs), int(sizes[crumbs].sum()))
    return left_out


def _box_of(array: Labels, value: int) -> Box | None:
    """Return the box around a value, found plane by plane so that no mask of the whole scan is made."""
    planes = []
    for i, plane in enumerate(array):
        inside = plane == value
        if inside.any():
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            planes.append((i, rows[0], rows[-1], columns[0], columns[-1]))
    if not planes:
        return None
    found = np.array(planes)
    low = (int(found[0, 0]), int(found[:, 1].min()), int(found[:, 3].min()))
    high = (int(found[-1, 0]) + 1, int(found[:, 2].max()) + 1, int(found[:, 4].max()) + 1)
    return Box(low, high)
