"""Scans of a few thousand voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.geometry import Grid
from prosect.volume import Volume

__all__ = ["LEFT_FIRST", "noise", "smooth_noise"]

# Stored left to right, with its own spacing along each axis and its own origin: whatever forgets the affine fails.
LEFT_FIRST = np.array([[-1.4, 0, 0, 20], [0, 1.5, 0, 0], [0, 0, 3.0, -9], [0, 0, 0, 1.0]])


def noise(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    *,
    mean: float = 0.0,
    spread: float = 300.0,
    seed: int = 0,
    modality: str | None = None,
) -> Volume:
    """Return a scan (i j k) of independent voxels: no two places look alike."""
    values = np.random.default_rng(seed).normal(mean, spread, shape).astype(np.float32)
    return Volume(values, Grid(shape, affine), modality)


def smooth_noise(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64] = LEFT_FIRST,
    *,
    mean: float = 100.0,
    spread: float = 900.0,
    sigma_vox: float = 1.5,
    modality: str | None = None,
) -> Volume:
    """Return a scan (i j k) of blobs of a few voxels, which survives resampling; `spread` is that before smoothing."""
    values = np.random.default_rng(0).normal(mean, spread, shape)
    return Volume(ndimage.gaussian_filter(values, sigma_vox).astype(np.float32), Grid(shape, affine), modality)
