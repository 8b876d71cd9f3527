"""What supervoxels are cut from: features of every cell, by Segment Anything, by our own encoder, or by intensity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prosect.checkpoints.catalog import entry
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.models import device_named, load
from prosect.models.protocols import GivesFeatures, require_features
from prosect.models.sam import SamModel, load_sam
from prosect.networks.sam import SAM_VARIANTS, SamFeatures
from prosect.networks.without_values import without_values
from prosect.progress import Watch
from prosect.resample import interpolate_along, linear_weights
from prosect.supervoxels.views import BATCH, add_views
from prosect.supervoxels.working import Working
from prosect.volume import Volume

__all__ = ["ENCODERS", "Encoder", "IntensityEncoder", "ModelEncoder", "SamEncoder", "load_encoder", "planned_encoder"]

Shape = tuple[int, int, int]

# What distance weighs against features of unit spread. Of 0.15 to 1.5, the best for how well supervoxels explain the
# structures of eight scans: heads and necks, a torso, thighs, spines and a hippocampus.
COMPACTNESS = 0.4
# Maps of a batch of features that are alive at once while they are brought onto the cells.
VIEW_MAPS = 4
# HU from -160 to 240, where organs differ, as shares of the window of -1000 to 1000.
SOFT_TISSUE = (0.42, 0.62)


class Encoder(Protocol):
    """What Algorithm 2 needs of a source of features."""

    @property
    def identity(self) -> dict[str, str]:
        """What decides its features."""

    @property
    def channels(self) -> int:
        """Features per cell."""

    def bytes_beside(self, grid: Grid, shape: Shape) -> int:
        """Return the most bytes that `add_to` holds beside the features."""

    def add_to(self, features: Tensor, working: Working, watch: Watch | None = None) -> None:
        """Add the features of a scan to `features` (i j k c) on its working grid, in place."""

    def balance(self, features: Tensor, body: Tensor) -> float:
        """Weigh the features of the body's cells against each other, in place; return SLIC's compactness for them."""


@dataclass(frozen=True, eq=False)
class SamEncoder:
    """Segment Anything, slice by slice in three orientations (VISTA3D, Alg. 2)."""

    model: SamModel

    @property
    def identity(self) -> dict[str, str]:
        """Name and weights."""
        return {"encoder": self.model.name, "weights_sha256": self.model.weights_sha256}

    @property
    def channels(self) -> int:
        """Channels of the upscaling layers: 32 in every published size."""
        return self.model.network.channels

    def bytes_beside(self, grid: Grid, shape: Shape) -> int:
        """Return what a batch of slices with its features takes, and on a processor the network over one slice."""
        padded_slice = max(grid.shape) ** 2
        pixel_features = self.channels * self.model.network.variant.feature_side**2
        batch_bytes = 4 * BATCH * (2 * padded_slice + VIEW_MAPS * pixel_features)
        if self.model.branch.in_main_memory:
            return batch_bytes + self.model.slice_bytes
        return batch_bytes

    def add_to(self, features: Tensor, working: Working, watch: Watch | None = None) -> None:
        """Add the features of all slices."""
        add_views(working, self.model, features, watch)

    def balance(self, features: Tensor, body: Tensor) -> float:
        """Leave the features as they are: Algorithm 2 sums them, and the released code's compactness is 0.01."""
        return 0.01


@dataclass(frozen=True, eq=False)
class ModelEncoder:
    """The features of a segmentation model's automatic decoder, on which its classes are decided, and intensities.

    What a model was trained for is explained best by its own features, anything else by intensity; together they are
    as good as the better of the two (docs/supervoxels.md). A model made for CT is shown other scans as if their window
    were its own.
    """

    model: GivesFeatures

    @property
    def identity(self) -> dict[str, str]:
        """Model, weights and profile."""
        return {"encoder": "features", **self.model.identity}

    @property
    def channels(self) -> int:
        """Width of the decoder, and the intensities."""
        return self.width + INTENSITIES.channels

    @property
    def width(self) -> int:
        """Width of the decoder."""
        return self.model.channels

    def bytes_beside(self, grid: Grid, shape: Shape) -> int:
        """Return what the sweep takes."""
        parts = self.model.plan(grid).parts
        return max(parts["preparing"], parts["prepared"] + parts["slab"] + parts["window"])

    @torch.inference_mode()
    def add_to(self, features: Tensor, working: Working, watch: Watch | None = None) -> None:
        """Add the features, interpolated plane by plane as slabs of them are finished, and the intensities."""
        INTENSITIES.add_to(features[..., self.width :], working)
        grid, axis, slabs = self.model.features(self._model_input(working), watch)
        # Both grids run along the same axes, so one axis of cells depends on one axis of the network.
        to_network = np.linalg.solve(grid.affine, working.grid.affine).round(9)
        positions = [np.arange(n) * to_network[a, a] + to_network[a, 3] for a, n in enumerate(working.shape)]
        in_plane = []
        for a, position in enumerate(positions):
            if a != axis:
                in_plane.append(position)
        lower, upper, weight = linear_weights(positions[axis], grid.shape[axis])
        planes = features[..., : self.width].movedim(axis, 0)
        waiting, last = np.ones(len(lower), dtype=bool), None
        for slab in slabs:
            start, block = slab.start, slab.features
            if last is not None:
                start, block = start - 1, torch.cat([last, block])
            for n in np.flatnonzero(waiting & (upper < start + len(block))):
                plane = torch.lerp(block[lower[n] - start], block[upper[n] - start], float(weight[n]))
                plane = interpolate_along(interpolate_along(plane, 0, in_plane[0]), 1, in_plane[1])
                planes[n] += plane.cpu()
                waiting[n] = False
            last = block[-1:].clone()

    def balance(self, features: Tensor, body: Tensor) -> float:
        """Give the decoder's features together as much weight as the intensities together."""
        return balance_channels(features, body, (slice(0, self.width), slice(self.width, None)))

    def _model_input(self, working: Working) -> Volume:
        """Return the scan as the model is to see it."""
        volume, wanted = working.volume, self.model.spec.intensity
        if volume.is_ct or wanted.kind != "window":
            return volume
        scaled = working.window.scale(torch.from_numpy(volume.array.copy()))
        array = scaled.mul_(wanted.high - wanted.low).add_(wanted.low).numpy()
        return Volume(array, volume.grid, volume.modality, volume.source)


