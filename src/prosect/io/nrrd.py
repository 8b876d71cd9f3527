"""NRRD, attached or with its data beside it: verified reading, deterministic writing with Slicer's segment keys.

The header is parsed here, not by pynrrd (1.1.3): that drops every letter beyond ASCII from structure names, reads sizes
of `7.9 9 11` as 7 9 11, mixes key/value pairs with fields, refuses `(0.7, 0, 0)` and `Space Origin`, and keeps no text
to repeat. The tests compare what is written with pynrrd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError
from prosect.geometry import FloatArray, Grid
from prosect.io.atomic import gzip_chunks
from prosect.io.beside import data_beside
from prosect.io.lps import affine_in_lps
from prosect.io.nrrd_data import MAX_HEADER_BYTES, decode, invalid
from prosect.io.payload import check_extent, joint_hash, read_payload, spare_bytes, truncation
from prosect.io.segments import layered_segments, segment_fields, segment_names, segmentation_fields
from prosect.io.stored import Outgoing, StoredImage, voxel_chunks

__all__ = ["NrrdHeader", "encode", "load"]

TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
TYPE_OF: dict[str, str] = {}
for _code, _names in TYPES.items():
    TYPE_OF.update(dict.fromkeys(_names.split("|"), _code))
WORDS = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32", "f4": "float"}
# Signs that turn the file's axes into right, anterior, superior.
SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
SPATIAL_KINDS = ("domain", "space", "none", "???")
SCALAR_KINDS = ("list", "time", "vector", "point", "normal", "stub", "scalar", "???", "none")
MM_PER_UNIT = {"": 1.0, "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
VERSIONS = re.compile(r"NRRD000[1-5]\s*")
LISTED = re.compile(r"\s*LIST\b", re.IGNORECASE)
VECTORS = re.compile(r"none|\([^()]*\)")


@dataclass(frozen=True)
class NrrdHeader:
    """The three geometry lines of an NRRD file, kept as written.

    Attributes:
        space: Value of `space`.
        directions: The three vectors of `space directions`.
        origin: Value of `space origin`.
        units: Value of `space units`, empty where absent.
    """

    space: str
    directions: tuple[str, str, str]
    origin: str
    units: str = ""


def load(path: Path) -> StoredImage:
    """Return the image in an NRRD file, all bytes verified.

    Raises:
        FormatError: Truncated, corrupt, impossible header, colour or complex voxels, not three spatial axes, or data
            outside the folder of the file.
        GeometryError: No anatomical `space`, no directions or no origin.
        ResourceError: Larger than the free memory.
    """
    payload = read_payload(path)
    name = payload.name
    fields, keys, data_start = parse_header(payload.raw, name)
    sizes, dtype = voxel_layout(fields, name)
    need = check_extent(name, sizes, dtype.itemsize)
    data = memoryview(payload.raw)[data_start:]
    sha256 = payload.sha256
    if "data file" in fields:
        beside = data_beside(path, fields["data file"])
        data, sha256 = memoryview(beside.raw), joint_hash(payload, beside)
    raw, trailing = decode(data, need, spare_bytes(sizes, dtype.itemsize), fields, name)
    spatial, grid, header, notes = geometry(fields, sizes, name)
    array = np.frombuffer(raw, dtype).reshape(sizes, order="F")
    array = array[..., np.newaxis] if array.ndim == 3 else np.moveaxis(array, other_axis(spatial), 3)
    names, layers = segment_names(keys, array.shape[3])
    # Where each layer is one mask its number says enough.
    segments = () if layers else layered_segments(keys, array.shape[3])
    return StoredImage(
        name,
        "nrrd",
        array,
        grid,
        header=header,
        sha256=sha256,
        notes=notes + trailing,
        names=names,
        layers=layers,
        segments=segments,
    )


def parse_header(raw: bytes, name: str) -> tuple[dict[str, str], dict[str, str], int]:
    """Return the fields, the key/value pairs, and where the data begin.

    Raises:
        FormatError: The header never ends, repeats a field, or lacks one that is needed.
    """
    end = re.search(rb"\r?\n\r?\n", raw[:MAX_HEADER_BYTES])
    text = (raw[: end.start()] if end else raw[:MAX_HEADER_BYTES]).decode("utf-8", "replace")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    first, *lines = text.replace("\r\n", "\n").split("\n")
    if not VERSIONS.fullmatch(first):
        raise invalid(name, f"begins with {first[:40]!a}, not with NRRD0001 to NRRD0005")
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        key, mark, value = line.partition(":=")
        if mark:
            keys[key.strip()] = value.replace("\\n", "\n").replace("\\\\", "\\")
            continue
        key, mark, value = line.partition(": ")
        if not mark and LISTED.match(fields.get("data file", "")):
            continue  # the names of several data files, which are refused where the data are looked for
        if not mark or key.strip().lower() in fields:
            raise invalid(name, f"line {line[:60]!r} is not a field or repeats one")
        fields[key.strip().lower().replace("datafile", "data file")] = value.strip()
    if end is None and "data file" not in fields:
        raise truncation(name, len(raw), len(raw) + 1, "header bytes at least")
    missing = []
    for field in ("dimension", "type", "encoding", "sizes"):
        if field not in fields:
            missing.append(field)
    if missing:
        raise invalid(name, f"lacks {', '.join(missing)}")
    return fields, keys, end.end() if end else len(raw)


def voxel_layout(fields: dict[str, str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the sizes of all axes and the stored voxel type.

    Raises:
        FormatError: Contradictory sizes, fewer than three or more than four axes, or voxels of no number type.
    """
    try:
        sizes = tuple(int(n) for n in fields["sizes"].split())
        dimension = int(fields["dimension"])
    except ValueError:
        raise invalid(name, f"declares sizes {fields['sizes']!r} of {fields['dimension']!r} axes") from None
    if dimension != len(sizes):
        raise invalid(name, f"declares {dimension} axes but {len(sizes)} sizes")
    if len(sizes) < 3:
        raise FormatError(f"{name}: the image has {len(sizes)} axes; a 3D scan is needed.", code="INPUT_NOT_3D")
    if len(sizes) > 4:
        raise FormatError(f"{name}: the image has {len(sizes)} axes; 3 or 4 are read.", code="INPUT_NOT_SCALAR")
    code = TYPE_OF.get(fields["type"].lower())
    if code is None:
        raise invalid(name, f"declares voxel type {fields['type']!r}, which we do not read")
    endian = fields.get("endian", "" if code[1] != "1" else "little").lower()
    if endian not in ("little", "big"):
        raise invalid(name, "does not say whether the voxels are little or big endian")
    return sizes, np.dtype(("<" if endian == "little" else ">") + code)


