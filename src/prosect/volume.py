"""The scan: intensities on a grid, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosect.display import Shown, sizes, spacings
from prosect.errors import FormatError, GeometryError, UsageError
from prosect.geometry import Grid
from prosect.lazy import load_module

__all__ = ["Source", "Volume", "require_volume"]

# A scan that does not say its modality and holds values this low is CT: no other one has air so far below 0.
AIR_HU = -500.0


@dataclass(frozen=True)
class Source:
    """Where a volume came from, as far as results need to know.

    Attributes:
        name: File or folder name without its path (paths can carry patient names).
        format: `nifti`, `nrrd`, `metaimage`, `dicom`, `phantom` or `array`.
        sha256: Hash of the bytes read; for a DICOM series, of the sorted hashes of its files.
        header: Format-specific header kept so that results on the same grid repeat it byte for byte.
        notes: Every repair or assumption made while reading.
    """

    name: str = ""
    format: str = "array"
    sha256: str = ""
    header: Any = field(default=None, repr=False, compare=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Volume(Shown):
    """3D intensities with geometry.

    Args:
        array: Intensities (i, j, k); Hounsfield units for CT. Converted to float32.
        grid: Its geometry.
        modality: In DICOM's words (`CT`, `MR`, `PT`, ...), or None where the file does not say.
        source: Where it came from.

    Raises:
        FormatError: Not a real-valued 3D array, or values that are not finite.
        GeometryError: Array and grid differ in shape.
    """

    array: NDArray[np.float32]
    grid: Grid
    modality: str | None = None
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.ndim != 3 or array.dtype.kind not in "biuf":
            raise FormatError(
                f"An array of shape {array.shape} and type {array.dtype} is not a 3D scan of real intensities.",
                code="INPUT_NOT_SCALAR",
            )
        if array.shape != self.grid.shape:
            raise GeometryError(f"The array has shape {array.shape} but its grid {self.grid.shape}.")
        with np.errstate(over="ignore", invalid="ignore"):  # refused below, with a count
            array = array.astype(np.float32, copy=False)
            total = array.sum(dtype=np.float64)
        if not np.isfinite(total):
            count = int(np.count_nonzero(~np.isfinite(array)))
            if count:
                raise FormatError(
                    f"{count} of {array.size} voxels are NaN, infinite or beyond 3.4e38; one is enough to spoil a "
                    "whole window. Replace them (by -1024 in CT) and try again.",
                    code="INPUT_NONFINITE",
                )
        object.__setattr__(self, "array", array)

    @classmethod
    def from_array(cls, array: ArrayLike, affine: ArrayLike, modality: str | None = None) -> Volume:
        """Return a scan from its voxels and their place.

        Args:
            array: Intensities (i j k); Hounsfield units for CT.
            affine: 4 x 4, voxels to RAS mm.
            modality: In DICOM's words (`CT`, `MR`, ...).

        Raises:
            FormatError: Not a real-valued 3D array, or values that are not finite.
            GeometryError: The affine cannot be one.
        """
        voxels = np.asarray(array)
        shape = voxels.shape[0], voxels.shape[1], voxels.shape[2]
        return cls(voxels, Grid(shape, np.asarray(affine, dtype=np.float64)), modality)

    @classmethod
    def from_image(cls, image: object, modality: str | None = None) -> Volume:
        """Return a scan that nibabel or SimpleITK has read; `prosect.read` does the same, and takes more options.

        Args:
            image: An image of nibabel or SimpleITK.
            modality: In DICOM's words (`CT`, `MR`, ...), which such an image does not say.

        Raises:
            ProsectError: See `prosect.read`.
        """
        scan: Volume = load_module("prosect.io.reading").read(image, modality=modality)
        return scan

    @cached_property
    def is_ct(self) -> bool:
        """Whether the scan is CT: where it does not say, whether it holds air in Hounsfield units."""
        return self.modality == "CT" or (self.modality is None and float(self.array.min()) <= AIR_HU)

    def _facts(self) -> tuple[str, ...]:
        facts = [sizes(self.grid.shape), spacings(self.grid.spacing_mm), self.modality or "modality unknown"]
        if self.source.name:
            facts.append(repr(self.source.name))
        return tuple(facts)

    def _rows(self) -> tuple[tuple[str, str], ...]:
        low, high = float(self.array.min()), float(self.array.max())
        return (
            ("orientation", self.grid.orientation),
            ("intensity", f"{low:g} to {high:g}{' HU' if self.modality == 'CT' else ''}"),
        )

    def _scene(self) -> tuple[Volume, None]:
        return self, None


def require_volume(thing: object) -> None:
    """Refuse what is not a scan that was read, such as its path.

    Raises:
        FormatError: `USAGE`.
    """
    if not isinstance(thing, Volume):
        raise UsageError(f"A scan is needed, not {type(thing).__name__}; read it first: prosect.read(path).")
