"""The merge of the official code, defects included, for comparison with its results: `merge(compat="official")`.

What it does otherwise than the paper's Algorithm 1: it works on the logits of one window; any click inside the mask,
a negative one too, opens it to additions; a near miss of up to two voxels takes the component numbered highest, not
the nearest; components are joined across objects; and what was NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosect.morphology import Components

__all__ = ["merge_official"]

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]

NEAR_MISS = 2  # official: `margins=3` looks at half-widths 0, 1 and 2
NOTHING = -9999.0


def merge_official(
    logits: Logits, point_logits: Logits, points: NDArray[np.floating], labels: NDArray[np.integer]
) -> Logits:
    """Return the merged logits (q i j k) of one window.

    Args:
        logits: Automatic logits, or those of the state before (q i j k); may hold NaN.
        point_logits: The answer to the clicks (q i j k).
        points: Clicks (q n 3) in voxels of the window.
        labels: Click labels (q n), -1 to 3.

    Raises:
        IndexError: A click rounds to beyond the window's last voxel, as in the official code.
    """
    rounded = np.round(points).astype(int)
    # official: padding clicks (label -1) at (0, 0, 0) count, and negative ones too
    inside = np.array([any(q[tuple(p)] > 0 for p in clicks) for q, clicks in zip(logits, rounded, strict=True)])
    unknown = np.isnan(logits)
    before = np.where(unknown, NOTHING, logits) > 0
    after = point_logits > 0
    to_add = after & (~before | inside[:, None, None, None])
    chosen = _chosen(to_add, before & ~after, rounded, labels)
    answer = np.where(unknown & after & ~chosen, np.float32(-1), point_logits)
    # official: where nothing was known before, the answer to the clicks is taken as it is.
    taken = chosen | unknown
    with np.errstate(invalid="ignore"):
        return np.asarray(logits * (1 - taken) + taken * answer, dtype=np.float32)  # official: NaN * 0 is NaN


def _chosen(to_add: Mask, to_remove: Mask, points: NDArray[np.int64], labels: NDArray[np.integer]) -> Mask:
    """Return the voxels (q i j k) of the components that clicks select."""
    out = np.zeros_like(to_add)
    # official: three hops in five dimensions, so neighbouring objects' voxels touch too
    candidates = {True: Components.of(to_add, 3), False: Components.of(to_remove, 3)}
    for q, (clicks, kinds) in enumerate(zip(points, labels, strict=True)):
        for click, kind in zip(clicks, kinds, strict=True):
            if kind < 0:
                continue
            components = candidates[kind in (1, 3)]
            label = _highest_near(components, q, click.tolist())
            if label is not None:
                out[q] |= components.mask([label])[q]
    return out


def _highest_near(components: Components, q: int, click: Sequence[int]) -> int | None:
    """Return the component numbered highest in the smallest cube around a click that holds any."""
    for width in range(NEAR_MISS + 1):
        spans = []
        for p, n in zip(click, components.shape[1:], strict=True):
            spans.append(range(max(p - width, 0), min(p + width + 1, n)))
        found = [components.at((q, i, j, k)) for i in spans[0] for j in spans[1] for k in spans[2]]
        labels = []
        for label in found:
            if label is not None:
                labels.append(label)
        if labels:
            return max(labels)
    return None
