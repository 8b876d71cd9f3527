"""The display copy of a scan: the axes that a viewer paints along, and how boxes and labels get there.

A viewer wants voxels in the order nearest to RAS, first axis fastest, and no more of them than it can hold. Reordering
is exact. Where a scan is too large every second voxel is taken along an axis, as often as needed. Clicks are in
millimetres, so they do not depend on any of this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.geometry import AxisOrder, Grid
from prosect.volume import Volume

__all__ = ["MAX_AXIS", "MAX_VOXELS", "View", "nifti_chunks", "nifti_size", "stored_type", "view_of", "window_of"]

MAX_AXIS = 2048  # 3D textures are no longer than this, also in software
MAX_VOXELS = 256 * 1024**2
SINGLE_FILE = 352  # bytes before the voxels of a NIfTI-1 file
INT16, FLOAT32 = 4, 16  # NIfTI-1 data types
SCANNER = 1  # sform code: the positions are those of the scanner
MILLIMETRES = 2
PLANES = 16  # written at a time


@dataclass(frozen=True)
class View:
    """How the voxels of a scan become those of its display copy.

    Attributes:
        grid: The scan's grid.
        order: Axis order nearest to RAS.
        step: Every how-many-th voxel is shown, along the view's axes.
    """

    grid: Grid
    order: AxisOrder
    step: tuple[int, int, int]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the display copy along its axes."""
        i, j, k = (-(-self.grid.shape[axis] // step) for axis, step in zip(self.order.axes, self.step, strict=True))
        return i, j, k

    @cached_property
    def affine_ras(self) -> NDArray[np.float64]:
        """Affine (4, 4) of the display copy, voxel centre to RAS mm."""
        affine = self.grid.reorder(self.order).affine.copy()
        affine[:3, :3] *= self.step
        return affine

    def array(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Return voxels of the whole scan (i j k as stored) as a view along the display copy's axes."""
        i, j, k = self.step
        return self.order.apply(voxels)[::i, ::j, ::k]

    def box(self, box: Box) -> Box:
        """Return the box of the display copy whose voxels lie in a box of the scan; it may be empty."""
        start, stop = [], []
        for axis, flip, step in zip(self.order.axes, self.order.flips, self.step, strict=True):
            low, high = box.start[axis], box.stop[axis]
            if flip:
                count = self.grid.shape[axis]
                low, high = count - high, count - low
            # Shown are the voxels 0, step, 2 step, ...: the first at or after `low`, up to before `high`.
            start.append(-(-low // step))
            stop.append(-(-high // step))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def labels(self, labels: NDArray[Any], box: Box) -> NDArray[Any]:
        """Return labels of a box of the scan (i j k as stored) along the display copy's axes, for `View.box(box)`."""
        turned = self.order.apply(labels)
        shown = self.box(box)
        first = []
        for n, (axis, flip) in enumerate(zip(self.order.axes, self.order.flips, strict=True)):
            low = self.grid.shape[axis] - box.stop[axis] if flip else box.start[axis]
            first.append(shown.start[n] * self.step[n] - low)
        i, j, k = (slice(begin, None, step) for begin, step in zip(first, self.step, strict=True))
        return turned[i, j, k]

    def to_json(self) -> dict[str, Any]:
        """Return what a page or a test needs to map boxes."""
        return {
            "shape": list(self.shape),
            "affine_ras": self.affine_ras.tolist(),
            "permutation": list(self.order.axes),
            "flips": list(self.order.flips),
            "step": list(self.step),
        }


def view_of(grid: Grid, *, max_axis: int = MAX_AXIS, max_voxels: int = MAX_VOXELS) -> View:
    """Return the display copy of a scan: its voxels in RAS order, thinned until the limits are kept."""
    order = grid.to_ras()
    counts = [grid.shape[axis] for axis in order.axes]
    step = [1, 1, 1]
    shown = list(counts)
    while max(shown) > max_axis or shown[0] * shown[1] * shown[2] > max_voxels:
        # The axis with most voxels loses most: planes stay as close to the scan's as can be.
        longest = shown.index(max(shown))
        step[longest] *= 2
        shown[longest] = -(-counts[longest] // step[longest])
    return View(grid, order, (step[0], step[1], step[2]))


def stored_type(volume: Volume, view: View) -> np.dtype[Any]:
    """Return int16 where the intensities of a display copy are whole numbers that fit, else float32."""
    return np.dtype("<i2") if fits_int16(view.array(volume.array)) else np.dtype("<f4")


def nifti_chunks(volume: Volume, view: View, kind: np.dtype[Any]) -> Iterator[bytes]:
    """Yield the display copy as a single-file NIfTI-1, header first, then some planes at a time."""
    shown = view.array(volume.array)
    yield header(view, INT16 if kind.itemsize == 2 else FLOAT32)
    for k in range(0, shown.shape[2], PLANES):
        yield shown[..., k : k + PLANES].astype(kind).tobytes(order="F")


def nifti_size(view: View, kind: np.dtype[Any]) -> int:
    """Return the bytes of `nifti_chunks`."""
    i, j, k = view.shape
    return SINGLE_FILE + i * j * k * kind.itemsize


def fits_int16(array: NDArray[Any]) -> bool:
    """Return whether intensities (i j k) are whole numbers from -32768 to 32767; looked at plane by plane."""
    with np.errstate(invalid="ignore"):  # a number that does not fit becomes another one, and so is found
        return all(np.array_equal(array[..., k], array[..., k].astype(np.int16)) for k in range(array.shape[2]))


def header(view: View, datatype: int) -> bytes:
    """Return the NIfTI-1 header of a display copy, with the four bytes that say that no extension follows."""
    spacing = np.sqrt((view.affine_ras[:3, :3] ** 2).sum(axis=0))
    bits = 16 if datatype == INT16 else 32
    data = bytearray(SINGLE_FILE)
    struct.pack_into("<i", data, 0, 348)
    struct.pack_into("<8h", data, 40, 3, *view.shape, 1, 1, 1, 1)
    struct.pack_into("<hh", data, 70, datatype, bits)
    struct.pack_into("<8f", data, 76, 1.0, *spacing, 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<fff", data, 108, float(SINGLE_FILE), 1.0, 0.0)  # offset of the voxels, slope, intercept
    struct.pack_into("<B", data, 123, MILLIMETRES)
    struct.pack_into("<hh", data, 252, 0, SCANNER)  # no quaternion: the affine alone says where voxels are
    struct.pack_into("<12f", data, 280, *view.affine_ras[:3].ravel())
    data[344:348] = b"n+1\0"
    return bytes(data)


def window_of(volume: Volume) -> tuple[float, float]:
    """Return the intensities to show at first as black and white.

    CT, also one that only its values tell, shows soft tissue. Anything else shows what the middle 98 % of its voxels
    that are not zero lie between.
    """
    if volume.is_ct:
        return -160.0, 240.0
    # Every few voxels tell the same as all of them, in a fraction of the time.
    stride = max(1, volume.array.size // 1_000_000)
    some = volume.array.ravel(order="K")[::stride]
    some = some[some != 0]
    if not some.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(some, (1, 99)))
    return (low, high) if high > low else (low, low + 1.0)
