"""Leave out crumbs of structures that are one piece in everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.morphology import Components

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
        box = Box.of_value(whole, 1 if overlap else index)
        if not box.size:
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
