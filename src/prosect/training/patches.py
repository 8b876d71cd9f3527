"""Training patches, cut out of scans by one affine sampling: crop, zoom and rotation cost a single interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Patch", "PatchSampler", "PatchSource", "TrainingScan"]


@dataclass(frozen=True, eq=False)
class TrainingScan:
    """One scan with what is known about it, voxel axes already nearest to RAS.

    Attributes:
        name: Case name, for logs.
        intensities: Scaled to the network's [0, 1] window, float16 (i j k); 0 outside the body is air.
        labels: Local class ids (i j k) uint8 of mutually exclusive structures; 0 is "none of the known ones".
        nested: Bit masks (i j k) uint8 for structures that contain others (body, lung).
        spacing_mm: Voxel spacing.
        present: Local ids that can be drawn as patch centres.
        known: Which classes (q) this scan says anything about; the loss of the others is masked.
    """

    name: str
    intensities: NDArray[np.float16]
    labels: NDArray[np.uint8]
    nested: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    present: tuple[int, ...]
    known: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Patch:
    """A sampled training patch: image (1 1 i j k), labels (i j k), nested bits (i j k), known (q)."""

    image: Tensor
    labels: Tensor
    nested: Tensor
    known: Tensor


class PatchSampler:
    """Draw randomly placed, rotated and zoomed patches at the working spacing. No mirroring: left is not right.

    Args:
        shape: Patch voxels.
        spacing_mm: Working spacing.
        generator: Source of all randomness.
        max_degrees: Largest rotation about each axis.
        zoom: Smallest and largest magnification.
        foreground: Probability that the centre lies in a labelled structure, drawn evenly over structures.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing_mm: float,
        generator: np.random.Generator,
        max_degrees: float = 12.0,
        zoom: tuple[float, float] = (0.8, 1.25),
        foreground: float = 0.7,
    ) -> None:
        self.shape, self.spacing_mm, self.generator = shape, spacing_mm, generator
        self.max_degrees, self.zoom, self.foreground = max_degrees, zoom, foreground

    def __call__(self, scan: TrainingScan) -> Patch:
        """Return one patch of `scan`."""
        grid = self._sampling_grid(scan, self._centre(scan), self._transform())
        image = torch.from_numpy(scan.intensities.astype(np.float32))[None, None]
        integers = torch.from_numpy(np.stack([scan.labels, scan.nested]).astype(np.float32))[None]
        image = F.grid_sample(image, grid, mode="bilinear", align_corners=True)
        labels, nested = F.grid_sample(integers, grid, mode="nearest", align_corners=True)[0].round().to(torch.uint8)
        return Patch(image, labels, nested, torch.from_numpy(scan.known))

    def _centre(self, scan: TrainingScan) -> NDArray[np.float64]:
        """Return a patch centre in voxels of the scan."""
        g = self.generator
        if scan.present and g.random() < self.foreground:
            wanted = scan.present[int(g.integers(len(scan.present)))]
            flat = np.flatnonzero(scan.labels == wanted)
            if len(flat):
                voxel = np.unravel_index(int(flat[int(g.integers(len(flat)))]), scan.labels.shape)
                reach = np.asarray(self.shape) * self.spacing_mm / np.asarray(scan.spacing_mm)
                jitter = g.uniform(-0.3, 0.3, 3) * reach
                centre: NDArray[np.float64] = np.asarray(voxel, dtype=np.float64) + jitter
                return centre
        return np.asarray(g.uniform(0, 1, 3) * (np.asarray(scan.labels.shape) - 1), dtype=np.float64)

    def _transform(self) -> NDArray[np.float64]:
        """Return a random rotation times zoom (3 3), mm of the patch -> mm of the scan."""
        g = self.generator
        matrix = np.eye(3)
        for axis in range(3):
            angle = math.radians(g.uniform(-self.max_degrees, self.max_degrees))
            a, b = [n for n in range(3) if n != axis]
            turn = np.eye(3)
            turn[a, a] = turn[b, b] = math.cos(angle)
            turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
            matrix = matrix @ turn
        low, high = (math.log(z) for z in self.zoom)
        zoom = math.exp(g.uniform(low, high)) * np.exp(g.uniform(-0.07, 0.07, 3))
        scaled: NDArray[np.float64] = matrix / zoom
        return scaled

    def _sampling_grid(self, scan: TrainingScan, centre: NDArray[np.float64], transform: NDArray[np.float64]) -> Tensor:
        """Return the normalised coordinates (1 i j k 3) that `grid_sample` reads, its last axis ordered k, j, i."""
        axes = [(np.arange(n) - (n - 1) / 2) * self.spacing_mm for n in self.shape]
        offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ transform.T
        voxels = centre + offsets / np.asarray(scan.spacing_mm)
        unit = 2 * voxels / np.maximum(np.asarray(scan.labels.shape) - 1, 1) - 1
        return torch.from_numpy(np.ascontiguousarray(unit[..., ::-1], dtype=np.float32))[None]


class PatchSource:
    """Draw a patch of a randomly drawn scan.

    Args:
        scans: Training scans.
        weights: How often each is drawn, in any unit.
        sampler: Cuts patches; its generator draws the scan, too.
    """

    def __init__(self, scans: Sequence[TrainingScan], weights: Sequence[float], sampler: PatchSampler) -> None:
        self.scans, self.sampler = scans, sampler
        self.weights = np.asarray(weights, dtype=np.float64) / np.sum(weights)

    def __call__(self) -> Patch:
        """Return one patch."""
        return self.sampler(self.scans[int(self.sampler.generator.choice(len(self.scans), p=self.weights))])
