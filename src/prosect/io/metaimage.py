"""MetaImage (.mha, .mhd): verified reading, deterministic writing. ITK calls reading a truncated one a success.

The header is parsed here, not by SimpleITK: that reads files by name only, follows `ElementDataFile` out of the folder,
and makes up a missing direction or origin, so we would have to parse the same fields before trusting it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from prosect.errors import FormatError, GeometryError, OutputError
from prosect.geometry import FloatArray, Grid
from prosect.io.atomic import gzip_chunks
from prosect.io.beside import data_beside
from prosect.io.lps import affine_from_lps, affine_in_lps
from prosect.io.payload import check_extent, inflate, joint_hash, note_trailing, read_payload, spare_bytes, truncation
from prosect.io.segments import segment_fields, segment_names
from prosect.io.stored import Outgoing, StoredImage, voxel_chunks

__all__ = ["encode", "load"]

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
WORDS = {"u1": "MET_UCHAR", "u2": "MET_USHORT", "f4": "MET_FLOAT"}
MAX_HEADER_BYTES = 1 << 20
ORIGIN_KEYS = ("Offset", "Origin", "Position")
DIRECTION_KEYS = ("TransformMatrix", "Orientation", "Rotation")


def load(path: Path) -> StoredImage:
    """Return the image in a MetaImage file, all bytes verified.

    Raises:
        FormatError: Truncated, corrupt, impossible header, colour voxels, not three axes, or data outside the folder.
        GeometryError: No spacing, direction or origin.
        ResourceError: Larger than the free memory.
    """
    payload = read_payload(path)
    name = payload.name
    fields, start = parse_header(payload.raw, name)
    sizes, dtype = voxel_layout(fields, name)
    need = check_extent(name, sizes, dtype.itemsize)
    data = memoryview(payload.raw)[start:]
    sha256 = payload.sha256
    if fields["ElementDataFile"].upper() != "LOCAL":
        beside = data_beside(path, fields["ElementDataFile"])
        data, sha256 = memoryview(beside.raw), joint_hash(payload, beside)
    compressed = flag(fields, "CompressedData", name)
    data = without_header(data, fields, need, name, compressed)
    if compressed:
        said = fields.get("CompressedDataSize", str(len(data)))
        if said != str(len(data)):
            raise invalid(name, f"declares {said[:40]} compressed bytes but {len(data)} follow")
        raw: bytearray | memoryview = inflate(data, need, name, wbits=47)
    else:
        raw = data
    # Bytes after the voxels are let pass only where the header does not say how many come before them.
    if "HeaderSize" in fields:
        spare = 0
    else:
        spare = spare_bytes(sizes, dtype.itemsize)
    trailing = note_trailing(name, len(raw), need, spare)
    raw = raw[:need]
    grid = geometry(fields, sizes, name)
    array = np.frombuffer(raw, dtype).reshape((*sizes, 1)[:4], order="F")
    names, layers = segment_names(fields, array.shape[3])
    return StoredImage(name, "metaimage", array, grid, sha256=sha256, notes=trailing, names=names, layers=layers)


def parse_header(raw: bytes, name: str) -> tuple[dict[str, str], int]:
    """Return the fields, spelled as ITK spells them, and where the data begin.

    Raises:
        FormatError: The header does not end with `ElementDataFile`, or has lines that are no fields or repeat one.
    """
    fields: dict[str, str] = {}
    position = 0
    while position < min(len(raw), MAX_HEADER_BYTES):
        end = raw.find(b"\n", position, MAX_HEADER_BYTES)
        if end >= 0:
            end = end
        else:
            end = min(len(raw), MAX_HEADER_BYTES)
        key, mark, value = raw[position:end].decode("utf-8", "replace").partition("=")
        position = end + 1
        if not mark and not key.strip():
            continue
        if key.strip() == "Comment":
            continue
        if not mark or key.strip() in fields:
            raise invalid(name, f"line {key.strip()[:40]!a} is not a field or repeats one")
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            return fields, position
    raise truncation(name, len(raw), len(raw) + 1, "header bytes at least (no ElementDataFile)")


def without_header(data: memoryview, fields: dict[str, str], need: int, name: str, compressed: bool) -> memoryview:
    """Return the data after what `HeaderSize` says comes before them; -1 means that the voxels end the file.

    Raises:
        FormatError: No size that a header can have, or one that the data contradict.
    """
    text = fields.get("HeaderSize", "0")
    try:
        size = int(text)
    except ValueError:
        size = -2
    local = fields["ElementDataFile"].upper() == "LOCAL"
    if not -1 <= size <= MAX_HEADER_BYTES or (size == -1 and compressed) or (size > 0 and local):
        raise invalid(name, f"gives {text[:40]!r} for HeaderSize, which these data cannot have")
    if size == -1:
        return data[max(0, len(data) - need) :]
    return data[size:]


def voxel_layout(fields: dict[str, str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the three (or four, the last of length 1 or more) sizes and the stored voxel type.

    Raises:
        FormatError: Impossible or unsupported declarations.
    """
    sizes = tuple(int(n) for n in numbers(fields, ("DimSize",), name))
    if fields.get("NDims") != str(len(sizes)):
        raise invalid(name, f"declares {fields.get('NDims')} axes but {len(sizes)} sizes")
    if len(sizes) not in (3, 4):
        raise FormatError(
            f"{name}: the image has {len(sizes)} axes; a 3D scan, or several in a fourth axis, is needed.",
            code="INPUT_NOT_3D",
        )
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise FormatError(
            f"{name}: each voxel holds {fields['ElementNumberOfChannels']} numbers, not one intensity. "
            "Convert the scan to a single channel.",
            code="INPUT_NOT_SCALAR",
        )
    code = TYPES.get(fields.get("ElementType", ""))
    plain = {
        "BinaryData": "true",
        "ElementToIntensityFunctionSlope": "1",
        "ElementToIntensityFunctionOffset": "0",
    }
    odd = []
    for key, value in plain.items():
        if fields.get(key, value).lower() != value:
            odd.append(key)
    if odd:
        raise invalid(name, f"uses {odd[0]}, which we do not read")
    if code is None:
        raise invalid(name, f"uses {fields.get('ElementType', 'no ElementType')}, which we do not read")
    big = any(flag(fields, key, name) for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    return sizes, np.dtype((">" if big else "<") + code)


def flag(fields: dict[str, str], key: str, name: str) -> bool:
    """Return whether a field says True; without the field, False.

    Raises:
        FormatError: It says neither True nor False.
    """
    value = fields.get(key, "False").lower()
    if value not in ("true", "false"):
        raise invalid(name, f"says {value[:40]!r} for {key}; True or False is needed")
    return value == "true"


def geometry(fields: dict[str, str], sizes: tuple[int, ...], name: str) -> Grid:
    """Return the grid in RAS mm; each row of the matrix in the file is the direction of one voxel axis in LPS.

    Raises:
        GeometryError: Spacing, direction or origin is missing or unusable.
    """
    axes = len(sizes)
    spacing = numbers(fields, ("ElementSpacing",), name, axes)[:3]
    matrix = numbers(fields, DIRECTION_KEYS, name, axes * axes).reshape(axes, axes)
    directions = matrix[:3, :3]
    if np.any(matrix[3:, :3]) or np.any(matrix[:3, 3:]):
        raise GeometryError(f"{name}: the fourth axis is turned into space. Export the scan again, volume by volume.")
    if np.abs(np.linalg.norm(directions, axis=1) - 1).max() > 1e-2 or spacing.min() <= 0:
        raise GeometryError(
            f"{name}: directions {directions.round(4).tolist()} and spacing {spacing.tolist()} mm; unit vectors and "
            "numbers above 0 are needed. Export the scan again.",
        )
    affine = affine_from_lps(directions.T, spacing, numbers(fields, ORIGIN_KEYS, name, axes)[:3])
    try:
        return Grid((sizes[0], sizes[1], sizes[2]), affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from None


def numbers(fields: dict[str, str], keys: tuple[str, ...], name: str, count: int | None = None) -> FloatArray:
    """Return the numbers of the first of several keys that is there.

    Raises:
        GeometryError: A geometry key is missing or not `count` numbers.
        FormatError: `DimSize` is not a list of numbers.
    """
    text = next((fields[key] for key in keys if key in fields), "")
    try:
        values = np.array([float(part) for part in text.split()])
    except ValueError:
        values = np.empty(0)
    if count is None:
        if values.size and np.isfinite(values).all() and np.array_equal(values, values.round()):
            return values
        raise invalid(name, f"declares sizes {text!r}")
    if values.size != count:
        raise GeometryError(
            f"{name}: the header gives {text or 'nothing'!r} for {keys[0]}; {count} numbers are needed to place the "
            "voxels in the patient. Export the scan again from a program that keeps its geometry.",
        )
    return values


def invalid(name: str, cause: str) -> FormatError:
    """Return the refusal for a header that contradicts itself or the format."""
    return FormatError(f"{name}: the header {cause}. Export the scan again.", code="INPUT_HEADER_INVALID")


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the bytes of a compressed .mha file in LPS.

    Raises:
        FormatError: Layered labels, or a sheared grid: MetaImage readers take neither.
    """
    if image.layered:
        raise OutputError(
            "Layered labels cannot be stored as MetaImage; use .nrrd or .nii.gz.", code="OUTPUT_UNSUPPORTED"
        )
    if image.grid.shear > 1e-6:
        raise OutputError(
            "The grid is sheared (gantry tilt), which MetaImage readers cannot place; use .nii.gz or .nrrd.",
            code="OUTPUT_UNSUPPORTED",
        )
    data = list(gzip_chunks(voxel_chunks(image.array, image.dtype.newbyteorder("<"))))
    lps = affine_in_lps(image.grid)[:3]
    spacing = image.grid.spacing_mm
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(sum(map(len, data))),
        "TransformMatrix": join_numbers((lps[:, :3] / spacing).T.ravel()),
        "Offset": join_numbers(lps[:, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": join_numbers(spacing),
        "DimSize": " ".join(map(str, image.grid.shape)),
        **dict(segment_fields(image)),
        "ElementType": WORDS[image.dtype.str[1:]],
        "ElementDataFile": "LOCAL",
    }
    yield "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()
    yield from data


def join_numbers(values: Any) -> str:
    """Return numbers with all their digits, separated by blanks."""
    return " ".join(repr(float(value)) for value in values)
