"""A header (`.hdr`) and its voxels (`.img`) in two files: NIfTI pairs, and ANALYZE 7.5 where its orientation is stated.

ANALYZE headers have the same sizes and types at the same places, and no orientation: programs disagree on which side is
left. So they are read only where the caller says where voxel axes point.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from prosect.errors import FormatError, GeometryError
from prosect.io.nifti import bits_note, geometry, header_invalid, label_names, scaling, voxel_layout
from prosect.io.nifti_header import Header, parse_header
from prosect.io.paths import PAIR_VOXELS, file_name, in_any_spelling
from prosect.io.payload import (
    Payload,
    check_extent,
    inflate,
    inflate_head,
    joint_hash,
    note_trailing,
    read_payload,
    spare_bytes,
)
from prosect.io.stored import StoredImage

__all__ = ["load"]

MAGIC = (b"ni1\x00", b"ni2\x00\r\n\x1a\n")
MAX_HEADER_BYTES = 1 << 20


def load(path: Path, assumed: str | None = None) -> StoredImage:
    """Return the image of a header and the file of voxels beside it, all bytes verified.

    Args:
        path: The header; the voxels lie beside it under the same name.
        assumed: Where the voxel axes point, such as `LAS`, for a header that does not say.

    Raises:
        FormatError: The voxels are missing (`INPUT_DETACHED`); truncated, corrupt, impossible header, colour.
        GeometryError: The header does not say where voxels are, as ANALYZE 7.5 never does, and nothing was assumed.
        ResourceError: Larger than the free memory.
    """
    head, data = read_payload(path), read_payload(voxels_beside(path))
    name = head.name
    raw = inflate_head(head.raw, MAX_HEADER_BYTES, name) if is_gzip(head) else head.raw
    stored = parse_header(raw + bytes(4), name)  # the mark of extensions may be left out
    header = stored.fields()
    is_nifti = raw[344:348] in MAGIC or raw[4:12] in MAGIC
    if not is_nifti:
        header = orientation_free(header, name, assumed)
    shape, dtype = voxel_layout(header, name)
    offset = float(header["vox_offset"])
    if not (0 <= offset < 2**31 and offset == int(offset)):
        raise header_invalid(name, f"says that the voxels begin at byte {offset:g}")
    start, need = int(offset), check_extent(name, shape, dtype.itemsize)
    spare = spare_bytes(shape, dtype.itemsize)
    whole: bytes | bytearray = data.raw
    if is_gzip(data):
        whole = inflate(data.raw, start + need, data.name, spare=spare)
    trailing = note_trailing(data.name, len(whole) - start, need, spare)
    array = np.frombuffer(whole, dtype, math.prod(shape), start).reshape(shape, order="F")
    slope, inter = scaling(header, name)
    grid, repairs, notes = geometry(header, shape[:3], name, assumed)
    names: dict[int, str] = {}
    layers: tuple[int, ...] = ()
    if is_nifti and len(raw) > len(stored.raw):
        names, layers = label_names(raw, len(stored.raw), len(raw), stored.endianness)
    layers = layers if len(layers) == shape[3] else ()
    return StoredImage(
        name, "nifti", array, grid, slope, inter, stored if is_nifti else None, joint_hash(head, data), repairs,
        notes + bits_note(header) + trailing, names, layers,
    )  # fmt: skip


def is_gzip(payload: Payload) -> bool:
    """Return whether the bytes of a file are a gzip stream."""
    return payload.raw[:2] == b"\x1f\x8b"


def voxels_beside(path: Path) -> Path:
    """Return the file of the voxels of a header.

    Raises:
        FormatError: There is none (`INPUT_DETACHED`).
    """
    found = in_any_spelling(path, PAIR_VOXELS)
    if found is None:
        raise FormatError(
            f"{file_name(path)}: the header's voxels (.img) are not beside it. Put both files into one folder.",
            code="INPUT_DETACHED",
        )
    return found


def orientation_free(header: Header, name: str, assumed: str | None) -> Header:
    """Return an ANALYZE 7.5 header as a NIfTI header that says nothing of orientation.

    Scale factors are those of SPM; other programs leave them 0.

    Raises:
        GeometryError: No orientation was stated.
    """
    if assumed is None:
        raise GeometryError(
            f"{name}: this is an ANALYZE 7.5 header, which has no orientation, and programs disagree on which side is "
            "left. State where its voxel axes point (`--assume-orientation LAS`)."
        )
    plain = header.copy()
    # What NIfTI keeps here is free text in ANALYZE.
    for field in ("sform_code", "qform_code", "intent_code"):
        plain[field] = 0
    plain["xyzt_units"] = 2
    plain["pixdim"][:4] = np.abs(plain["pixdim"][:4])
    for field in ("scl_slope", "scl_inter"):
        if not np.isfinite(plain[field]):
            plain[field] = 0
    return plain
