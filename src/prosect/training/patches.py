"""Training patches, cut out of scans by one affine sampling: crop, zoom and rotation cost a single interpolation."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.training.copies import Copies, synthesize_patch, warped_places
from prosect.training.target_scales import TargetScales, extent_mm

__all__ = ["Patch", "PatchSampler", "PatchSource", "TrainingScan", "mirror"]


@dataclass(frozen=True, eq=False)
class TrainingScan:
    """One scan with what is known about it, voxel axes already nearest to RAS. Arrays may be memory-mapped files.

    Attributes:
        name: Case name, for logs.
        intensities: Scaled to the network's [0, 1] window, float16 (i j k); 0 outside the body is air.
        labels: Local class ids (i j k) unsigned of mutually exclusive structures; 0 is "none of the known ones".
        nested: Bit masks (i j k) unsigned for structures that contain others (body, lung).
        spacing_mm: Voxel spacing.
        present: What can be drawn as patch centres: local ids, and -1 - bit for a nested structure.
        known: Which classes (q) this scan says anything about; the loss of the others is masked.
        supervoxels: Regions (i j k) unsigned for zero-shot training (VISTA3D, Alg. 2), 0 where there are none.
        places: For what is present, some of its voxels (flat indices); None where they have to be looked for.
        origin: Hash of all that the scan was made from; empty where nobody took it.
        sides: Local label by local label on the other side (n), where the scan may be seen in a mirror.
        copies: How its patches are bent or drawn anew; None where they never are.
    """

    name: str
    intensities: NDArray[np.float16]
    labels: NDArray[np.unsignedinteger[Any]]
    nested: NDArray[np.unsignedinteger[Any]]
    spacing_mm: tuple[float, float, float]
    present: tuple[int, ...]
    known: NDArray[np.bool_]
    supervoxels: NDArray[np.unsignedinteger[Any]] | None = None
    places: Mapping[int, NDArray[np.int64]] | None = None
    origin: str = ""
    sides: NDArray[np.int64] | None = None
    copies: Copies | None = None


@dataclass(frozen=True, eq=False)
class Patch:
    """A sampled training patch.

    Attributes:
        image: Intensities (1 1 i j k) from 0 to 1.
        labels: Local ids (i j k) int32.
        nested: Bits (i j k) int32 of structures that contain others.
        known: Classes (q) that the scan says something about.
        supervoxels: Regions (i j k) int32; None where the scan has none.
        scale: The multiple of the working spacing that it is drawn at.
    """

    image: Tensor
    labels: Tensor
    nested: Tensor
    known: Tensor
    supervoxels: Tensor | None = None
    scale: float = 1.0


class PatchSampler:
    """Draw randomly placed, rotated and zoomed patches at the working spacing. Left is not right: see `mirror`.

    Args:
        shape: Patch voxels.
        spacing_mm: Working spacing.
        generator: Source of all randomness.
        max_degrees: Largest rotation about each axis.
        zoom: Smallest and largest magnification.
        foreground: Probability that the centre lies in a labelled structure, drawn evenly over structures.
        turned: Probability that a patch is rotated and zoomed at all.
        scales: At which multiples of the working spacing patches are drawn; None draws all at the working spacing.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing_mm: float,
        generator: np.random.Generator,
        max_degrees: float = 12.0,
        zoom: tuple[float, float] = (0.8, 1.25),
        foreground: float = 0.7,
        turned: float = 1.0,
        scales: TargetScales | None = None,
    ) -> None:
        self.shape, self.spacing_mm, self.generator, self.scales = shape, spacing_mm, generator, scales
        self.max_degrees, self.zoom, self.foreground, self.turned = max_degrees, zoom, foreground, turned

    def __call__(self, scan: TrainingScan) -> Patch:
        """Return one patch of `scan`."""
        flat = self._object(scan)
        # Without scales no number is drawn, so that the patches of older recipes stay the same.
        scale = 1.0
        if self.scales is not None:
            if flat is None:
                extent = None
            else:
                extent = extent_mm(flat, scan.labels.shape, scan.spacing_mm)
            scale = self.scales.draw(extent, self.generator)
        centre = self._centre(scan, flat, scale)
        transform = self._transform() * scale
        copies, g = scan.copies, self.generator
        # A scan without copies draws no more numbers than before there were any, so its patches stay the same.
        places = None
        if copies is not None and g.random() < copies.warp:
            places = warped_places(self.shape, self.spacing_mm, g)
        step = np.abs(transform).max(axis=1) * self.spacing_mm / np.asarray(scan.spacing_mm)
        patch = self._cut(scan, self._voxels(scan, centre, transform, places), step)
        patch = replace(patch, scale=scale)
        if copies is not None and g.random() < copies.synthesis:
            image = synthesize_patch(patch.image, patch.labels, copies, self.spacing_mm, g)
            patch = replace(patch, image=image)
        if scan.sides is not None and g.random() < 0.5:
            return mirror(patch, scan.sides)
        return patch

    def _cut(self, scan: TrainingScan, voxels: NDArray[np.float64], step: NDArray[np.float64]) -> Patch:
        """Return what a scan shows at places (i j k 3) in its voxels, which lie so many voxels (3) apart."""
        box = _box_around(voxels, scan.labels.shape)
        inside, size = voxels - [side.start for side in box], [side.stop - side.start for side in box]
        image = torch.from_numpy(scan.intensities[box].astype(np.float32))[None, None]
        # As float32, which `grid_sample` needs and which holds whole numbers up to 2^24: label values have 16 bits.
        maps = [scan.labels[box], scan.nested[box]]
        if scan.supervoxels is not None:
            maps.append(scan.supervoxels[box])
        integers = torch.from_numpy(np.stack([each.astype(np.float32) for each in maps]))[None]
        image = _averaged_at(image, inside, step)
        grid = _normalised(inside, size)
        sampled = F.grid_sample(integers, grid, mode="nearest", align_corners=True)[0].round().int()
        if scan.supervoxels is None:
            regions = None
        else:
            regions = sampled[2]
        return Patch(image, sampled[0], sampled[1], torch.from_numpy(np.asarray(scan.known)), regions)

    def _object(self, scan: TrainingScan) -> NDArray[np.int64] | None:
        """Return voxels (flat indices) of the object that a patch is drawn around; None for a patch anywhere."""
        g = self.generator
        if scan.present and g.random() < self.foreground:
            wanted = scan.present[int(g.integers(len(scan.present)))]
            flat = _places(scan, wanted)
            if len(flat):
                return flat
        return None

    def _centre(self, scan: TrainingScan, flat: NDArray[np.int64] | None, scale: float) -> NDArray[np.float64]:
        """Return a patch centre in voxels of the scan, near one of some voxels (flat indices), or anywhere."""
        g = self.generator
        if flat is None:
            return np.asarray(g.uniform(0, 1, 3) * (np.asarray(scan.labels.shape) - 1), dtype=np.float64)
        chosen = int(flat[int(g.integers(len(flat)))])
        voxel = np.asarray(np.unravel_index(chosen, scan.labels.shape), dtype=np.float64)
        # Patch and scan have voxels of their own, so the jitter is a share of the patch in voxels of the scan.
        patch_mm = np.asarray(self.shape) * scale * self.spacing_mm
        jitter = g.uniform(-0.3, 0.3, 3) * (patch_mm / np.asarray(scan.spacing_mm))
        return np.asarray(voxel + jitter)

    def _transform(self) -> NDArray[np.float64]:
        """Return a random rotation times zoom (3 3), mm of the patch -> mm of the scan."""
        g = self.generator
        matrix = np.eye(3)
        if self.turned < 1 and g.random() >= self.turned:
            return matrix
        for axis in range(3):
            angle = math.radians(g.uniform(-self.max_degrees, self.max_degrees))
            a, b = [n for n in range(3) if n != axis]
            turn = np.eye(3)
            turn[a, a] = turn[b, b] = math.cos(angle)
            turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
            matrix = matrix @ turn
        # In logarithms, so that twice as large is drawn as often as half as large.
        low, high = (math.log(z) for z in self.zoom)
        zoom = math.exp(g.uniform(low, high)) * np.exp(g.uniform(-0.07, 0.07, 3))
        scaled: NDArray[np.float64] = matrix / zoom
        return scaled

    def _voxels(
        self,
        scan: TrainingScan,
        centre: NDArray[np.float64],
        transform: NDArray[np.float64],
        places: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return where in the scan each voxel of the patch lies (i j k 3), in voxels.

        Args:
            scan: The scan.
            centre: The patch's middle (3), in voxels of the scan.
            transform: Rotation times zoom (3 3), mm of the patch -> mm of the scan.
            places: Where each voxel is read (i j k 3), in mm from the middle; by default where it lies.
        """
        if places is None:
            axes = []
            for n in self.shape:
                axes.append((np.arange(n) - (n - 1) / 2) * self.spacing_mm)
            places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        return np.asarray(centre + places @ transform.T / np.asarray(scan.spacing_mm))


def mirror(patch: Patch, sides: NDArray[np.int64]) -> Patch:
    """Return a patch with its first axis, which runs from left to right, turned around.

    Args:
        patch: A patch.
        sides: See `mirror.other_sides`.
    """
    table = torch.from_numpy(sides)
    across = table[1 : len(patch.known) + 1]
    known = torch.cat([torch.zeros(1, dtype=torch.bool), patch.known])[across]
    labels = table[patch.labels.flip(0).long()].int()
    if patch.supervoxels is None:
        regions = None
    else:
        regions = patch.supervoxels.flip(0)
    return Patch(patch.image.flip(2), labels, patch.nested.flip(0), known, regions)


def _places(scan: TrainingScan, wanted: int) -> NDArray[np.int64]:
    """Return voxels (flat indices) of a local id, or of a nested structure's -1 - bit."""
    if scan.places is not None and wanted in scan.places:
        return scan.places[wanted]
    return np.flatnonzero(scan.labels == wanted if wanted > 0 else (scan.nested >> (-1 - wanted)) & 1)


def _box_around(voxels: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Return the part of a scan that sampling at these places (i j k 3) reads; a corner where they all lie outside."""
    flat = voxels.reshape(-1, 3)
    sides = []
    for low, high, size in zip(flat.min(0), flat.max(0), shape, strict=True):
        # Two planes at least: to `grid_sample` a single one is everywhere.
        start = min(max(math.floor(low) - 1, 0), max(size - 2, 0))
        sides.append(slice(start, max(min(math.ceil(high) + 2, size), start + 2)))
    i, j, k = sides
    return i, j, k


def _averaged_at(image: Tensor, voxels: NDArray[np.float64], step: NDArray[np.float64]) -> Tensor:
    """Return an image (1 1 i j k) at places (i j k 3) in its voxels, as inference would show it at that spacing.

    Where a voxel of the patch spans several of the scan, those are averaged first, see `ResampledImage`.

    Args:
        image: The image.
        voxels: The places.
        step: How many voxels they lie apart on each axis (3).
    """
    spans = []
    for apart, size in zip(step, image.shape[2:], strict=True):
        # Two voxels at least must be left, because to `grid_sample` a single one is everywhere.
        spans.append(max(1, min(int(apart + 1e-6), size // 2)))
    if max(spans) > 1:
        image = F.avg_pool3d(image, tuple(spans), ceil_mode=True, count_include_pad=False)
        voxels = (voxels - (np.asarray(spans) - 1) / 2) / spans
    return F.grid_sample(image, _normalised(voxels, image.shape[2:]), mode="bilinear", align_corners=True)


def _normalised(voxels: NDArray[np.float64], shape: Sequence[int]) -> Tensor:
    """Return the coordinates (1 i j k 3) that `grid_sample` reads, its last axis ordered k, j, i."""
    unit = 2 * voxels / np.maximum(np.asarray(shape) - 1, 1) - 1
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
        """Return one patch; the sampler's generator decides."""
        return self.draw(self.sampler.generator)[1]

    def draw(self, generator: np.random.Generator) -> tuple[str, Patch]:
        """Return the name of a scan and a patch of it; only this generator decides, so threads may draw at once."""
        scan = self.scans[int(generator.choice(len(self.scans), p=self.weights))]
        sampler = copy.copy(self.sampler)
        sampler.generator = generator
        return scan.name, sampler(scan)
