"""SLIC on features, and where the air around the body is: all that needs scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels, slic

from prosect.morphology import Components, border_components

__all__ = ["air_around", "cut", "grow"]

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

# official: air is closed over three voxels. Here over three millimetres if that is less, and over one voxel at least.
CLOSED_MM, CLOSED_VOXELS = 3.0, 3
# Share of the mean below which SLIC lets a supervoxel join its neighbour.
SMALLEST = 0.5


def air_around(dark: Mask, spacing_mm: Sequence[float]) -> Mask:
    """Return the air around the body: what is dark (i j k) and leads to a side of the scan, with its gaps closed.

    The sides are those to the left, right, front and back: above and below the body goes on, and lungs that the scan
    cuts are no air around it. Differs from the official code, which takes the largest dark component: that is a lung
    where the scan holds little else.

    Args:
        dark: Voxels without signal, with axes to right, anterior, superior.
        spacing_mm: Distance of voxels along each axis.
    """
    if not dark.any():
        return dark
    air = border_components(dark, axes=(0, 1))
    times = int(min(max(round(CLOSED_MM / max(spacing_mm)), 1), CLOSED_VOXELS))
    padded = np.pad(air, times, mode="edge")  # closing must not open the faces of the scan
    closed = ndimage.binary_closing(padded, iterations=times)
    inner = tuple(slice(times, -times) for _ in range(3))
    return np.asarray(closed[inner] | air)


def cut(
    features: NDArray[np.float32],
    body: Mask,
    segments: int,
    sigma: Sequence[float],
    compactness: float,
    spacing_mm: Sequence[float],
) -> Labels:
    """Return connected supervoxels (i j k) from 1 inside the body, 0 outside.

    A piece of the body that touches nothing and is smaller than half a supervoxel, such as the table's edge, is left
    out: SLIC would give it the number of a supervoxel far away.

    Args:
        features: Features of the cells (i j k c).
        body: The cells to divide.
        segments: About how many supervoxels.
        sigma: Standard deviation of the smoothing in cells along each axis.
        compactness: Weight of distance against features.
        spacing_mm: Distance of cells along each axis.
    """
    if not body.any():
        return np.zeros(body.shape, dtype=np.int64)
    pieces = Components.of(body, connectivity=1)
    # The largest piece stays whatever its size.
    least = min(np.count_nonzero(body) / segments * SMALLEST, pieces.sizes.max())
    body = pieces.mask(np.flatnonzero(pieces.sizes >= least))
    # Relative, so that compactness means the same on fine and on coarse cells.
    spacing = np.asarray(spacing_mm) / np.prod(spacing_mm) ** (1 / 3)
    found: Any = slic(
        features,
        n_segments=segments,
        compactness=compactness,
        sigma=tuple(sigma),
        spacing=tuple(spacing),
        min_size_factor=SMALLEST,
        convert2lab=False,  # three channels are no colours
        mask=body,
        start_label=1,
        channel_axis=-1,
    )
    return np.asarray(found, dtype=np.int64)


def grow(labels: Labels) -> Labels:
    """Return labels (i j k) grown by a cell in every direction, so that no voxel at a rim goes without."""
    expand: Any = expand_labels
    return np.asarray(expand(labels, distance=np.sqrt(3)))