@dataclass(frozen=True)
class IntensityEncoder:
    """Intensities alone, in the whole window and, in CT, in that of soft tissue; needs no weights."""

    channels: int = 2

    @property
    def identity(self) -> dict[str, str]:
        """Its name."""
        return {"encoder": "intensity"}

    def bytes_beside(self, grid: Grid, shape: Shape) -> int:
        """Return what scaling takes."""
        return 8 * math.prod(shape)

    def add_to(self, features: Tensor, working: Working, watch: Watch | None = None) -> None:
        """Add the intensities."""
        image = working.case.image[0, 0]
        features[..., 0] += image
        if working.volume.is_ct:
            low, high = SOFT_TISSUE
        else:
            low, high = (0.0, 1.0)
        features[..., 1] += image.sub(low).div_(high - low).clamp_(0, 1)
        if watch is not None:
            watch(1, 1)

    def balance(self, features: Tensor, body: Tensor) -> float:
        """Give the intensities unit spread."""
        return balance_channels(features, body, (slice(None),))


INTENSITIES = IntensityEncoder()


def balance_channels(features: Tensor, body: Tensor, groups: Sequence[slice]) -> float:
    """Give each group of channels unit variance in all over the body, in place; return SLIC's compactness.

    SLIC scales features to their range, which one extreme cell decides; the compactness makes up for that.
    """
    low, high = float("inf"), float("-inf")
    for group in groups:
        channels = features[..., group]
        spread = sum(float(channel[body].double().var(correction=0)) for channel in channels.unbind(-1)) ** 0.5
        if spread > 0:
            channels /= spread
        for channel in channels.unbind(-1):
            low, high = min(low, float(channel[body].min())), max(high, float(channel[body].max()))
    if high > low:
        return COMPACTNESS / (high - low)
    return COMPACTNESS


ENCODERS = ("sam-vit-h", "sam-vit-l", "sam-vit-b", "mobile-sam", "features", "intensity")


def planned_encoder(name: str = "features", weights: str | Path | None = None, device: str = "auto") -> Encoder:
    """Return an encoder to plan with: Segment Anything's need not be on this machine, and then have no weights.

    Arguments and errors are those of `load_encoder`.
    """
    if weights is not None or name not in SAM_VARIANTS:
        return load_encoder(name, weights, device)
    with without_values():
        network = SamFeatures(SAM_VARIANTS[name])
    return SamEncoder(SamModel(network, name, "", device_named(device)))


def load_encoder(name: str = "features", weights: str | Path | None = None, device: str = "auto") -> Encoder:
    """Return an encoder by name, to be used for many scans.

    Args:
        name: One of `ENCODERS`. `features` is the shipped model that trainings begin with, or that of `weights`.
        weights: A weights file; None takes the installed ones.
        device: As in `prosect.load`.

    Raises:
        PromptError: There is no such encoder (`ENCODER_UNKNOWN`), or it takes no weights.
        CheckpointError: The weights are missing, unsafe, damaged or another network's.
        ResourceError: The device is not there.
    """
    if name not in ENCODERS:
        raise PromptError(f"There is no encoder '{name}'; choose one of {', '.join(ENCODERS)}.", code="ENCODER_UNKNOWN")
    if name == "features":
        model = None
        if weights is None:
            model = entry(None).name
        return ModelEncoder(require_features(load(model, weights, device)))
    if name != "intensity":
        return SamEncoder(load_sam(name, weights, device))
    if weights is not None:
        raise PromptError("The encoder 'intensity' takes no weights; leave them out.", code="ENCODER_UNKNOWN")
    return IntensityEncoder()
