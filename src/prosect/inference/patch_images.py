"""What a patch shows: cut from a scan that was made ready as a whole, or resampled for the patch alone.

At the model's own spacing a scan is resampled once, as the official code does. At any other spacing most of a scan is
never looked at, and a fine one would not fit in memory, so only the voxels under a patch are resampled.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.case import Case, Intensity, Placement
from prosect.inference.accumulate import Padding, pad_volume
from prosect.inference.windows import WindowPlan
from prosect.resample import interpolate_along, resample_affine

__all__ = ["PaddedImage", "PatchImage", "ResampledImage"]

Start = tuple[int, int, int]
Array = NDArray[np.float32]


class PatchImage(Protocol):
    """What cuts patches out of a scan."""

    def patch(self, start: Start) -> Tensor:
        """Return the image of a patch (1 1 i j k), in [0, 1], from its first voxel on the padded network grid."""


class PaddedImage:
    """Patches of a scan that was made ready as a whole.

    Args:
        case: The scan made ready.
        plan: How it is padded; its `window` is the patch.
        padding: What it is padded with.
    """

    def __init__(self, case: Case, plan: WindowPlan, padding: Padding) -> None:
        self._plan = plan
        self._image = pad_volume(case.image, plan, padding)

    def patch(self, start: Start) -> Tensor:
        """Return the image of a patch; see `PatchImage`."""
        i, j, k = (slice(s, s + n) for s, n in zip(start, self._plan.window, strict=True))
        return self._image[:, :, i, j, k].contiguous()


class ResampledImage:
    """Patches that are resampled one by one; the border of the scan is repeated beyond it.

    Where a voxel of the network spans several of the scan, those are averaged first: a voxel picked out of every four
    would show grain that no scan of that spacing has.

    Args:
        array: The scan's intensities (i j k) as stored.
        placement: Where the network grid lies in it.
        plan: How that grid is padded; its `window` is the patch.
        intensity: How intensities are scaled, without percentiles; see `Intensity.settle`.
        device: Where patches are needed.
    """

    def __init__(
        self, array: Array, placement: Placement, plan: WindowPlan, intensity: Intensity, device: torch.device
    ) -> None:
        self._array = placement.order.apply(array)
        self._placement, self._plan, self._intensity, self._device = placement, plan, intensity, device

    def patch(self, start: Start) -> Tensor:
        """Return the image of a patch; see `PatchImage`."""
        first = np.subtract(start, self._plan.pad_before)
        if self._placement.is_separable:
            resample = self._along_axes
        else:
            resample = self._through_matrix
        image = resample(first)
        return self._intensity.scale(image)[None, None].contiguous().to(self._device)

    def _along_axes(self, first: NDArray[np.int64]) -> Tensor:
        """Return intensities (i j k) of the patch that begins at a voxel of the network grid before padding."""
        inverse = np.asarray(np.linalg.inv(self._placement.to_prepared))
        places, cuts = [], []
        for axis, size in enumerate(self._array.shape):
            step = float(inverse[axis, axis])
            place = (first[axis] + np.arange(self._plan.window[axis])) * step + inverse[axis, 3]
            # One network voxel more on both sides, for the average at the faces.
            low = int(np.clip(np.floor(place[0] - step), 0, size - 1))
            high = int(np.clip(np.ceil(place[-1] + step) + 1, low + 1, size))
            places.append(place - low)
            cuts.append(slice(low, high))
        image = torch.from_numpy(np.array(self._array[tuple(cuts)], dtype=np.float32, order="C"))
        for axis in range(3):
            image = _average(image, axis, _odd(float(inverse[axis, axis])))
            image = interpolate_along(image, axis, places[axis])
        return image

    def _through_matrix(self, first: NDArray[np.int64]) -> Tensor:
        """Return the same for a grid that is sheared against the scan."""
        moved = np.eye(4)
        moved[:3, 3] = first
        matrix = np.asarray(np.linalg.inv(self._placement.to_prepared) @ moved)
        return resample_affine(np.asarray(self._array), matrix, self._plan.window)


def _odd(step: float) -> int:
    """Return the odd number nearest to a step: an even number of voxels has its middle between two."""
    return max(2 * round((step - 1) / 2) + 1, 1)


def _average(image: Tensor, axis: int, count: int) -> Tensor:
    """Return an image (i j k) averaged over an odd number of voxels along an axis; the border is repeated."""
    if count < 2:
        return image
    size = image.shape[axis]
    # Sums up to each voxel, so that one average costs two reads whatever the count.
    places = torch.arange(-(count // 2) - 1, size + count - count // 2 - 1).clamp(0, size - 1)
    # In float64, which is there: the scan lies on the processor.
    sums = image.index_select(axis, places).double().cumsum(axis)
    return ((sums.narrow(axis, count, size) - sums.narrow(axis, 0, size)) / count).to(image.dtype)
