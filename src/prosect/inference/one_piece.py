"""Keep the largest piece of structures that are one piece in everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.inference.components import Components

__all__ = ["keep_largest_pieces"]

Labels = NDArray[Any]


def keep_largest_pieces(
    arrays: Sequence[Labels], indices: Sequence[int], overlap: bool, containers: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """Leave out, in place, all but the largest piece of some structures (26 neighbours; of equal ones the first).

    Args:
        arrays: One flat label map (i j k), or one mask (i j k) per index.
        indices: What was asked for.
        overlap: Whether the arrays are masks.
        containers: The structures that are one piece, each with the structure that a voxel left out of it falls to in
            a flat map, such as the body; 0 where there is none.

    Returns:
        Number of pieces and of voxels left out, by structure; nothing for those that were one piece.
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
        if pieces.count > 1:
            sizes = pieces.sizes
            largest = int(sizes.argmax())
            part[mask & ~pieces.mask([largest])] = 0 if overlap else containers[index]
            left_out[index] = (pieces.count - 1, int(sizes.sum() - sizes[largest]))
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
