"""What lies between a file format and the package: an image as stored, and an image about to be stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.io.dicom.choices import DicomChoices
from prosect.vocabulary import Structure
from prosect.volume import Volume

__all__ = ["Label", "Outgoing", "Segment", "StoredImage", "StoredLabels", "voxel_chunks"]

CHUNK_BYTES = 1 << 24
# Label values this near to a whole number are it: 0.001 is what a slope of 1.0000001 and single precision leave, and up
# to 0.01 are seen where a map was resampled and thresholded. Masks blurred by resampling have values far beyond.
ALMOST_WHOLE = 1e-2


@dataclass(frozen=True)
class Segment:
    """Where one structure lies in a file of several volumes, each of which may hold several structures.

    Attributes:
        label: Its label value among all of the file.
        name: Its name, empty where it has none.
        volume: In which volume it lies, from 0.
        value: Its value there; another volume may give the same value to another structure.
    """

    label: int
    name: str
    volume: int
    value: int


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One verified image file, voxels not yet scaled.

    Attributes:
        name: File name for messages.
        format: As in `Source.format`.
        array: Stored values (i j k c); `c` counts volumes and is 1 for an ordinary scan.
        grid: Geometry of each volume.
        slope: Multiplies stored values.
        inter: Is added after that.
        header: What a writer needs to repeat the geometry byte for byte.
        sha256: Hash of the bytes read.
        repairs: Assumptions worth a warning.
        notes: Facts worth recording.
        names: Structure name by label value (by layer value where `layers` is not empty).
        layers: Label value of each volume along `c` where the file holds one mask per structure, else empty.
        segments: Where each structure lies, if several share a volume and there are several volumes, else empty.
    """

    name: str
    format: str
    array: NDArray[Any]
    grid: Grid
    slope: float = 1.0
    inter: float = 0.0
    header: Any = None
    sha256: str = ""
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: dict[int, str] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """Label values read from a file.

    Attributes:
        array: Label values (i j k) as unsigned integers; for a layered file the masks (c i j k) as bool.
        grid: Their geometry.
        names: Structure name by label value, as far as the file says.
        layers: Label value of each mask along `c` of a layered file, else empty.
        sha256: Hash of the bytes read.
        notes: Every repair or assumption made while reading.
    """

    array: NDArray[Any]
    grid: Grid
    names: dict[int, str]
    layers: tuple[int, ...] = ()
    sha256: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """One structure in a label file.

    Attributes:
        value: Its label value.
        name: Its name.
        rgb: Its colour, 0 to 255 each.
        structure: Its codes, for formats that carry them.
    """

    value: int
    name: str
    rgb: tuple[int, int, int]
    structure: Structure | None = None


@dataclass(frozen=True, eq=False)
class Outgoing:
    """An image about to be stored.

    Attributes:
        array: Values (i j k), or masks (c i j k) where `layered`.
        grid: Their geometry.
        labels: The structures present, in ascending order (in layer order where `layered`); empty for a scan.
        layered: Whether each structure has a mask of its own.
        is_labels: Whether the values are labels, not intensities.
        header: The header of a source on the same grid whose geometry is to be repeated, or None.
        scan: The scan on the same grid that labels belong to, or None.
        provenance: How labels came about.
        dicom: How DICOM results are written.
    """

    array: NDArray[Any]
    grid: Grid
    labels: tuple[Label, ...] = ()
    layered: bool = False
    is_labels: bool = False
    header: Any = None
    scan: Volume | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    dicom: DicomChoices = field(default_factory=DicomChoices)

    @property
    def source_sha256(self) -> str:
        """Hash of the scan's bytes, empty where there is no scan."""
        if self.scan is None:
            return ""
        return self.scan.source.sha256

    @property
    def dtype(self) -> np.dtype[Any]:
        """The voxel type that will be stored."""
        if self.layered:
            return np.dtype(np.uint8)
        return self.array.dtype


def voxel_chunks(array: NDArray[Any], dtype: DTypeLike) -> Iterator[bytes]:
    """Yield the voxels of `array` (i j k) with i running fastest, a few slices at a time."""
    slices = max(1, CHUNK_BYTES // max(1, array[..., :1].size * np.dtype(dtype).itemsize))
    for start in range(0, array.shape[-1], slices):
        yield array[..., start : start + slices].astype(dtype, copy=False).tobytes(order="F")


def integral(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return label values (any shape) as the smallest unsigned type that holds them.

    Fractions within 0.01 of a whole number are what resampling and a slope of 1.0000001 leave of one.

    Args:
        array: Label values as stored.
        name: The file, for messages.

    Raises:
        FormatError: A value is negative, not finite or above 65535 (`LABELS_OUT_OF_RANGE`), or fractional
            (`LABELS_NOT_INTEGER`).
    """
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FormatError(
            f"{name}: {int(np.isnan(array).sum())} values are NaN, which is no label; label values must lie within "
            "0 to 65535. Set them to 0 if they mean the background.",
            code="LABELS_OUT_OF_RANGE",
        )
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    # A resampled background of -1e-7 is 0.
    if array.dtype.kind == "f" and -ALMOST_WHOLE <= low < 0:
        low = 0
    if not (low >= 0 and high <= 65535):
        raise FormatError(
            f"{name}: values run from {low} to {high}; label values must lie within 0 to 65535. Is this a scan?",
            code="LABELS_OUT_OF_RANGE",
        )
    whole = np.rint(array) if array.dtype.kind == "f" else array
    labels = whole.astype(np.uint8 if high <= 255 else np.uint16)
    if array.dtype.kind == "f":
        off = np.abs(array - whole)
        worst = int(off.argmax()) if off.size else 0
        if off.size and off.flat[worst] > ALMOST_WHOLE:
            raise FormatError(
                f"{name}: some values are fractions, such as {array.flat[worst]:.7g}; label values must be whole "
                f"numbers (within {ALMOST_WHOLE:g}). Is this a scan or a probability?",
                code="LABELS_NOT_INTEGER",
            )
    return labels
