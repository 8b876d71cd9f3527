"""From blended features to labels on the scan's own grid.

Class logits are linear in the features, and so is interpolation. The linear result on the scan's grid is therefore
the argmax of interpolated logits, which gives smooth borders at native resolution. It is computed exactly but cheaply:
where the eight network voxels around a scan voxel agree, their interpolation agrees too, so only the voxels at a
border need the full computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.case import Case
from prosect.inference.accumulate import Slab
from prosect.resample import linear_weights

__all__ = ["CHUNK", "Classes", "Interpolation", "NativePainter", "NearestPainter", "decide"]

Interpolation = Literal["linear", "nearest"]

# Voxels per product with the class vectors: small enough for the logits to stay in cache.
CHUNK = 16384
# Voxels between different decisions that are interpolated at once, and scan planes that are painted at once: so few
# that they take little memory.
MIXED, PLANES = 65536, 16


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of one flat label map.

    Attributes:
        vectors: Class vectors (q c); the logit is their dot product with the features.
        values: Label value of each class (q); 0 is a rival that is decided on and not shown.
        tiers: Precedence of each class (q): a positive class of a higher tier covers those below, within a tier the
            largest logit wins. All equal repeats the official rule, under which a vessel inside the liver vanishes.
    """

    vectors: Tensor
    values: tuple[int, ...]
    tiers: tuple[int, ...]

    def labels(self, codes: Tensor, dtype: Any) -> NDArray[Any]:
        """Return the label values of decisions, of the same shape."""
        table = np.array([0, *self.values], dtype=dtype)
        return np.asarray(table[(codes % len(table)).cpu().numpy()])


def decide(logits: Tensor, tiers: Sequence[int], values: Sequence[int] | None = None) -> Tensor:
    """Return a code (m) for the decision at each voxel, from class logits (q m).

    The code modulo q + 1 is what is shown: the number of the class, counted from 1, or 0 for background. Tiers are
    decided from the lowest to the highest, and within a tier the largest logit wins if it is positive.

    A class of value 0 is a rival: it is decided on and not shown. Where a rival wins, what a lower tier decided stays
    shown, such as the body around it, and the code is larger by q + 1 times the rival's number. So two voxels have
    one code only where the same class won, which is what makes it right to skip interpolation between them.

    Args:
        logits: One row per class.
        tiers: Precedence of each class.
        values: Label value of each class; without it no class is a rival.
    """
    classes, voxels = logits.shape
    if values is None:
        values = [1] * classes
    shown = torch.tensor([value != 0 for value in values], device=logits.device)
    code = torch.zeros(voxels, dtype=torch.int64, device=logits.device)
    for tier in sorted(set(tiers)):
        member = [number for number, its_tier in enumerate(tiers) if its_tier == tier]
        if len(member) == classes:  # picking all rows would copy them
            best, index = logits.max(dim=0)
        else:
            best, index = logits[member].max(dim=0)
            index = torch.tensor(member, device=logits.device)[index]
        number = index + 1
        beneath = code % (classes + 1)
        won = torch.where(shown[index], number, beneath + number * (classes + 1))
        code = torch.where(best > 0, won, code)
    return code


def _codes(rows: Tensor, classes: Classes) -> Tensor:
    """Return the decisions (m) for features (m c), chunk by chunk."""
    if 0 in classes.values:
        largest = (len(classes.values) + 1) ** 2
    else:
        largest = len(classes.values)
    out = torch.empty(rows.shape[0], dtype=torch.int16 if largest < 1 << 15 else torch.int32, device=rows.device)
    for first in range(0, rows.shape[0], CHUNK):
        part = rows[first : first + CHUNK]
        out[first : first + CHUNK] = decide(classes.vectors @ part.T, classes.tiers, classes.values)
    return out


class NearestPainter:
    """Collect labels on network voxels; the scan's voxels take their nearest neighbour (official behaviour)."""

    def __init__(self, case: Case, axis: int, classes: Classes, dtype: type[np.generic]) -> None:
        self._case, self._axis, self._classes = case, axis, classes
        self._prepared = np.zeros(case.grid.shape, dtype=dtype)

    def add(self, slab: Slab) -> None:
        """Label the finished planes."""
        shape = slab.features.shape[:3]
        codes = _codes(slab.features.reshape(-1, slab.features.shape[3]), self._classes)
        planes = np.moveaxis(self._prepared, self._axis, 0)
        planes[slab.start : slab.start + shape[0]] = self._classes.labels(codes, planes.dtype).reshape(shape)

    def result(self) -> NDArray[Any]:
        """Return labels as the scan stores them."""
        return self._case.restore_nearest(self._prepared)