def geometry(
    fields: dict[str, str], sizes: tuple[int, ...], name: str
) -> tuple[tuple[int, ...], Grid, NrrdHeader, tuple[str, ...]]:
    """Return which axes are spatial, the grid in RAS mm, the lines to repeat, and notes.

    Raises:
        GeometryError: `space`, `space directions` or `space origin` is missing, not anatomical or unusable.
        FormatError: The fourth axis holds colour or complex parts.
    """
    space = fields.get("space", "")
    absent = [field for field in ("space", "space directions", "space origin") if field not in fields]
    if absent or space.lower() not in SPACES:
        lacking = f"it lacks {', '.join(absent)}" if absent else f"its space is {space!r}"
        raise GeometryError(
            f"{name}: the file does not place its voxels in the patient ({lacking}). Save it again with `space: "
            "left-posterior-superior`, directions and origin, as 3D Slicer does.",
        )
    vectors = VECTORS.findall(fields["space directions"])
    if VECTORS.sub("", fields["space directions"]).strip():
        raise invalid(name, f"gives {fields['space directions'][:80]!r} for space directions")
    spatial = tuple(axis for axis, vector in enumerate(vectors) if vector != "none")
    if len(vectors) != len(sizes) or len(spatial) != 3:
        raise GeometryError(f"{name}: {len(spatial)} of {len(sizes)} axes have a direction; three are needed.")
    check_kind(fields, spatial, len(sizes), name)
    scale, unit = mm_per_unit(fields.get("space units", ""), name)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([numbers(vectors[axis], name) for axis in spatial], axis=1)
    affine[:3, 3] = numbers(fields["space origin"], name)
    affine[:3] *= np.array(SPACES[space.lower()])[:, np.newaxis] * scale
    first, second, third = (vectors[axis] for axis in spatial)
    header = NrrdHeader(space, (first, second, third), fields["space origin"], fields.get("space units", ""))
    try:
        grid = Grid(tuple(sizes[axis] for axis in spatial), affine)  # type: ignore[arg-type]
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from None
    notes = () if scale == 1 else (f"Lengths were converted from {unit} to mm.",)
    return spatial, grid, header, notes


