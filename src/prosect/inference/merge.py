"""Interactive refinement that does no harm: VISTA3D, Algorithm 1.

The network answers clicks with a whole mask, which may spoil what was right. So only whole connected components of the
difference are taken over: those to add that hold a positive click, those to remove that hold a negative one.

Works on one structure and on masks of the whole scan, so nothing is cut at a window and nothing leaks between
structures. Differs from the official code in each of these: it merges logits window by window, lets a negative click
count as a click inside the mask, and joins components across objects. `compat="official"` repeats that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosect.inference.merge_official import merge_official
from prosect.morphology import Components

__all__ = ["COMPATS", "NEAR_MISS_MM", "Compat", "is_near", "merge"]

Compat = Literal["official"]
COMPATS: tuple[str, ...] = get_args(Compat)

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]

# The official code forgives two voxels of 1.5 mm on every axis; the paper says nothing of it.
NEAR_MISS_MM = 3.0


def merge(
    automatic: Mask,
    interactive: Mask,
    positive: Sequence[Voxel],
    negative: Sequence[Voxel],
    voxel_axes_mm: ArrayLike = ((1.5, 0, 0), (0, 1.5, 0), (0, 0, 1.5)),
    near_miss_mm: float = NEAR_MISS_MM,
    compat: Compat | None = None,
) -> Mask:
    """Return the automatic mask with the components added and removed that clicks select (VISTA3D, Alg. 1).

    Components to add are those of `interactive` outside `automatic`; where a positive click lies in `automatic`, also
    those of `interactive` as a whole. A click that lies in no component it could select takes the nearest one within
    `near_miss_mm`, all of them at a tie. The answer depends on the sets of clicks only, not on order or repetition.

    Args:
        automatic: The mask to correct (i j k).
        interactive: The network's answer to the clicks (i j k); equal to `automatic` where it has not been asked.
        positive: Voxels clicked as part of the structure. Clicks may lie beyond the masks, which are parts of a scan:
            they then select what is near enough.
        negative: Voxels clicked as no part of it.
        voxel_axes_mm: Columns are the steps in mm from one voxel to the next (3 3): how near a miss is.
        near_miss_mm: How far a click may miss a component; 0 is the paper's letter.
        compat: `official` merges as the official code does a window, defects included, for comparison: see
            `merge_official`. Distances are not looked at.
    """
    if compat == "official":
        return _as_official(automatic, interactive, positive, negative)
    offsets = _offsets(voxel_axes_mm, near_miss_mm)
    added = _touched(interactive & ~automatic, positive, offsets)
    if any(_holds(automatic, p) for p in positive):
        added |= _touched(interactive, positive, offsets)
    removed = _touched(automatic & ~interactive, negative, offsets)
    return np.asarray((automatic | added) & ~removed)


def is_near(mask: Mask, click: Voxel, voxel_axes_mm: ArrayLike, near_miss_mm: float = NEAR_MISS_MM) -> bool:
    """Return whether a click selects a voxel of a mask: its own, or one within `near_miss_mm`; see `merge`.

    Args:
        mask: Any mask (i j k).
        click: Voxel counted as in the mask; it may lie outside.
        voxel_axes_mm: As for `merge`.
        near_miss_mm: As for `merge`.
    """
    return bool(_hits(mask, click, _offsets(voxel_axes_mm, near_miss_mm)))


def _as_official(automatic: Mask, interactive: Mask, positive: Sequence[Voxel], negative: Sequence[Voxel]) -> Mask:
    """Return what the official merge makes of masks, given as logits of 1 and -1."""
    # official: a window holds its clicks, so one that lies beyond the masks does not exist there.
    wanted = [voxel for voxel in positive if _lies_in(voxel, automatic.shape)]
    unwanted = [voxel for voxel in negative if _lies_in(voxel, automatic.shape)]
    points = np.array([[*wanted, *unwanted]], dtype=np.float64).reshape(1, -1, 3)
    labels = np.array([[1] * len(wanted) + [0] * len(unwanted)])
    before = np.where(automatic, np.float32(1), np.float32(-1))
    answer = np.where(interactive, np.float32(1), np.float32(-1))
    return np.asarray(merge_official(before[None], answer[None], points, labels)[0] > 0)


def _lies_in(voxel: Voxel, shape: tuple[int, ...]) -> bool:
    """Return whether a voxel lies in an array; numpy would count a negative index from the other end."""
    return all(0 <= n < size for n, size in zip(voxel, shape, strict=True))


def _holds(mask: Mask, voxel: Voxel) -> bool:
    """Return whether a voxel is set in a mask (i j k); beyond it none is."""
    return _lies_in(voxel, mask.shape) and bool(mask[voxel])


def _touched(candidates: Mask, clicks: Sequence[Voxel], offsets: Sequence[NDArray[np.int64]]) -> Mask:
    """Return the components of `candidates` that clicks select."""
    clicked = [hit for click in set(clicks) for hit in _hits(candidates, click, offsets)]
    if not clicked:
        return np.zeros(candidates.shape, dtype=np.bool_)
    components = Components.of(candidates)
    if components.count == 1:
        return candidates.copy()  # the one that was clicked is all there is
    return components.mask({label for voxel in clicked if (label := components.at(voxel)) is not None})


def _hits(candidates: Mask, click: Voxel, offsets: Sequence[NDArray[np.int64]]) -> list[Voxel]:
    """Return the nearest voxels of `candidates` to a click, within the offsets."""
    for ring in offsets:
        near = ring + np.asarray(click)
        near = near[((near >= 0) & (near < candidates.shape)).all(axis=1)]
        found = near[candidates[tuple(near.T)]]
        if len(found):
            rows: list[Voxel] = []
            for i, j, k in found:
                rows.append((int(i), int(j), int(k)))
            return rows
    return []


def _offsets(voxel_axes_mm: ArrayLike, near_miss_mm: float) -> list[NDArray[np.int64]]:
    """Return voxel offsets within a distance, grouped by distance, nearest first."""
    axes = np.asarray(voxel_axes_mm, dtype=np.float64)
    # The distance between neighbouring planes of voxels bounds how many voxels may lie within.
    planes_per_mm = np.linalg.norm(np.linalg.inv(axes), axis=1)
    reach = np.floor(near_miss_mm * planes_per_mm + 1e-6).astype(int)
    sides = 2 * reach + 1
    box = np.stack(np.unravel_index(np.arange(sides.prod()), sides), axis=-1) - reach
    distance_mm = np.linalg.norm(box @ axes.T, axis=1).round(6)
    inside = distance_mm <= near_miss_mm + 1e-6
    box, distance_mm = box[inside], distance_mm[inside]
    # Sorted once: of voxels of 0.05 mm there are a million within 3 mm, at thousands of distances.
    order = np.argsort(distance_mm, kind="stable")
    begins = np.flatnonzero(np.diff(distance_mm[order])) + 1
    return np.split(box[order], begins)
