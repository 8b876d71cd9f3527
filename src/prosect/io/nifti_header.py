"""The fields of NIfTI-1 and NIfTI-2 headers, and the two ways in which they place voxels.

Parsed here, not by nibabel: importing nibabel imports pydicom, and its header classes raise a dozen kinds of error. The
tests compare every field and both forms with nibabel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray
from prosect.io.payload import truncated

__all__ = ["GEOMETRY_FIELDS", "NiftiHeader", "empty_header", "parse_header", "qform", "set_forms", "sform"]

FORM_FIELDS = [
    *((f"quatern_{axis}", "float") for axis in "bcd"),
    *((f"qoffset_{axis}", "float") for axis in "xyz"),
    *((f"srow_{axis}", "float", (4,)) for axis in "xyz"),
]
NIFTI_1: list[tuple[Any, ...]] = [
    ("sizeof_hdr", "i4"), ("data_type", "S10"), ("db_name", "S18"), ("extents", "i4"), ("session_error", "i2"),
    ("regular", "S1"), ("dim_info", "u1"), ("dim", "i2", (8,)), ("intent_p", "f4", (3,)), ("intent_code", "i2"),
    ("datatype", "i2"), ("bitpix", "i2"), ("slice_start", "i2"), ("pixdim", "f4", (8,)), ("vox_offset", "f4"),
    ("scl_slope", "f4"), ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"),
    ("cal_max", "f4"), ("cal_min", "f4"), ("slice_duration", "f4"), ("toffset", "f4"), ("glmax", "i4"),
    ("glmin", "i4"), ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i2"), ("sform_code", "i2"),
    *((name, "f4", *shape) for name, _, *shape in FORM_FIELDS), ("intent_name", "S16"), ("magic", "S4"),
]  # fmt: skip
NIFTI_2: list[tuple[Any, ...]] = [
    ("sizeof_hdr", "i4"), ("magic", "S8"), ("datatype", "i2"), ("bitpix", "i2"), ("dim", "i8", (8,)),
    ("intent_p", "f8", (3,)), ("pixdim", "f8", (8,)), ("vox_offset", "i8"), ("scl_slope", "f8"), ("scl_inter", "f8"),
    ("cal_max", "f8"), ("cal_min", "f8"), ("slice_duration", "f8"), ("toffset", "f8"), ("slice_start", "i8"),
    ("slice_end", "i8"), ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i4"), ("sform_code", "i4"),
    *((name, "f8", *shape) for name, _, *shape in FORM_FIELDS), ("slice_code", "i4"), ("xyzt_units", "i4"),
    ("intent_code", "i4"), ("intent_name", "S16"), ("dim_info", "u1"), ("unused", "S15"),
]  # fmt: skip
LAYOUTS = {348: np.dtype(NIFTI_1), 540: np.dtype(NIFTI_2)}
MAGIC = {348: b"n+1\x00", 540: b"n+2\x00\r\n\x1a\n"}
GEOMETRY_FIELDS = ("pixdim", "xyzt_units", "qform_code", "sform_code", *(name for name, *_ in FORM_FIELDS))
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

    def fields(self) -> NDArray[Any]:
        """Return the fields as a structured scalar over a copy of the bytes."""
        layout = LAYOUTS[len(self.raw)].newbyteorder(self.endianness)  # type: ignore[arg-type]
        return np.frombuffer(bytearray(self.raw), layout).reshape(())


def parse_header(head: bytes, name: str) -> NiftiHeader:
    """Return the header at the beginning of `head`, with its byte order.

    Raises:
        FormatError: The file ends inside its header, or this is no NIfTI header.
    """
    for endianness in "<>":
        size = int(np.frombuffer(head[:4].ljust(4, b"\x00"), f"{endianness}i4")[0])
        if size in LAYOUTS:
            if len(head) < size + 4:
                raise truncated(name, len(head), size + 4, "header bytes")
            return NiftiHeader(bytes(head[:size]), endianness)
    raise FormatError(f"{name}: no NIfTI header was found. Export the scan again.", code="INPUT_HEADER_INVALID")


def empty_header(like: NiftiHeader | None) -> NDArray[Any]:
    """Return blank fields in the version and byte order of `like`, by default NIfTI-1 little endian."""
    size, endianness = (len(like.raw), like.endianness) if like else (348, "<")
    fields = NiftiHeader(bytes(size), endianness).fields()
    fields["sizeof_hdr"], fields["magic"] = size, MAGIC[size]
    return fields


def sform(fields: NDArray[Any]) -> FloatArray:
    """Return the affine in the three rows of the header, in the header's unit of length."""
    rows = [np.asarray(fields[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
    return np.stack([*rows, np.array([0.0, 0.0, 0.0, 1.0])])


def qform(fields: NDArray[Any]) -> FloatArray:
    """Return the affine of the header's quaternion, offset and pixel sizes, in the header's unit of length.

    Raises:
        GeometryError: The quaternion is no rotation, or a pixel size is not above 0.
    """
    b, c, d = (float(fields[f"quatern_{axis}"]) for axis in "bcd")
    squares = b * b + c * c + d * d
    if not squares <= 1 + QUATERNION_EXCESS:
        raise GeometryError(f"The qform's quaternion ({b:g}, {c:g}, {d:g}) is no rotation. Repair the header.")
    sizes = np.asarray(fields["pixdim"][1:4], dtype=np.float64)
    if not (sizes > 0).all():
        raise GeometryError(f"The voxel sizes {sizes.tolist()} are not all above 0. Repair the header.")
    a = np.sqrt(max(0.0, 1 - squares))
    b, c, d = (x / np.sqrt(max(1.0, squares)) for x in (b, c, d))
    rotation = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ])  # fmt: skip
    affine = np.eye(4)
    handed = -1.0 if fields["pixdim"][0] < 0 else 1.0
    affine[:3, :3] = rotation * sizes * np.array([1.0, 1.0, handed])
    affine[:3, 3] = [float(fields[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def set_forms(fields: NDArray[Any], affine: FloatArray) -> None:
    """Write `affine` (mm) into both forms with code 1 (scanner), the qform as the nearest rotation."""
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)
    rotation = left @ right
    handed = -1.0 if np.linalg.det(rotation) < 0 else 1.0
    b, c, d = quaternion(rotation * np.array([1.0, 1.0, handed]))
    fields["pixdim"] = [handed, *sizes, 1, 1, 1, 1]
    fields["quatern_b"], fields["quatern_c"], fields["quatern_d"] = b, c, d
    for row, axis in enumerate("xyz"):
        fields[f"qoffset_{axis}"] = affine[row, 3]
        fields[f"srow_{axis}"] = affine[row]
    fields["sform_code"] = fields["qform_code"] = 1
    fields["xyzt_units"] = 2


def quaternion(rotation: FloatArray) -> tuple[float, float, float]:
    """Return b, c, d of the unit quaternion (a >= 0) of a proper rotation, stable for every angle (Bar-Itzhack)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    lower = np.array([
        [xx - yy - zz, 0, 0, 0],
        [yx + xy, yy - xx - zz, 0, 0],
        [zx + xz, zy + yz, zz - xx - yy, 0],
        [zy - yz, xz - zx, yx - xy, xx + yy + zz],
    ])  # fmt: skip
    b, c, d, a = np.linalg.eigh(lower / 3)[1][:, -1]  # eigh reads the lower triangle
    sign = -1.0 if a < 0 else 1.0
    return float(sign * b), float(sign * c), float(sign * d)
