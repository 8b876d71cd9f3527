"""A stack of slices per orientation through a 2D network, its features summed in place (VISTA3D, Alg. 2)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from prosect.progress import Watch
from prosect.resample import interpolate_along
from prosect.supervoxels.working import Working

__all__ = ["BATCH", "SliceNetwork", "add_views"]

# official: eight slices at a time
BATCH = 8


class SliceNetwork(Protocol):
    """What the views need of a network."""

    def features(self, slices: Tensor) -> Tensor:
        """Return features (b c f f) of slices (b h w) in [0, 1]; they cover the slices padded at the far edges to a
        square."""


@torch.inference_mode()
def add_views(working: Working, network: SliceNetwork, features: Tensor, watch: Watch | None = None) -> None:
    """Add the features of sagittal, coronal and axial slices to `features` (i j k c) on the working grid, in place.

    One slice goes through each plane of cells, at the scan's own resolution. What is alive beside `features` is one
    batch: its slices and their features.

    Args:
        working: The scan.
        network: Gives features of slices.
        features: What is added to.
        watch: Told of each slice.
    """
    done = 0
    for axis in range(3):
        rows, columns = (working.positions(other) for other in range(3) if other != axis)
        planes = features.movedim(axis, 0)
        for first in range(0, working.shape[axis], BATCH):
            numbers = range(first, min(first + BATCH, working.shape[axis]))
            slices = torch.stack([working.plane(axis, n) for n in numbers])
            maps = network.features(slices)
            # A pixel of the features covers as much of the square as every other; its centre is half a pixel in.
            scale = maps.shape[2] / max(slices.shape[1:])
            maps = interpolate_along(maps, 2, (rows + 0.5) * scale - 0.5)
            maps = interpolate_along(maps, 3, (columns + 0.5) * scale - 0.5)
            planes[first : first + len(numbers)] += maps.permute(0, 2, 3, 1)
            done += len(numbers)
            if watch is not None:
                watch(done, sum(working.shape))
