"""Convolutions of arrays of any size by the library that is made for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["HAS_ONEDNN", "convolve"]

HAS_ONEDNN = cast(Callable[[], bool], torch.backends.mkldnn.is_available)()


def convolve(x: Tensor, weight: Tensor, padding: Sequence[int], stride: int = 1) -> Tensor:
    """Return the convolution of one array (1 c ...) without bias.

    `F.conv3d` sends arrays of few values (c * i * j up to 20,480) to a path that is up to 15 times as slow: such are
    the coarse levels of a network, and the blocks that fit a cache.
    """
    if not HAS_ONEDNN:
        if x.dim() == 5:
            function = F.conv3d
        else:
            function = F.conv2d
        return function(x, weight, stride=stride, padding=tuple(padding))
    ones = [1] * len(padding)
    out: Tensor = torch.mkldnn_convolution(x, weight, None, list(padding), [stride] * len(padding), ones, 1)
    return out
