"""Segment Anything ready for use: slices of a scan in, pixel features out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.checkpoints.catalog import entry, locate
from prosect.checkpoints.exhaustion import refuse_exhaustion_of_loading
from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fit_sam import fit_sam
from prosect.errors import CheckpointError, ResourceError
from prosect.models.devices import device_named
from prosect.networks.sam import SamFeatures, SliceBranch, TinyVariant, branch_of

__all__ = ["SamModel", "load_sam"]

# official: mean and spread of the natural images it was trained with, in steps of grey from 0 to 255
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# Arrays of the largest size that are alive at once: in attention, in the first stage of MobileSAM, and of the image.
VIT_MAPS, TINY_MAPS, IMAGE_MAPS = 6, 4, 10


@dataclass(frozen=True, eq=False)
class SamModel:
    """A loaded image encoder.

    Attributes:
        network: The network, in evaluation mode on `device`.
        name: Its name.
        weights_sha256: Hash of the weights file.
        device: Where the network runs.
    """

    network: SamFeatures
    name: str
    weights_sha256: str
    device: torch.device

    @cached_property
    def branch(self) -> SliceBranch:
        """How the network runs on its device."""
        return branch_of(self.network, self.device)

    @property
    def slice_bytes(self) -> int:
        """Most bytes that the network holds over one slice, its input included."""
        v = self.network.variant
        pixels = v.image_side**2
        if isinstance(v, TinyVariant):
            widest = TINY_MAPS * 4 * v.dims[0] * pixels // 16
        else:
            # In a block that sees everything, queries and keys carry their row and column along.
            asking = VIT_MAPS * v.heads * (v.dim // v.heads + 2 * v.side)
            widest = v.side**2 * (asking + 2 * v.hidden + 4 * v.dim)
        return 4 * (widest + IMAGE_MAPS * pixels)

    @torch.inference_mode()
    def features(self, slices: Tensor) -> Tensor:
        """Return features (b c f f), on the CPU, of slices (b h w) in [0, 1]; they cover the slices' padded square.

        A slice is padded at its far edges with zeros to a square and resized to what the network was trained with.
        Differs from stock Segment Anything, which pads after normalising: here, as in VISTA3D's code, the padding
        is air. Slices that do not fit in a GPU's memory together are taken one by one.

        Raises:
            ResourceError: A single slice does not fit in the GPU's memory (`GPU_MEMORY`).
        """
        try:
            step = self.branch.batch or len(slices)
            batches = []
            for batch in torch.split(slices, step):
                batches.append(self._features(batch))
            return torch.cat(batches)
        except torch.OutOfMemoryError as error:
            if len(slices) == 1:
                raise ResourceError(
                    "The GPU ran out of memory over one slice; use --device cpu or a smaller encoder.",
                    code="GPU_MEMORY",
                ) from error
        return torch.cat([self.features(one[None]) for one in slices])

    def _features(self, slices: Tensor) -> Tensor:
        _, height, width = slices.shape
        square = max(height, width)
        padded = F.pad(slices.to(self.device)[:, None], (0, square - width, 0, square - height))
        side = self.network.variant.image_side
        grey = 255 * F.interpolate(padded, size=(side, side), mode="bilinear", align_corners=False)
        mean, spread = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (MEAN, SPREAD))
        return self.branch.features((grey - mean) / spread).float().cpu()


@refuse_exhaustion_of_loading()
def load_sam(name: str, weights: str | Path | None = None, device: str = "auto") -> SamModel:
    """Return an image encoder ready for use.

    Args:
        name: `sam-vit-h`, `sam-vit-l`, `sam-vit-b` or `mobile-sam`.
        weights: An official file, or one trained on from it under the same keys; its size is read from it. None takes
            the installed ones.
        device: As in `prosect.load`.

    Raises:
        CheckpointError: The name is unknown, or the weights are missing, unsafe, damaged or another network's.
        ResourceError: The device is not there, or memory is not sufficient (`GPU_MEMORY`, `MEMORY_EXHAUSTED`).
    """
    if entry(name).network != "sam":
        raise CheckpointError(f"'{name}' is no Segment Anything encoder.", code="MODEL_WRONG_NETWORK")
    placed = device_named(device)
    network, report = fit_sam(read_weights(weights if weights is not None else locate(name)))
    return SamModel(network.to(placed), name, report.sha256, placed)
