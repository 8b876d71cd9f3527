"""Leave out crumbs of structures that are one piece in everybody."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from prosect.inference.canvas import Canvas
from prosect.morphology import Components

__all__ = ["CRUMB", "leave_out_crumbs"]

# Share of the largest piece below which another is left out. Of two pieces alike in size nobody knows which is wrong:
# in an abdomen the larger "spinal cord" of a model of the neck was a hip, and the smaller one the cord.
CRUMB = 0.3


def leave_out_crumbs(canvas: Canvas, containers: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Leave out, in place, pieces of some structures that are far smaller than the largest (26 neighbours).

    Args:
        canvas: Painted labels.
        containers: The structures that are one piece, each with the structure that a voxel left out of it falls to in
            a flat map, such as the body; 0 where there is none.

    Returns:
        Number of pieces and of voxels left out, by structure; nothing for those that stay as they are.
    """
    left_out: dict[int, tuple[int, int]] = {}
    for index in canvas.indices:
        if index not in containers:
            continue
        box = canvas.box(index)
        if not box.size:
            continue
        pieces = Components.of(canvas.mask(index, box))
        sizes = pieces.sizes
        crumbs = np.flatnonzero(sizes < CRUMB * sizes.max())
        if len(crumbs):
            canvas.drop(index, box, pieces.mask(crumbs), containers[index])
            left_out[index] = (len(crumbs), int(sizes[crumbs].sum()))
    return left_out
