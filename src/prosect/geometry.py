"""Where voxels are: a spatial shape and a voxel-to-world affine in RAS millimetres.

Pinned conventions: `affine` maps the *centre* index of a voxel (i, j, k) to world (right, anterior, superior) in mm.
Voxel i covers [i - 0.5, i + 0.5). DICOM's LPS exists only inside the DICOM, NRRD and MetaImage readers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosect.errors import GeometryError

__all__ = ["AxisOrder", "FloatArray", "Grid", "odd_size", "ras_order"]

FloatArray = NDArray[np.float64]
Shape = tuple[int, int, int]

# A condition number above this means that two voxel axes are all but parallel, or spacings differ absurdly.
MAX_CONDITION = 1e6
# Spacings in metres or micrometres make a person a thousand times too small or large.
SMALLEST_MM, LARGEST_MM = 3.0, 3000.0


@dataclass(frozen=True)
class AxisOrder:
    """A permutation and mirroring of voxel axes: new axis `n` is old axis `axes[n]`, reversed where `flips[n]`."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of `array` (i j k) in the new order."""
        step = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        return array.transpose(self.axes)[step]

    def inverse(self) -> AxisOrder:
        """Return the order that leads back."""
        axes = tuple(self.axes.index(old) for old in range(3))
        flips = tuple(self.flips[new] for new in axes)
        return AxisOrder(axes, flips)  # type: ignore[arg-type]

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return self.axes == (0, 1, 2) and not any(self.flips)


