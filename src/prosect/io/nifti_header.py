"""NIfTI-1 and NIfTI-2 headers: nibabel interprets the fields of bytes that were counted here first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from nibabel import Nifti1Header, Nifti2Header
from nibabel.spatialimages import HeaderDataError

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray
from prosect.io.payload import truncation

__all__ = ["GEOMETRY_FIELDS", "Header", "NiftiHeader", "empty_header", "parse_header", "qform"]

# A nibabel Nifti1Header or Nifti2Header, whose methods carry no types.
Header: TypeAlias = Any
HEADERS: dict[int, Any] = {348: Nifti1Header, 540: Nifti2Header}
GEOMETRY_FIELDS = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
    "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
# b2 + c2 + d2 of a unit quaternion may exceed 1 by rounding to float32 only.
QUATERNION_EXCESS = 1e-6


@dataclass(frozen=True)
class NiftiHeader:
    """The header bytes of a NIfTI file, kept so that results on its grid repeat its geometry bit for bit.

    Attributes:
        raw: The 348 or 540 bytes.
        endianness: `<` or `>`.
    """

    raw: bytes
    endianness: str

    def fields(self) -> Header:
        """Return the fields, over a copy of the bytes, none of them checked or repaired."""
        return HEADERS[len(self.raw)](self.raw, self.endianness, check=False)


def parse_header(head: bytes, name: str) -> NiftiHeader:
    """Return the header at the beginning of `head`, with its byte order.

    Raises:
        FormatError: The file ends inside its header, or this is no NIfTI header.
    """
    for endianness in "<>":
        size = int(np.frombuffer(head[:4].ljust(4, b"\x00"), f"{endianness}i4")[0])
        if size in HEADERS:
            if len(head) < size + 4:
                raise truncation(name, len(head), size + 4, "header bytes")
            return NiftiHeader(bytes(head[:size]), endianness)
    raise FormatError(f"{name}: no NIfTI header was found. Export the scan again.", code="INPUT_HEADER_INVALID")


def empty_header(like: NiftiHeader | None) -> Header:
    """Return blank fields in the version and byte order of `like`, by default NIfTI-1 little endian."""
    if like:
        size, endianness = (len(like.raw), like.endianness)
    else:
        size, endianness = (348, "<")
    return HEADERS[size](endianness=endianness)


def qform(header: Header) -> FloatArray:
    """Return the affine of the header's quaternion, offset and pixel sizes, in the header's unit of length.

    Raises:
        GeometryError: The quaternion is no rotation, or a pixel size is below 0.
    """
    header = header.copy()
    # The standard takes a handedness that is not -1, such as 0, for 1; nibabel refuses it.
    if header["pixdim"][0] < 0:
        header["pixdim"][0] = -1
    else:
        header["pixdim"][0] = 1
    parts = []
    for axis in "bcd":
        parts.append(float(header[f"quatern_{axis}"]))
    if 1 < sum(part * part for part in parts) <= 1 + QUATERNION_EXCESS:
        header.quaternion_threshold = 2 * QUATERNION_EXCESS  # for NIfTI-2 nibabel allows only the rounding of float64
    try:
        with np.errstate(all="ignore"):
            return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError, TypeError, ArithmeticError) as error:
        raise GeometryError(
            f"The qform (quaternion {parts}, voxel sizes {header['pixdim'][1:4].tolist()}) is unusable: {error}. "
            "Repair the header."
        ) from error
