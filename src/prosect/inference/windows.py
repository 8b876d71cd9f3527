"""Where windows are placed, how they blend, and in which order they are swept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Blending", "Shape", "WindowPlan", "blend_weights", "fit_window", "plan_windows"]

Shape = tuple[int, int, int]
Blending = Literal["constant", "gaussian"]


@dataclass(frozen=True)
class WindowPlan:
    """The placement of windows over a padded volume.

    Attributes:
        shape: Volume before padding.
        pad_before: Padding in front of each axis.
        padded: Volume after padding; at least one window along each axis.
        window: Shape of a window.
        starts: Window starts along each axis of the padded volume; the windows are their product.
    """

    shape: Shape
    pad_before: Shape
    padded: Shape
    window: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of windows."""
        return math.prod(len(s) for s in self.starts)

    @property
    def pad_after(self) -> Shape:
        """Padding behind each axis."""
        a, b, c = (p - n - q for p, n, q in zip(self.padded, self.shape, self.pad_before, strict=True))
        return a, b, c

    @property
    def sweep_axis(self) -> int:
        """The axis to sweep along: the longest, so that the slab in memory has the smallest cross-section."""
        return max(range(3), key=lambda axis: (self.padded[axis] - self.window[axis], self.padded[axis]))


def plan_windows(shape: Shape, window: Shape, overlap: float) -> WindowPlan:
    """Return the official placement: a fixed stride, the last window shifted back to end at the border.

    Args:
        shape: Volume.
        window: Window; a shorter volume is padded to it, evenly on both sides.
        overlap: Share of a window that the next one repeats, 0 <= overlap < 1.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}; it must be at least 0 and less than 1")
    padded = tuple(max(n, r) for n, r in zip(shape, window, strict=True))
    before = tuple((p - n) // 2 for p, n in zip(padded, shape, strict=True))
    starts = tuple(_axis_starts(n, r, overlap) for n, r in zip(padded, window, strict=True))
    return WindowPlan(shape, before, padded, window, starts)  # type: ignore[arg-type]


def fit_window(shape: Shape, window: Shape, least: Shape, divisor: int, overlap: float) -> Shape:
    """Return the window that a volume is to be swept with, at most the given one along each axis.

    A volume shorter than the window takes a window of its own length. A longer one takes the smallest window with which
    it needs no more of them: two windows of 64 over 70 voxels would do nearly all of the work twice.

    Args:
        shape: Volume.
        window: The largest window.
        least: The smallest that a longer volume may take; the largest itself where the network knows no other.
        divisor: Windows are multiples of it.
        overlap: See `plan_windows`.
    """
    fitted = []
    for size, most, fewest in zip(shape, window, least, strict=True):
        if size <= most:
            # Two strides at least: an instance norm over a single voxel is not defined.
            fitted.append(min(most, max(math.ceil(size / divisor), 2) * divisor))
            continue
        count = len(_axis_starts(size, most, overlap))
        smaller = range(math.ceil(fewest / divisor) * divisor, most, divisor)
        enough = (length for length in smaller if len(_axis_starts(size, length, overlap)) <= count)
        fitted.append(next(enough, most))
    a, b, c = fitted
    return a, b, c


def _axis_starts(size: int, window: int, overlap: float) -> tuple[int, ...]:
    if size == window:
        return (0,)
    # official: cut off and not rounded; where an overlap leaves no stride, one voxel.
    stride = max(int(window * (1 - overlap)), 1)
    count = math.ceil((size - window) / stride) + 1
    return tuple(min(n * stride, size - window) for n in range(count))


def blend_weights(window: Shape, blending: Blending) -> Tensor:
    """Return the weight (i j k) of every voxel of a window.

    Gaussian: sigma is an eighth of the window, floored at 1e-3 so that the outermost voxels still count.
    """
    if blending == "constant":
        return torch.ones(window)
    weights = torch.ones(1)
    for n in window:
        x = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        weights = weights.unsqueeze(-1) * torch.exp(-(x**2) / (2 * (0.125 * n) ** 2))
    weights = weights.squeeze(0)
    return weights.clamp(min=max(float(weights.min()), 1e-3))
