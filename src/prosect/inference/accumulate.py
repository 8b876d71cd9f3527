"""Blend overlapping windows of features in one slab of memory.

Windows are visited in order of their start along the sweep axis. As soon as no later window can touch a plane, it is
finished: divided by its weight, handed out, and its memory used again. What is blended are features, not class logits:
logits are linear in them, so the answer is the same and its cost does not depend on the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.inference.windows import Blending, WindowPlan, blend_weights
from prosect.progress import Watch

__all__ = ["PLANES", "FeatureFunction", "Padding", "Slab", "pad_volume", "releasing", "sweep"]

# Planes handed out at once: few, so that what is made of them takes little memory.
PLANES = 16

FeatureFunction = Callable[[Tensor], Tensor]
Padding = Literal["constant", "replicate"]


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished planes along the sweep axis.

    Attributes:
        start: Index of the first plane in the volume (before padding).
        features: Blended features (p a b c): planes, the two other axes in order, channels. Valid until the next slab.
    """

    start: int
    features: Tensor


def pad_volume(image: Tensor, plan: WindowPlan, padding: Padding) -> Tensor:
    """Return the image (1 1 i j k) padded as planned, by zeros (air) or by its border values."""
    pads = [n for pair in zip(plan.pad_before[::-1], plan.pad_after[::-1], strict=True) for n in pair]
    if not any(pads):
        return image
    if padding == "replicate":
        return F.pad(image, pads, mode="replicate")
    return F.pad(image, pads)


def sweep(
    image: Tensor,
    plan: WindowPlan,
    features: FeatureFunction,
    channels: int,
    *,
    blending: Blending = "constant",
    padding: Padding = "constant",
    batch: int = 1,
    accumulate_on: torch.device | None = None,
    watch: Watch | None = None,
) -> Iterator[Slab]:
    """Yield the blended features of a volume slab by slab, along `plan.sweep_axis`.

    Args:
        image: Network input (1 1 i j k).
        plan: Window placement.
        features: Maps windows (b 1 i j k) to features (b c i j k).
        channels: Number of feature channels.
        blending: Weights of a window's voxels.
        padding: How a volume smaller than a window is extended.
        batch: Windows per call of `features`.
        accumulate_on: Where features are blended and handed out; by default where the image is.
        watch: Told of each window; what it raises ends the sweep.
    """
    axis = plan.sweep_axis
    image = pad_volume(image, plan, padding)
    where = accumulate_on or image.device
    weights = blend_weights(plan.window, blending).to(where).movedim(axis, 0).contiguous()
    buffer = _Ring(plan, axis, channels, where)
    cached = _SharedAir(features, _is_air(image, plan))
    starts = plan.starts[axis]
    others = [s for a, s in enumerate(plan.starts) if a != axis]
    done = 0
    for n, start in enumerate(starts):
        corners = [(start, *rest) for rest in product(*others)]
        for first in range(0, len(corners), batch):
            group = corners[first : first + batch]
            windows = torch.cat([_window(image, plan.window, _unswept(corner, axis)) for corner in group])
            for corner, feature in zip(group, cached(windows), strict=True):
                buffer.add(corner, feature.to(where).movedim(0, -1).movedim(axis, 0), weights)
            done += len(group)
            if watch is not None:
                watch(done, plan.count)
        yield from buffer.finish(start, starts[n + 1] if n + 1 < len(starts) else plan.padded[axis])


def releasing(slabs: Iterator[Slab], release: Callable[[], None]) -> Iterator[Slab]:
    """Yield slabs, and return memory that is kept between windows when they end, or nobody asks for more."""
    try:
        yield from slabs
    finally:
        release()


def _unswept(corner: Sequence[int], axis: int) -> tuple[int, ...]:
    """Return a window corner in volume axis order; it is stored sweep axis first."""
    rest = list(corner[1:])
    rest.insert(axis, corner[0])
    return tuple(rest)


def _window(image: Tensor, window: Sequence[int], corner: Sequence[int]) -> Tensor:
    i, j, k = (slice(c, c + n) for c, n in zip(corner, window, strict=True))
    return image[:, :, i, j, k]


