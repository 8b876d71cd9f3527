"""Where a CT shows the room around a body: air, a table and its pads, whose foam is as dark as lung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.geometry import Grid

__all__ = ["BARE_HU", "PADDING_HU", "Room", "block_steps", "room_around"]

Mask = NDArray[np.bool_]

# What is darker holds air alone. Of lung, emphysema too, most is brighter.
BARE_HU = -970.0
# Of the body all is brighter but what it holds of air.
TISSUE_HU = -200.0
# The room, and distances, are looked for on voxels of this size at most: a pad of a table is wider, and a scan of
# 0.7 mm has a hundred times as many.
COARSE_MM = 4.0
# A smaller piece of an axial plane is no body, but a part of a table.
LEAST_BODY_CM2 = 20.0
# So much of the room is air alone. Where a scan cuts into a lung, less is of what reaches its edge.
MOSTLY_BARE = 0.7
# Scanners fill what lies outside their circle with -2000, -3024 or -32768; others with the lowest value of the scan.
PADDING_HU = -1500.0


@dataclass(frozen=True, eq=False)
class Room:
    """Where a scan shows the room, block by block.

    Attributes:
        blocks: Which blocks of voxels are of the room (i j k).
        steps: How many voxels a block has along each axis.
    """

    blocks: Mask
    steps: tuple[int, int, int]

    def at(self, places: Sequence[NDArray[np.intp]]) -> Mask:
        """Return whether voxels of the scan are of the room (i j k).

        Args:
            places: The indices of the voxels along each axis.
        """
        rows = []
        for along, step, count in zip(places, self.steps, self.blocks.shape, strict=True):
            rows.append(np.minimum(along // step, count - 1))
        return self.blocks[np.ix_(*rows)]


def room_around(scan: NDArray[Any], grid: Grid) -> Room:
    """Return the room around the body that a CT shows.

    In each axial plane it is what reaches the edge of the scan and is hardly more than air, when the body, the largest
    piece that is no air, is taken out. So the lung of a scan that cuts into a chest is not of it. What may be padding
    speaks for neither: a circle of it can cut a lung, too.

    Args:
        scan: Hounsfield units (i j k).
        grid: Its grid.
    """
    steps = block_steps(scan.shape, grid.spacing_mm)
    i, j, k = steps
    coarse = scan[i // 2 :: i, j // 2 :: j, k // 2 :: k]
    blocks = np.zeros(coarse.shape, dtype=np.bool_)
    padding = max(float(scan.min()), PADDING_HU)
    axial = grid.to_ras().axes[2]
    across = [axis for axis in range(3) if axis != axial]
    block_cm2 = 0.01
    for axis in across:
        block_cm2 *= grid.spacing_mm[axis] * steps[axis]
    # Both are views: what is written into a plane is written into the blocks.
    for plane, room in zip(np.moveaxis(coarse, axial, 0), np.moveaxis(blocks, axial, 0), strict=True):
        room[...] = room_in(plane, LEAST_BODY_CM2 / block_cm2, padding)
    return Room(blocks, (i, j, k))


def block_steps(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[int]:
    """Return how many voxels along each axis make a block of `COARSE_MM` at most; one at least."""
    steps = []
    for spacing, length in zip(spacing_mm, shape, strict=True):
        steps.append(min(max(1, int(COARSE_MM / spacing)), length))
    return steps


def room_in(plane: NDArray[Any], least: float, padding: float) -> Mask:
    """Return where an axial plane shows the room (i j).

    Args:
        plane: Hounsfield units (i j).
        least: So many pixels of a body there must be.
        padding: What is no brighter may be padding.
    """
    nothing = np.zeros(plane.shape, dtype=np.bool_)
    pieces, count = ndimage.label(plane > TISSUE_HU)
    if not count:
        return nothing
    # The first count is that of the air between the pieces.
    sizes = np.bincount(pieces.ravel())
    largest = int(sizes[1:].argmax()) + 1
    if sizes[largest] < least:
        return nothing
    # A gap of a pixel in a thin chest wall is no way out.
    body = ndimage.binary_closing(np.pad(pieces == largest, 1))[1:-1, 1:-1]
    parts, count = ndimage.label(~body)
    seen = plane > padding
    numbers = np.arange(count + 1)
    bare = ndimage.sum_labels(seen & (plane < BARE_HU), parts, numbers)
    is_room = (bare > 0) & (bare >= MOSTLY_BARE * ndimage.sum_labels(seen, parts, numbers))
    reaching = np.zeros(count + 1, dtype=np.bool_)
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        reaching[edge] = True
    is_room &= reaching
    is_room[0] = False
    return np.asarray(is_room[parts])