@dataclass(frozen=True, eq=False)
class Grid:
    """A spatial shape (i, j, k) and the affine that places it in the patient.

    Args:
        shape: Number of voxels along i, j, k.
        affine: 4x4, voxel centre index -> world RAS mm.

    Raises:
        GeometryError: The shape is not three positive counts, or the affine is not a finite, invertible 4x4.
    """

    shape: Shape
    affine: FloatArray

    def __post_init__(self) -> None:
        counts = tuple(self.shape)
        if len(counts) != 3 or not all(n >= 1 and n == n // 1 for n in counts):
            raise GeometryError(f"The shape {counts} is not three positive voxel counts.")
        shape = tuple(int(n) for n in counts)
        affine = np.array(self.affine, dtype=np.float64) + 0.0  # no negative zeros: equal grids must hash alike
        check_affine(affine)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def voxel_count(self) -> int:
        """Number of voxels."""
        return int(np.prod([int(n) for n in self.shape], dtype=np.int64))

    @property
    def orientation(self) -> str:
        """Nearest anatomical direction of each voxel axis, such as `RAS` or `LPS`."""
        # The order says for each world axis which voxel axis runs along it; letters are wanted the other way round.
        order = ras_order(self.affine)
        letters = [""] * 3
        for world, (axis, flip) in enumerate(zip(order.axes, order.flips, strict=True)):
            letters[axis] = ("LPI" if flip else "RAS")[world]
        return "".join(letters)

    @property
    def shear(self) -> float:
        """Largest cosine between two voxel axes: 0 for an orthogonal grid."""
        unit = self.affine[:3, :3] / np.asarray(self.spacing_mm)
        cosines = unit.T @ unit
        return float(np.abs(cosines - np.diag(np.diag(cosines))).max())

    def to_world(self, points_vox: ArrayLike) -> FloatArray:
        """Return world RAS mm (n, 3) of continuous voxel indices (n, 3)."""
        points = np.asarray(points_vox, dtype=np.float64)
        return np.asarray(points @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_voxel(self, points_ras: ArrayLike) -> FloatArray:
        """Return continuous voxel indices (n, 3) of world RAS mm (n, 3)."""
        offset = np.asarray(points_ras, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(np.linalg.solve(self.affine[:3, :3], offset.T).T)

    def contains(self, points_vox: ArrayLike) -> NDArray[np.bool_]:
        """Return for each voxel index (n, 3) whether it lies in the scan: -0.5 <= index < n - 0.5 on every axis."""
        points = np.asarray(points_vox, dtype=np.float64)
        inside = (points >= -0.5) & (points < np.asarray(self.shape) - 0.5)
        return np.asarray(inside.all(axis=-1))

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """Return the grid of voxels [start, stop); it may reach beyond this grid (padding)."""
        shape = tuple(int(b) - int(a) for a, b in zip(start, stop, strict=True))
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(np.asarray(start, dtype=np.float64))
        return Grid(shape, affine)  # type: ignore[arg-type]

    def reorder(self, order: AxisOrder) -> Grid:
        """Return the same voxels in place with their axes permuted and mirrored; the world positions stay."""
        move = np.zeros((4, 4))
        move[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(order.axes, order.flips, strict=True)):
            move[old, new] = 1.0
            if flip:
                # A mirrored axis begins at what was its last voxel.
                move[old, new], move[old, 3] = -1.0, self.shape[old] - 1
        shape = tuple(self.shape[old] for old in order.axes)
        return Grid(shape, self.affine @ move)  # type: ignore[arg-type]

    def to_ras(self) -> AxisOrder:
        """Return the axis order that makes i, j, k run nearest to right, anterior, superior."""
        return ras_order(self.affine)

    def corners_ras(self) -> FloatArray:
        """Return the world position (8, 3) of the corner voxel centres."""
        return self.to_world(list(itertools.product(*[(0, n - 1) for n in self.shape])))

    def distance_to(self, other: Grid) -> float:
        """Return the largest corner distance in mm to a grid of the same shape; infinite if the shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        return float(np.sqrt(((self.corners_ras() - other.corners_ras()) ** 2).sum(axis=1)).max())


def check_affine(affine: FloatArray) -> None:
    """Refuse an affine that cannot place voxels.

    Raises:
        GeometryError: Wrong shape, not finite, last row not (0, 0, 0, 1), singular or nearly so.
    """
    if affine.shape != (4, 4):
        raise GeometryError(f"The affine has shape {affine.shape}; a 4x4 matrix is needed.")
    if not np.isfinite(affine).all():
        raise GeometryError("The affine holds NaN or infinite numbers, so voxels have no position. Repair the header.")
    if not np.allclose(affine[3], (0, 0, 0, 1), atol=1e-6):
        raise GeometryError(f"The last row of the affine is {affine[3].tolist()}; (0, 0, 0, 1) is needed.")
    singular = np.linalg.svd(affine[:3, :3], compute_uv=False)
    if singular[2] <= 0 or singular[0] > MAX_CONDITION * singular[2]:
        raise GeometryError(
            "The affine is singular: two voxel axes coincide or a spacing is zero. Repair the header "
            f"(axis lengths found: {np.linalg.norm(affine[:3, :3], axis=0).round(6).tolist()} mm)."
        )


def ras_order(affine: ArrayLike) -> AxisOrder:
    """Return the axis order that brings voxel axes nearest to RAS.

    All six assignments are scored by the summed absolute direction cosines. A tie (exactly 45 degrees) is settled by
    the directions themselves, so that neither rounding nor the stored order decides.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    cosines = matrix / np.sqrt((matrix**2).sum(axis=0))
    scored = []
    for axes in itertools.permutations(range(3)):
        chosen = cosines[:, axes]
        flips = np.diag(chosen) < 0
        directions = np.where(flips, -chosen, chosen).round(9) + 0.0
        scored.append((float(np.trace(directions).round(8)), directions.ravel().tolist(), axes, flips.tolist()))
    _, _, axes, flips = max(scored)
    return AxisOrder(axes, tuple(flips))  # type: ignore[arg-type]


def odd_size(grid: Grid) -> str:
    """Return why a grid cannot be that of a person's scan, or nothing."""
    extent_mm = max(n * spacing for n, spacing in zip(grid.shape, grid.spacing_mm, strict=True))
    if SMALLEST_MM <= extent_mm <= LARGEST_MM:
        return ""
    return f"the scan is {extent_mm:.3g} mm long, so its spacing is hardly in millimetres"