def _is_air(image: Tensor, plan: WindowPlan) -> list[bool]:
    """Return of each window, in the order of the sweep, whether it shows nothing.

    All at once, because a GPU is waited for once then: asked window by window it would idle in between.
    """
    axis = plan.sweep_axis
    others = list(plan.starts)
    del others[axis]
    shown = []
    for corner in product(plan.starts[axis], *others):
        shown.append(_window(image, plan.window, _unswept(corner, axis)).any())
    return torch.stack(shown).logical_not().tolist()


class _SharedAir:
    """Evaluate windows; those without any signal share one evaluation, which is exact because they are equal."""

    def __init__(self, features: FeatureFunction, empty: Sequence[bool]) -> None:
        self._features = features
        self._empty = iter(empty)
        self._air: Tensor | None = None

    def __call__(self, windows: Tensor) -> list[Tensor]:
        """Return the features of the next windows (b 1 i j k) of a sweep."""
        empty = list(islice(self._empty, len(windows)))
        full = []
        for number, is_empty in enumerate(empty):
            if not is_empty:
                full.append(number)
        shown = windows
        if len(full) < len(empty):
            shown = windows[full]
        computed: Iterator[Tensor] = iter(())
        if full:
            computed = iter(self._features(shown))
        found = []
        for number, is_empty in enumerate(empty):
            if not is_empty:
                found.append(next(computed))
                continue
            if self._air is None:
                self._air = self._features(windows[number][None])[0]
            found.append(self._air)
        return found


class _Ring:
    """As many planes as a window is deep; plane p of the padded volume lives at p modulo the depth.

    The sweep axis comes first, so that finished planes lie together in memory.
    """

    def __init__(self, plan: WindowPlan, axis: int, channels: int, device: torch.device) -> None:
        self.axis, self.plan = axis, plan
        self.depth = plan.window[axis]
        plane = []
        for a, n in enumerate(plan.padded):
            if a != axis:
                plane.append(n)
        self.sum = torch.zeros(self.depth, *plane, channels, device=device)
        self.weight = torch.zeros(self.depth, *plane, device=device)

    def add(self, corner: Sequence[int], feature: Tensor, weights: Tensor) -> None:
        """Add a window's features (p a b c), weighted, at its corner (sweep axis first)."""
        start, *rest = corner
        a, b = (slice(c, c + n) for c, n in zip(rest, feature.shape[1:3], strict=True))
        for first, last in self._segments(start, start + self.depth):
            ring = slice(first % self.depth, first % self.depth + last - first)
            planes = slice(first - start, last - start)
            weight = weights[planes]
            self.sum[ring, a, b].addcmul_(feature[planes].float(), weight.unsqueeze(-1))
            self.weight[ring, a, b] += weight

    def finish(self, start: int, stop: int) -> Iterator[Slab]:
        """Yield the finished planes [start, stop) of the padded volume that belong to the volume, and clear them."""
        before = self.plan.pad_before[self.axis]
        low, high = before, before + self.plan.shape[self.axis]
        inner = []
        for p, n in zip(self.plan.pad_before, self.plan.shape, strict=True):
            inner.append(slice(p, p + n))
        a, b = (s for axis, s in enumerate(inner) if axis != self.axis)
        # Planes of the padding are not handed out, but cleared like all others: their places are used again.
        for first, last in self._segments(max(start, low), min(stop, high), most=PLANES):
            ring = slice(first % self.depth, first % self.depth + last - first)
            planes = self.sum[ring].div_(self.weight[ring].unsqueeze(-1))
            yield Slab(first - before, planes[:, a, b])
        for first, last in self._segments(start, stop):
            ring = slice(first % self.depth, first % self.depth + last - first)
            self.sum[ring] = 0
            self.weight[ring] = 0

    def _segments(self, start: int, stop: int, most: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield [first, last) runs of planes that are contiguous in the ring, none longer than `most`."""
        while start < stop:
            turn = (start // self.depth + 1) * self.depth  # where the ring begins again
            end = min(stop, turn, start + (most or self.depth))
            yield start, end
            start = end
