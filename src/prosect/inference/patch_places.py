"""Where the patch for a click lies: around it, or one that exists already and shows enough around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prosect.inference.windows import Shape

__all__ = ["Start", "central", "place_patch"]

Start = tuple[int, int, int]


def place_patch(point: Sequence[float], shape: Shape, patch: Shape, existing: Sequence[Start] = ()) -> Start:
    """Return the start of the patch for a click.

    A patch that exists serves where the click lies in its central half, or beside a face that is the scan's own
    border: near clicks share a patch. Otherwise the patch is centred on the click, moved inward at the border, which
    is the official placement.

    Args:
        point: Position in voxels.
        shape: The whole grid, at least `patch` on every axis.
        patch: Voxels of a patch.
        existing: Starts of patches to prefer; the most central one serves, the first at a tie.
    """
    found = central(point, existing, patch, shape)
    if found is not None:
        return found
    i, j, k = (min(max(int(np.floor(x)) - n // 2, 0), size - n) for x, n, size in zip(point, patch, shape, strict=True))
    return i, j, k


def central(
    point: Sequence[float], existing: Sequence[Start], patch: Shape, shape: Shape | None = None
) -> Start | None:
    """Return the patch in whose central half a position lies, the most central one, the first at a tie; or None.

    Args:
        point: Position in voxels.
        existing: Starts of patches.
        patch: Voxels of a patch.
        shape: The grid, where patches end at its border: beside a face that is the border itself, any place is central.
    """
    sizes = shape or (None, None, None)
    serving = []
    for number, start in enumerate(existing):
        axes = list(zip(point, start, patch, sizes, strict=True))
        if all(_serves(x, s, n, size) for x, s, n, size in axes):
            off_centre = max(abs(x - s - (n - 1) / 2) / n for x, s, n, _ in axes)
            serving.append((off_centre, number))
    if serving:
        return existing[min(serving)[1]]
    return None


def _serves(x: float, start: int, patch: int, size: int | None) -> bool:
    """Return whether a patch sees enough around a position along one axis."""
    after_start = (size is not None and start == 0) or x >= start + patch / 4
    before_stop = (size is not None and start + patch == size) or x <= start + patch - 1 - patch / 4
    return after_start and before_stop
