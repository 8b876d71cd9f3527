"""Arrays and boxes of nnInteractive's clients, whose axes are reversed: what they hold is k j i, what we hold i j k."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import FormatError
from prosect.server.converting import Drawing
from prosect.server.foreign import flag_of, numbers_of
from prosect.server.packed import Packed, unpack_array

__all__ = ["affine_of", "box_of", "drawing_of", "reversed_axes", "spacing_of"]

NO_SPACING_MM = 1.5
LOG = logging.getLogger("prosect.server")


def spacing_of(properties: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return the distance of voxels along i j k, in mm; where the client does not say it, a common one."""
    said = properties.get("spacing")
    good = isinstance(said, list) and len(said) == 3
    if not good or not all(isinstance(step, int | float) and 0 < step < 1000 for step in said or ()):
        LOG.info("nninteractive: no spacing is told; %s mm are assumed", NO_SPACING_MM)
        return NO_SPACING_MM, NO_SPACING_MM, NO_SPACING_MM
    k, j, i = (float(step) for step in said or ())
    return i, j, k


def affine_of(spacing_mm: Sequence[float], axes: str) -> NDArray[np.float64]:
    """Return voxel centre (i j k) to RAS mm (4, 4).

    Args:
        spacing_mm: Distance of voxels along i, j, k.
        axes: Where i, j, k lead: `LPS` is an axial scan as scanners store it.
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, (letter, step) in enumerate(zip(axes, spacing_mm, strict=True)):
        row = next(number for number, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, column] = step if letter in "RAS" else -step
    return affine


def reversed_axes(array: NDArray[Any], axes: int) -> NDArray[Any]:
    """Return an array of a client (k j i) as i j k, as a view.

    Raises:
        FormatError: It has another number of axes (`REQUEST_INVALID`).
    """
    if array.ndim != axes:
        raise FormatError(f"The array has {array.ndim} axes, and {axes} are needed.", code="REQUEST_INVALID")
    return array.transpose()


def box_of(said: Mapping[str, Any], key: str, shape: Sequence[int]) -> Box:
    """Return a box of a client, which may be fractional and reach beyond the image, as voxels i j k inside it.

    Raises:
        FormatError: It is no box, or none of it lies in the image (`REQUEST_INVALID`).
    """
    pairs = said.get(key)
    if not isinstance(pairs, list) or len(pairs) != 3:
        raise FormatError(f"{key}: three pairs of numbers are needed; found {pairs!r:.60}.", code="REQUEST_INVALID")
    ends = [numbers_of({key: pair}, key, 2) for pair in reversed(pairs)]
    start = [max(round(low), 0) for low, _ in ends]
    stop = [min(round(high), size) for (_, high), size in zip(ends, shape, strict=True)]
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    if not box.size:
        raise FormatError(
            f"{key}: {pairs!r:.80} is empty, or lies outside the image of shape {tuple(reversed(shape))}.",
            code="REQUEST_INVALID",
        )
    return box


def drawing_of(
    kind: Literal["scribble", "lasso"],
    body: Packed,
    said: Mapping[str, Any],
    max_bytes: int,
    shape: Sequence[int],
) -> Drawing:
    """Return what a client drew, cut to the voxels that it drew.

    Raises:
        FormatError: The mask is empty, or does not fill its box, or that does not lie inside the image
            (`REQUEST_INVALID`).
    """
    bits = reversed_axes(unpack_array(body, max_bytes), 3) != 0
    place = Box((0, 0, 0), (shape[0], shape[1], shape[2]))
    if said.get("interaction_bbox") is not None:
        place = box_of(said, "interaction_bbox", shape)
    if bits.shape != place.shape:
        raise FormatError(
            f"The drawing has shape {bits.shape[::-1]}, and its box {place.shape[::-1]} in the image.",
            code="REQUEST_INVALID",
        )
    inner = Box.of(bits)
    if not inner.size:
        raise FormatError("Nothing is drawn in this mask.", code="REQUEST_INVALID")
    return Drawing(kind, inner.shift(place.start), bits[inner.slices], flag_of(said, "include_interaction"))
