"""Let the outline of what is filled with air, such as lung, follow the air that a CT shows.

A network answers on voxels of 3 or 4 mm, and a lung is bordered by a step of 800 HU, which every voxel of the scan
tells exactly. So within a few millimetres of the network's outline the air decides, and tissue that air encloses, such
as vessels, belongs to it. Deeper inside, the network's word stands: a part full of fluid stays. A piece that holds
nothing but air is gut, and one that lies in the room around the body is the foam of a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.inference.canvas import Canvas
from prosect.inference.room import BARE_HU, PADDING_HU, Room, block_steps, room_around

__all__ = ["AIR_HU", "follow_air"]

Mask = NDArray[np.bool_]

# Lung lies below this, all that borders it above.
AIR_HU = -400.0
# Where less of what the network found lies below EMPTY_HU, the scan was clipped, or it is no lung that shows its air.
EMPTY_HU, LEAST_EMPTY = -600.0, 1 / 3
# How far the outline may move, outwards and inwards, and half the width of tissue that air encloses.
REACH_MM, ENCLOSED_MM = 6.0, 4.0
# Voxels that share a corner belong to one piece.
TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


def follow_air(
    canvas: Canvas, scan: NDArray[Any], grid: Grid, containers: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """Move the outlines of some structures, in place, to the border of the air that they hold.

    What they gain is background, or was the structure that contains them; no other structure loses a voxel.

    Args:
        canvas: Painted labels.
        scan: Hounsfield units (i j k).
        grid: Of the scan.
        containers: The structures that are filled with air, each with the structure that a voxel left out of it falls
            to in a flat map, such as the body; 0 where there is none. One in the room around the body falls to none.

    Returns:
        Number of voxels gained and lost, by structure; nothing of those that do not show their air.
    """
    moved: dict[int, tuple[int, int]] = {}
    boxes: dict[int, Box] = {}
    for index in canvas.indices:
        if index in containers and (box := canvas.box(index)).size:
            boxes[index] = box
    if not boxes:
        return moved
    room = room_around(scan, grid)
    for index, box in boxes.items():
        margin = math.ceil((REACH_MM + ENCLOSED_MM) / min(grid.spacing_mm)) + 1
        around = box.grown(margin) & Box((0, 0, 0), grid.shape)
        before = canvas.mask(index, around)
        if not shows_air(before, scan[around.slices]):
            continue
        after = air_outline(before, scan[around.slices], grid.spacing_mm, room, around.start)
        gained = canvas.add(index, around, after & ~before, containers[index])
        lost = before & ~after
        # What lies in the room is no body either.
        places = [np.arange(begin, end) for begin, end in zip(around.start, around.stop, strict=True)]
        in_room = lost & room.at(places)
        canvas.drop(index, around, in_room, 0)
        canvas.drop(index, around, lost & ~in_room, containers[index])
        moved[index] = (gained, int(np.count_nonzero(lost)))
    return moved


def shows_air(mask: Mask, scan: NDArray[Any]) -> bool:
    """Return whether enough of a mask (i j k) is air (HU, i j k) for its outline to follow the rest."""
    empty = np.count_nonzero(mask & (scan < EMPTY_HU) & (scan > PADDING_HU))
    return bool(empty >= LEAST_EMPTY * np.count_nonzero(mask))


def air_outline(
    mask: Mask,
    scan: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    room: Room | None = None,
    start: tuple[int, int, int] = (0, 0, 0),
) -> Mask:
    """Return a mask (i j k) whose outline follows the air, nowhere further than `REACH_MM` from where it was.

    Args:
        mask: What the network found.
        scan: Hounsfield units, of the same shape.
        spacing_mm: Of both.
        room: What of the whole scan is the room around the body; None where that is not known.
        start: Where in the whole scan both begin.
    """
    steps = block_steps(mask.shape, spacing_mm)
    # The voxel in the middle of each block stands for the block.
    middles = tuple(slice(step // 2, None, step) for step in steps)
    coarse_mm = [spacing * step for spacing, step in zip(spacing_mm, steps, strict=True)]
    found = mask[middles]
    if not found.any():
        # A sliver at the edge of a scan, thinner than a block, is too little to tell.
        return mask.copy()
    outside = np.zeros_like(found)
    if room:
        places = []
        for first, length, middle in zip(start, mask.shape, middles, strict=True):
            places.append(first + np.arange(length)[middle])
        outside = room.at(places)
    near, certain = bands(found, scan[middles], coarse_mm, outside)
    return refine(near, certain, scan, steps)


def refine(near: Mask, certain: Mask, scan: NDArray[Any], steps: list[int]) -> Mask:
    """Return an outline on the voxels of a scan (i j k, HU).

    Args:
        near: In which blocks air belongs to it.
        certain: Which blocks belong to it, air or not.
        scan: Hounsfield units.
        steps: How many voxels a block has along each axis.
    """
    blocks = []
    for length, step, count in zip(scan.shape, steps, near.shape, strict=True):
        blocks.append(np.minimum(np.arange(length) // step, count - 1))
    outline = np.empty(scan.shape, dtype=np.bool_)
    rows, columns = blocks[1][:, None], blocks[2][None, :]
    # Plane by plane: the bands on the voxels of the scan would need as much memory as its labels.
    for i, block in enumerate(blocks[0]):
        outline[i] = near[block][rows, columns] & is_air(scan[i])
        outline[i] |= certain[block][rows, columns] & (scan[i] > PADDING_HU)
    return outline


def is_air(scan: NDArray[Any]) -> Mask:
    """Return which voxels are air, in a lung or elsewhere (i j k); the padding of a scanner is none."""
    return np.asarray((scan < AIR_HU) & (scan > PADDING_HU))


def bands(mask: Mask, scan: NDArray[Any], spacing_mm: list[float], outside: Mask) -> tuple[Mask, Mask]:
    """Return where air belongs to a mask, and what belongs to it, air or not (i j k)."""
    air = is_air(scan)
    near = far_from(mask, spacing_mm) <= REACH_MM
    # Air that the mask does not reach is another's, such as a bubble in the stomach below a lung.
    foreign = near & air & ~ndimage.binary_propagation(mask & air, mask=near & air)
    near &= mask | ~ndimage.binary_dilation(foreign)
    deep = far_from(~mask, spacing_mm) > REACH_MM
    held = (near & air) | deep
    margins = []
    for spacing in spacing_mm:
        margins.append((math.ceil(ENCLOSED_MM / spacing) + 1,) * 2)
    around = far_from(np.pad(held, margins), spacing_mm) <= ENCLOSED_MM
    closed = far_from(~around, spacing_mm) > ENCLOSED_MM
    inner = tuple(slice(before, -after) for before, after in margins)
    # Blocks at the border of the air are of both, and their voxels of air are held already.
    enclosed = ndimage.binary_erosion(closed[inner], border_value=1)
    certain = (enclosed & near) | deep
    strange = strange_pieces((near & air) | certain, mask, scan, outside)
    return near & ~ndimage.binary_dilation(strange, TOUCHING), certain & ~strange


def strange_pieces(outline: Mask, mask: Mask, scan: NDArray[Any], outside: Mask) -> Mask:
    """Return the pieces of an outline (i j k) that hold nothing but air, such as gut, or lie outside of the body.

    Of each piece only what the network found is asked: the air that it gains beside a collapsed lung is bare.
    """
    pieces, _ = ndimage.label(outline, TOUCHING)
    found = np.where(mask, pieces, 0)
    numbers = np.unique(found)[1:]
    if not numbers.size:
        return np.zeros_like(outline)
    medians = np.asarray(ndimage.median(scan, found, numbers))
    shares = np.asarray(ndimage.mean(outside, found, numbers))
    return np.isin(pieces, numbers[(medians < BARE_HU) | (shares > 1 / 2)])


def far_from(mask: Mask, spacing_mm: list[float]) -> NDArray[np.float64]:
    """Return the distance of each voxel from the nearest one of a mask in mm (i j k); inf where there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm))
