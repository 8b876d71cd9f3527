"""All structures of a scan at once, seen from the front, as if made of coloured glass."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from prosect.preview.planes import DIM, frame_panel
from prosect.preview.scene import Scene

__all__ = ["BACKGROUND_LIGHT", "brightest", "draw_projection", "project"]

PROJECTION_VOXELS = 256
BACKGROUND_LIGHT = 0.55


def draw_projection(axes: Axes, scene: Scene, any_found: bool) -> None:
    """Draw all structures as if made of coloured glass, seen from the front, over the brightest of the scan."""
    size = scene.size_mm
    extent = (0.0, float(size[0]), 0.0, float(size[2]))
    glass = project(scene)
    picture = glass[..., :3] * glass[..., 3:] + brightest(scene)[..., None] * (1 - glass[..., 3:])
    picture = picture[::-1].transpose(1, 0, 2)
    axes.imshow(picture, origin="lower", extent=extent, interpolation="bilinear")
    if not any_found:
        axes.text(0.5, 0.5, "nothing found", transform=axes.transAxes, color=DIM, fontsize=14, ha="center")
    frame_panel(axes, extent, "coronal MIP", "RLSI")


def coarse(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return a subset of voxels (i j k) for projections, and the step from front to back."""
    i, j, k = (max(1, -(-n // PROJECTION_VOXELS)) for n in array.shape)
    return array[::i, ::j, ::k], j


def brightest(scene: Scene) -> NDArray[np.float32]:
    """Return the coronal maximum intensity projection (i k), dimmed to stay behind what is drawn over it."""
    highest = coarse(scene.scan)[0].max(axis=1)
    low, high = scene.window
    # Twice the window: in CT the maximum along a ray is nearly always bone.
    grey = (highest - low) / (2 * (high - low))
    return np.asarray(BACKGROUND_LIGHT * grey.clip(0, 1), dtype=np.float32)


def project(scene: Scene) -> NDArray[np.float32]:
    """Return colour and opacity (i k 4) of the labels composited from front to back, on a coarse subset of voxels."""
    labels, step = coarse(scene.labels)
    depth_mm = step * scene.grid.spacing_mm[1]
    opacity = np.full(len(scene.colors), 1 - np.exp(-depth_mm / 14.0), dtype=np.float32)
    opacity[[0, *scene.around]] = 0.0
    table = scene.colors.astype(np.float32)
    ni, nj, nk = labels.shape
    color = np.zeros((ni, nk, 3), dtype=np.float32)
    passing = np.ones((ni, nk), dtype=np.float32)
    before = np.zeros((ni, nk), dtype=labels.dtype)
    for j in range(nj - 1, -1, -1):
        values = np.ascontiguousarray(labels[:, j, :])
        if values.any():
            # A surface that is entered catches the light; this draws edges between neighbours.
            surface = np.where(values != before, np.float32(2.2), np.float32(1.0))
            share = passing * np.minimum(opacity[values] * surface, np.float32(0.95))
            shade = np.float32(0.45 + 0.55 * j / max(nj - 1, 1))
            color += (share * shade)[..., None] * table[values]
            passing *= 1 - np.minimum(opacity[values] * surface, np.float32(0.95))
        before = values
    alpha = 1 - passing
    picture = np.concatenate([color / np.maximum(alpha, 1e-6)[..., None], alpha[..., None]], axis=2)
    return np.asarray(picture.clip(0, 1), np.float32)
