"""The bridge between patient space and network space: a volume made ready for one model, and the way back.

No other file reorients or resamples for a network. The default is to reorient first and resample second, so that one
scan gives one answer however its axes are stored. Differs from the official bundle, which resamples first and gives up
to eight answers; `reorient_first=False` repeats that for parity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.errors import PromptError
from prosect.geometry import AxisOrder, Grid
from prosect.resample import (
    SHEAR_TOLERANCE,
    resample_affine,
    resample_separable,
    resampling_bytes,
    respaced_grid,
)
from prosect.volume import Volume

__all__ = ["Case", "Intensity", "Placement", "Preparation", "preparing_bytes"]

FloatArray = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True)
class Intensity:
    """How intensities become [0, 1], or are clipped only.

    Attributes:
        kind: `window` takes `low` and `high` as intensities (HU), `percentile` as percentiles of the prepared volume;
            `clip` takes them as intensities and scales nothing.
        low: Mapped to 0; values below are clipped.
        high: Mapped to 1; values above are clipped.
    """

    # VISTA3D's CT window: the constants of the released configuration.
    kind: Literal["window", "percentile", "clip"] = "window"
    low: float = -963.8247715525971
    high: float = 1053.678477684517

    def settle(self, volume: Tensor) -> Intensity:
        """Return the same scaling with its percentiles, where it has such, as the intensities of a volume (i j k)."""
        if self.kind != "percentile":
            return self
        low, high = (float(v) for v in np.percentile(volume.numpy(), [self.low, self.high]))
        return Intensity("window", low, high)

    def scale(self, volume: Tensor) -> Tensor:
        """Return intensities scaled to [0, 1], or clipped only, in place."""
        settled = self.settle(volume)
        low, high = settled.low, settled.high
        if settled.kind == "clip":
            return volume.clamp_(low, high)
        if high <= low:
            return volume.zero_()
        return volume.sub_(low).div_(high - low).clamp_(0, 1)


@dataclass(frozen=True)
class Preparation:
    """What one model needs of a volume.

    Attributes:
        spacing_mm: Working spacing.
        intensity: Scaling to [0, 1], or clipping.
        reorient_first: Whether axes are brought to RAS before resampling (ours, `research`) or after (`bundle`).
        crop_above: Crop to the box of voxels above this intensity; None keeps the whole field of view.
        crop_margin: Voxels kept around that box.
        scale_first: Scale and clip before resampling (`research`) or after.
    """

    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    intensity: Intensity = Intensity()
    reorient_first: bool = True
    crop_above: float | None = None
    crop_margin: int = 10
    scale_first: bool = False


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the voxels of a network grid lie in a scan.

    Attributes:
        grid: The network grid; i, j, k run nearest to right, anterior, superior.
        native: The scan's own grid.
        order: Brings the scan's axes into the order of the network axes.
        to_prepared: Maps voxels of the reordered scan to voxels of the network grid (4 4).
    """

    grid: Grid
    native: Grid
    order: AxisOrder
    to_prepared: FloatArray

    @classmethod
    def spaced(cls, native: Grid, spacing_mm: tuple[float, float, float]) -> Placement:
        """Return the network grid of a whole scan at a spacing, axes brought to RAS first; no intensity is looked at.

        Args:
            native: The scan's grid.
            spacing_mm: Of the network grid.
        """
        order = native.to_ras()
        source = native.reorder(order)
        grid = respaced_grid(source, spacing_mm)
        return cls(grid, native, order, _matrix_between(source, grid, spacing_mm))

    @property
    def is_separable(self) -> bool:
        """Whether each network axis depends on one scan axis only (no shear)."""
        linear = self.to_prepared[:3, :3]
        return bool(np.abs(linear - np.diag(np.diag(linear))).max() <= 1e-9)

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Shape of the scan with its axes in network order."""
        a, b, c = (self.native.shape[axis] for axis in self.order.axes)
        return a, b, c

    def native_positions(self, axis: int) -> FloatArray:
        """Return the network index of every scan plane along a network axis. Separable cases only."""
        return np.asarray(np.arange(self.native_shape[axis]) * self.to_prepared[axis, axis] + self.to_prepared[axis, 3])

    def to_network(self, points_ras: FloatArray) -> FloatArray:
        """Return network voxel positions (n, 3) of world points (n, 3).

        Raises:
            PromptError: A point lies outside the scan.
        """
        voxels = self.native.to_voxel(points_ras)
        for voxel, inside in zip(voxels, self.native.contains(voxels), strict=True):
            if not inside:
                raise PromptError(
                    f"The point at voxel {voxel.round(2).tolist()} lies outside the scan; voxels run from (0, 0, 0) to "
                    f"{tuple(n - 1 for n in self.native.shape)}.",
                    code="POINT_OUTSIDE",
                )
        return self.grid.to_voxel(points_ras)

    def native_canvas(self, dtype: type[np.generic] | np.dtype[np.generic]) -> tuple[Array, Array]:
        """Return zeros on the scan's voxels as the scan stores them, and the same memory in network axis order."""
        stored = np.zeros(self.native.shape, dtype=dtype)
        return stored, self.order.apply(stored)

    def carry_nearest(self, labels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return labels on the scan's voxels (as stored) as labels on network voxels (i j k) by nearest neighbour."""
        source = self.order.apply(labels)
        out = np.zeros(self.grid.shape, dtype=labels.dtype)
        inverse = np.asarray(np.linalg.inv(self.to_prepared))
        if self.is_separable:
            places = []
            for axis in range(3):
                places.append(np.arange(self.grid.shape[axis]) * inverse[axis, axis] + inverse[axis, 3])
            _pick_nearest(source, places, out)
        else:
            _gather_nearest(source, inverse, out)
        return out

    def restore_nearest(self, prepared: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return labels on network voxels (i j k) as labels on the scan's voxels by nearest neighbour.

        Voxels of the scan outside the prepared box are 0.
        """
        stored, out = self.native_canvas(prepared.dtype)
        if self.is_separable:
            _pick_nearest(prepared, [self.native_positions(axis) for axis in range(3)], out)
        else:
            _gather_nearest(prepared, self.to_prepared, out)
        return stored


@dataclass(frozen=True, eq=False)
class Case(Placement):
    """A volume made ready for one model.

    Attributes:
        image: Network input (1 1 i j k) float32 on `grid`, in [0, 1] where intensities are scaled.
        intensity: How they were scaled, with percentiles as the intensities they were.
    """

    image: Tensor
    intensity: Intensity

    @classmethod
    def prepare(cls, volume: Volume, preparation: Preparation) -> Case:
        """Return the case of `volume`.

        Resamples linearly at the working spacing, crops, scales intensities and brings the axes to RAS.
        """
        native = volume.grid
        order = native.to_ras()
        first = _first_order(native, preparation)
        source = native.reorder(first)
        array = volume.array
        intensity = preparation.intensity
        if preparation.scale_first:
            intensity = intensity.settle(torch.from_numpy(array))
            array = intensity.scale(torch.from_numpy(array.copy())).numpy()
        image, grid, matrix = _respace(first.apply(array), source, preparation.spacing_mm)
        start, stop = _content_box(image, preparation)
        image = image[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        grid = grid.crop(start, stop)
        # What is cut off in front moves every voxel that is left towards 0.
        matrix[:3, 3] -= start
        if not preparation.scale_first:
            intensity = intensity.settle(image)
            image = intensity.scale(image.clone())
        if not preparation.reorient_first:
            last = grid.to_ras()
            matrix = _reorder_matrix(matrix, source.shape, grid.shape, last)
            image = torch.from_numpy(np.ascontiguousarray(last.apply(image.numpy())))
            grid = grid.reorder(last)
            order = last
        return cls(grid, native, order, matrix, image[None, None].contiguous(), intensity)

    @staticmethod
    def shape_for(native: Grid, preparation: Preparation) -> tuple[int, int, int]:
        """Return the shape of the case of a scan on this grid, from its geometry alone.

        What a crop to content leaves is not known before the scan is seen, so where there is one the case is no larger
        than this.
        """
        respaced = respaced_grid(native.reorder(_first_order(native, preparation)), preparation.spacing_mm)
        if preparation.reorient_first:
            return respaced.shape
        a, b, c = (respaced.shape[axis] for axis in native.to_ras().axes)
        return a, b, c


def _first_order(native: Grid, preparation: Preparation) -> AxisOrder:
    """Return the order in which the axes of a scan are before it is resampled."""
    if preparation.reorient_first:
        return native.to_ras()
    return AxisOrder((0, 1, 2), (False, False, False))


def preparing_bytes(native: Grid, prepared: tuple[int, int, int], preparation: Preparation) -> int:
    """Return the most bytes that `Case.prepare` holds beside the scan, for a network grid of this shape."""
    scan, image = native.voxel_count * 4, math.prod(prepared) * 4
    if native.shear > SHEAR_TOLERANCE:
        held = scan + image
    else:
        axes = native.to_ras().axes
        held = resampling_bytes([native.shape[axis] for axis in axes], prepared)
    copies = 2
    if preparation.intensity.kind == "percentile":
        copies = 3
    return max(held, copies * image) + (scan if preparation.scale_first else 0)


def _nearest(positions: FloatArray, size: int) -> NDArray[np.int64]:
    """Return the nearest index of each position, -1 outside [-0.5, size - 0.5]; ties go to the even index."""
    index = np.round(positions).astype(np.int64)
    index[(positions < -0.5) | (positions > size - 0.5)] = -1
    return np.minimum(index, size - 1)


def _pick_nearest(source: NDArray[np.generic], places: Sequence[FloatArray], out: NDArray[np.generic]) -> None:
    """Fill `out` by the nearest voxels of `source` along each axis; what lies outside stays as it is.

    Args:
        source: Labels (i j k).
        places: Where each plane of `out` lies along each axis of `source`, in voxels.
        out: Labels (i j k).
    """
    inside, picked = [], []
    for place, size in zip(places, source.shape, strict=True):
        index = _nearest(place, size)
        inside.append(np.flatnonzero(index >= 0))
        picked.append(index[index >= 0])
    out[np.ix_(*inside)] = source[np.ix_(*picked)]


def _gather_nearest(prepared: NDArray[np.generic], matrix: FloatArray, out: NDArray[np.generic]) -> None:
    """Fill `out` by nearest neighbour through a general affine, plane by plane."""
    j, k = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    size = np.asarray(prepared.shape)
    for i in range(out.shape[0]):
        voxels = np.stack([np.full_like(j, i), j, k, np.ones_like(j)], axis=-1)
        index = np.round(voxels @ matrix[:3].T).astype(int)
        inside = ((index >= 0) & (index < size)).all(axis=-1)
        out[i][inside] = prepared[tuple(index[inside].T)]


def _respace(
    array: NDArray[np.float32], source: Grid, spacing_mm: tuple[float, float, float]
) -> tuple[Tensor, Grid, FloatArray]:
    """Return the resampled array, its grid and the matrix from source voxels to resampled voxels."""
    grid = respaced_grid(source, spacing_mm)
    matrix = _matrix_between(source, grid, spacing_mm)
    if source.shear <= SHEAR_TOLERANCE:
        return resample_separable(array, _ratio(source, spacing_mm), grid.shape), grid, matrix
    inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return resample_affine(array, inverse, grid.shape), grid, matrix


def _matrix_between(source: Grid, grid: Grid, spacing_mm: tuple[float, float, float]) -> FloatArray:
    """Return the matrix (4 4) from voxels of a grid to voxels of the same grid with another spacing."""
    if source.shear > SHEAR_TOLERANCE:
        return np.asarray(np.linalg.solve(grid.affine, source.affine), dtype=np.float64)
    matrix: FloatArray = np.eye(4)
    matrix[:3, :3] = np.diag([1 / r for r in _ratio(source, spacing_mm)])
    return matrix


def _ratio(source: Grid, spacing_mm: tuple[float, float, float]) -> tuple[float, ...]:
    """Return how many voxels of a grid one voxel of another spacing spans along each axis."""
    ratio = []
    for n, o in zip(spacing_mm, source.spacing_mm, strict=True):
        ratio.append(n / o)
    return tuple(1.0 if abs(r - 1) < 1e-5 else r for r in ratio)


def _content_box(image: Tensor, preparation: Preparation) -> tuple[list[int], list[int]]:
    """Return start and stop of the box above the crop threshold plus margin; everything where nothing is above."""
    shape = list(image.shape)
    if preparation.crop_above is None:
        return [0, 0, 0], shape
    content = image > preparation.crop_above
    start, stop = [0, 0, 0], shape.copy()
    for axis in range(3):
        others = []
        for a in range(3):
            if a != axis:
                others.append(a)
        where = content.amax(dim=others).nonzero().flatten()
        if len(where) == 0:
            return [0, 0, 0], shape
        start[axis] = max(int(where[0]) - preparation.crop_margin, 0)
        stop[axis] = min(int(where[-1]) + 1 + preparation.crop_margin, shape[axis])
    return start, stop


def _reorder_matrix(
    matrix: FloatArray, source: tuple[int, int, int], prepared: tuple[int, int, int], order: AxisOrder
) -> FloatArray:
    """Return the voxel map after both its sides are permuted and mirrored by `order`."""
    out = np.eye(4)
    for new, (old, flip) in enumerate(zip(order.axes, order.flips, strict=True)):
        for new2, (old2, flip2) in enumerate(zip(order.axes, order.flips, strict=True)):
            sign = 1.0
            if flip != flip2:
                sign = -1.0
            out[new, new2] = sign * matrix[old, old2]
        # Where the first voxel in the new order lies: at the far end of every axis of the scan that is turned around.
        offset = matrix[old, 3] + sum(
            matrix[old, o] * (source[o] - 1) for o, f in zip(order.axes, order.flips, strict=True) if f
        )
        if flip:
            out[new, 3] = (prepared[old] - 1) - offset
        else:
            out[new, 3] = offset
    return out