class NativePainter:
    """Paint labels on the scan's voxels from linearly interpolated logits, plane by plane as slabs arrive."""

    def __init__(self, case: Case, axis: int, classes: Classes, dtype: type[np.generic]) -> None:
        self._classes = classes
        self._stored, in_network_order = case.native_canvas(dtype)
        self._planes = np.moveaxis(in_network_order, axis, 0)
        self._size = case.grid.shape[axis]
        positions = case.native_positions(axis)
        self._lower, _, self._weight = linear_weights(positions, self._size)
        self._inside = (positions >= -0.5) & (positions <= self._size - 0.5)
        self._in_plane = [_PlaneAxis(case, a, classes.vectors.device) for a in range(3) if a != axis]
        self._last: Slab | None = None

    def add(self, slab: Slab) -> None:
        """Paint every scan plane that lies between finished network planes."""
        start, features = slab.start, slab.features
        # A scan plane may lie between the last plane of the slab before and the first of this one.
        if self._last is not None:
            features = torch.cat([self._last.features, features])
            start -= 1
        stop = start + features.shape[0]
        codes = _codes(features.reshape(-1, features.shape[3]), self._classes).view(features.shape[:3])
        mixed = _mixed_cells(codes)
        # A scan plane needs the network planes on both sides of it; a scan of one plane has but that.
        ready = stop
        if self._size > 1:
            ready = stop - 1
        planes = np.flatnonzero(self._inside & (self._lower >= start) & (self._lower < ready))
        for first in range(0, len(planes), PLANES):
            self._paint(planes[first : first + PLANES], start, features, codes, mixed)
        self._last = Slab(stop - 1, features[-1:].clone())

    def result(self) -> NDArray[Any]:
        """Return labels as the scan stores them."""
        return self._stored

    def _paint(self, planes: NDArray[np.intp], start: int, features: Tensor, codes: Tensor, mixed: Tensor) -> None:
        """Paint scan planes; on a GPU the processor waits for it twice, however many planes these are."""
        a, b = self._in_plane
        # Each voxel of the scan takes what was decided at the lower corner of its cell; where corners differ, that is
        # only a guess, which the loop replaces.
        lower = torch.from_numpy(self._lower[planes] - start).to(codes.device)
        weight = torch.from_numpy(self._weight[planes]).to(codes.device)
        cell = (lower[:, None, None], a.lower[None, :, None], b.lower[None, None, :])
        code = codes[cell]
        for part in torch.split(mixed[cell].nonzero(), MIXED):
            plane, u, v = part.unbind(1)
            below = lower[plane]
            along = (below, (below + 1).clamp(max=features.shape[0] - 1), weight[plane])
            code[plane, u, v] = _codes(_interpolate(features, along, a, u, b, v), self._classes)
        label = self._classes.labels(code, self._planes.dtype)
        self._planes[np.ix_(planes, a.inside, b.inside)] = label


class _PlaneAxis:
    """One in-plane axis: the scan indices inside the prepared box, their lower neighbour and weight."""

    def __init__(self, case: Case, axis: int, device: torch.device) -> None:
        positions = case.native_positions(axis)
        size = case.grid.shape[axis]
        self.inside = np.flatnonzero((positions >= -0.5) & (positions <= size - 0.5))
        lower, upper, weight = linear_weights(positions[self.inside], size)
        self.lower = torch.from_numpy(lower).to(device)
        self.upper = torch.from_numpy(upper).to(device)
        self.weight = torch.from_numpy(weight).to(device)


def _mixed_cells(codes: Tensor) -> Tensor:
    """Return for each voxel (p a b) whether the cell it opens holds different decisions; at the far faces, clamped."""
    mixed = torch.zeros(codes.shape, dtype=torch.bool, device=codes.device)
    low = high = codes
    for axis in range(3):
        index = torch.arange(1, codes.shape[axis] + 1, device=codes.device).clamp_(max=codes.shape[axis] - 1)
        low = torch.minimum(low, low.index_select(axis, index))
        high = torch.maximum(high, high.index_select(axis, index))
    return torch.ne(low, high, out=mixed)


def _interpolate(
    features: Tensor, along: tuple[Tensor, Tensor, Tensor], a: _PlaneAxis, u: Tensor, b: _PlaneAxis, v: Tensor
) -> Tensor:
    """Return features (m c) at scan voxels (u, v) of some planes, blended from their eight neighbours.

    Args:
        features: Network planes (p a b c).
        along: The network planes below and above each voxel (m), and the weight of the one above.
        a: The first axis in the plane.
        u: Its index of each voxel (m).
        b: The second axis.
        v: Its index of each voxel (m).
    """
    below, above, weight = along
    a_weight, b_weight = a.weight[u].unsqueeze(1), b.weight[v].unsqueeze(1)
    corners = []
    for plane in (below, above):
        near = torch.lerp(features[plane, a.lower[u], b.lower[v]], features[plane, a.lower[u], b.upper[v]], b_weight)
        far = torch.lerp(features[plane, a.upper[u], b.lower[v]], features[plane, a.upper[u], b.upper[v]], b_weight)
        corners.append(torch.lerp(near, far, a_weight))
    return torch.lerp(corners[0], corners[1], weight.unsqueeze(1))