def check_kind(fields: dict[str, str], spatial: tuple[int, ...], axes: int, name: str) -> None:
    """Refuse axes of kinds that the format does not have, and a fourth one that holds the parts of a voxel."""
    kinds = fields.get("kinds", "").lower().split()
    unknown = [kind for axis, kind in enumerate(kinds) if axis in spatial and kind not in SPATIAL_KINDS]
    if unknown:
        raise invalid(name, f"says that an axis of space is of the kind {unknown[0][:40]!r}")
    if axes == 3:
        return
    kind = "list"
    if len(kinds) == axes:
        kind = kinds[other_axis(spatial)]
    if kind not in SCALAR_KINDS:
        raise FormatError(
            f"{name}: each voxel holds {kind}, not one intensity. Convert the scan to a single channel.",
            code="INPUT_NOT_SCALAR",
        )


def other_axis(spatial: tuple[int, ...]) -> int:
    """Return the one of four axes that is not spatial."""
    return next(axis for axis in range(4) if axis not in spatial)


def mm_per_unit(units: str, name: str) -> tuple[float, str]:
    """Return the length in mm of the file's unit, and its name."""
    found = sorted(set(re.findall(r'"([^"]*)"', units)))
    if len(found) > 1 or (found and found[0].lower() not in MM_PER_UNIT):
        raise GeometryError(f"{name}: the space units {units} are not one known unit of length. Save it again in mm.")
    unit = ""
    if found:
        unit = found[0].lower()
    return MM_PER_UNIT[unit], unit


def numbers(vector: str, name: str) -> FloatArray:
    """Return the three numbers of `(a,b,c)`."""
    bare = vector.strip()
    try:
        values = []
        for part in bare[1:-1].split(","):
            values.append(float(part))
    except ValueError:
        values = []
    if len(values) != 3 or (bare[0], bare[-1]) != ("(", ")"):
        raise GeometryError(f"{name}: {vector[:60]!r} is not a vector of three numbers. Save the scan again.")
    return np.array(values)


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the bytes of an attached, gzipped NRRD file in LPS, with Slicer's keys for the structures.

    On the grid of an NRRD source its space, directions and origin are repeated as written.
    """
    kept = image.header if isinstance(image.header, NrrdHeader) else lps_header(image.grid)
    dtype = image.dtype.newbyteorder("<")
    layers = (image.array.shape[0],) if image.layered else ()
    sizes = " ".join(str(size) for size in (*layers, *image.grid.shape))
    # The axis of the layers comes first and has no direction.
    extra, kinds = ("none ", "list ") if image.layered else ("", "")
    units = [f"space units: {kept.units}"] if kept.units else []
    segments = [f"{key}:={value}" for key, value in (*segmentation_fields(image), *segment_fields(image))]
    lines = [
        "NRRD0005",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {WORDS[image.dtype.str[1:]]}",
        f"dimension: {3 + len(layers)}",
        f"space: {kept.space}",
        f"sizes: {sizes}",
        f"space directions: {extra}{' '.join(kept.directions)}",
        f"kinds: {kinds}domain domain domain",
        "endian: little",
        "encoding: gzip",
        *units,
        f"space origin: {kept.origin}",
        *segments,
    ]
    yield ("\n".join(lines) + "\n\n").encode()
    chunks = layer_chunks(image.array, dtype) if image.layered else voxel_chunks(image.array, dtype)
    yield from gzip_chunks(chunks)


def layer_chunks(masks: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yield masks (c i j k) with c running fastest, as Slicer stores layers."""
    for k in range(masks.shape[3]):
        yield masks[..., k].astype(dtype).tobytes(order="F")


def lps_header(grid: Grid) -> NrrdHeader:
    """Return the geometry lines of a grid in LPS, each number with all its digits."""
    lps = affine_in_lps(grid)
    first, second, third, origin = (vector_text(lps[:3, axis]) for axis in range(4))
    return NrrdHeader("left-posterior-superior", (first, second, third), origin)


def vector_text(vector: FloatArray) -> str:
    """Return a vector of three numbers as NRRD writes it, each with all its digits."""
    return f"({','.join(repr(float(number)) for number in vector)})"
