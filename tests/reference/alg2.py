"""Algorithm 2 of VISTA3D up to the cut, as the paper words it: three stacks of slices, three volumes, one sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SliceFeatures = Callable[[Tensor], Tensor]


def features_3d(image: Tensor, network: SliceFeatures) -> Tensor:
    """Return F_A + F_C + F_S (c i j k) of a scan (i j k) in [0, 1], slice by slice at its own resolution.

    Args:
        image: The scan.
        network: Features (1 c f f) of one slice (1 h w), over the square to which the slice is padded.
    """
    sagittal = torch.stack([of_slice(image[i], network) for i in range(image.shape[0])], dim=1)
    coronal = torch.stack([of_slice(image[:, j], network) for j in range(image.shape[1])], dim=2)
    axial = torch.stack([of_slice(image[:, :, k], network) for k in range(image.shape[2])], dim=3)
    return sagittal + coronal + axial


def of_slice(image: Tensor, network: SliceFeatures) -> Tensor:
    """Return the features (c h w) of every pixel of one slice (h w)."""
    height, width = image.shape
    square = max(height, width)
    small = network(image[None])
    large = F.interpolate(small, size=(square, square), mode="bilinear", align_corners=False)
    return large[0, :, :height, :width]
