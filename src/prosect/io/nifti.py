"""NIfTI-1 and NIfTI-2, plain or gzipped, either byte order: verified reading, deterministic writing.

The bytes are checked here (stream, sizes, header bounds) before nibabel's header classes interpret them. World
position comes from the sform if its code is above 0, else from the qform if its code is, else the file is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Extension, intent_codes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError, OutputError
from prosect.geometry import FloatArray, Grid
from prosect.io.label_table import caret_xml, parse_caret_xml
from prosect.io.nifti_header import GEOMETRY_FIELDS, Header, NiftiHeader, empty_header, parse_header, qform
from prosect.io.payload import (
    Payload,
    check_extent,
    inflate,
    inflate_head,
    note_trailing,
    read_payload,
    spare_bytes,
    too_long,
)
from prosect.io.stored import Outgoing, StoredImage, voxel_chunks

__all__ = [
    "bits_note",
    "encode",
    "encode_stack",
    "geometry",
    "header_invalid",
    "image_of",
    "label_names",
    "load",
    "scaling",
    "voxel_layout",
]

# Colour stored plane by plane, as some converters number it; not in the standard, so unknown to nibabel.
RGB_PLANES = 511
# The extension of the standard for plain text.
COMMENT = 6
VECTOR_INTENTS = [intent_codes[label] for label in ("symmetric matrix", "displacement vector", "vector")]
MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
XFORM_CODES = range(6)
HEAD_BYTES = 4096
# The largest disagreement of sform and qform, in mm at a corner, that float32 alone explains (measured 7e-3).
FORM_TOLERANCE_MM = 1e-2
SIZE_TOLERANCE = 1e-2
SHEAR_TOLERANCE = 1e-3


def load(path: Path, assumed: str | None = None) -> StoredImage:
    """Return the image in a NIfTI file, all bytes verified.

    Args:
        path: The file.
        assumed: Where the voxel axes point, such as `RAS`, for a file that does not say.

    Raises:
        FormatError: Truncated, corrupt, impossible header, colour or complex voxels, fewer than three axes.
        GeometryError: No usable sform or qform.
        ResourceError: Larger than the free memory.
    """
    return image_of(read_payload(path), assumed)


def image_of(payload: Payload, assumed: str | None = None) -> StoredImage:
    """Return the image in the bytes of a NIfTI file; see `load`."""
    name, gzipped = payload.name, payload.raw[:2] == b"\x1f\x8b"
    stored = parse_header(inflate_head(payload.raw, HEAD_BYTES, name) if gzipped else payload.raw[:HEAD_BYTES], name)
    header = stored.fields()
    shape, dtype = voxel_layout(header, name)
    offset = data_offset(header, len(stored.raw), name)
    need = check_extent(name, shape, dtype.itemsize)
    spare = spare_bytes(shape, dtype.itemsize)
    whole: bytes | bytearray = payload.raw
    if gzipped:
        whole = inflate(payload.raw, offset + need, name, spare=spare)
    trailing = note_trailing(name, len(whole) - offset, need, spare)
    if trailing and offset != extensions_end(whole, len(stored.raw), stored.endianness):
        # Where the voxels begin is then in doubt, too, and a shift by a few bytes would spoil them all.
        raise too_long(name, offset + need)
    array = np.frombuffer(whole, dtype, math.prod(shape), offset).reshape(shape, order="F")
    slope, inter = scaling(header, name)
    grid, repairs, notes = geometry(header, shape[:3], name, assumed)
    names, layers = label_names(whole, len(stored.raw), offset, stored.endianness)
    layers = layers if len(layers) == shape[3] else ()
    notes += bits_note(header) + trailing
    return StoredImage(
        name, "nifti", array, grid, slope, inter, stored, payload.sha256, repairs, notes, names, layers
    )  # fmt: skip


def voxel_layout(header: Header, name: str) -> tuple[tuple[int, int, int, int], np.dtype[Any]]:
    """Return the shape (i j k c) and the stored voxel type.

    Raises:
        FormatError: Impossible dimensions, fewer than three axes, or voxels that are not one real number.
    """
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7:
        raise header_invalid(name, f"declares {dims[0]} axes; 1 to 7 are possible")
    sizes = dims[1 : dims[0] + 1]
    if len(sizes) < 3:
        raise FormatError(
            f"{name}: the image has {len(sizes)} axes ({' x '.join(map(str, sizes))}); a 3D scan is needed.",
            code="INPUT_NOT_3D",
        )
    check_extent(name, sizes, 1)
    code = int(header["datatype"])
    label = "RGB" if code == RGB_PLANES else header.get_value_label("datatype")
    vector = (len(sizes) > 4 and max(sizes[4:]) > 1) or int(header["intent_code"]) in VECTOR_INTENTS
    if vector or label.startswith(("RGB", "complex")):
        raise FormatError(
            f"{name}: each voxel holds {'a vector' if vector else label}, not one intensity. "
            "Convert the scan to a single channel.",
            code="INPUT_NOT_SCALAR",
        )
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except KeyError:
        dtype = np.dtype(np.void)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise header_invalid(name, f"declares voxel type {code} ({label}), which we do not read")
    # Some programs leave 0 here; the voxel type says the same.
    if int(header["bitpix"]) not in (0, 8 * dtype.itemsize):
        raise header_invalid(name, f"declares {label} voxels of {int(header['bitpix'])} bits")
    return (sizes[0], sizes[1], sizes[2], sizes[3] if len(sizes) > 3 else 1), dtype


def data_offset(header: Header, header_bytes: int, name: str) -> int:
    """Return where the voxels begin, at the earliest right after the header and its extension flag."""
    offset, first = float(header["vox_offset"]), header_bytes + 4
    if not (first <= offset < 2**31 and offset == int(offset)):
        raise header_invalid(name, f"says that the voxels begin at byte {offset:g}; {first} is the first possible")
    return int(offset)


def extensions_end(whole: bytes | bytearray, header_bytes: int, endianness: str) -> int:
    """Return where header and extensions end, which is where voxels usually begin."""
    position, order = header_bytes + 4, "little" if endianness == "<" else "big"
    while whole[header_bytes] and position + 8 <= len(whole):
        size = int.from_bytes(whole[position : position + 4], order)  # type: ignore[arg-type]
        # Extensions take a multiple of 16 bytes; anything else is voxels already.
        if size < 16 or size % 16 or position + size > len(whole):
            break
        position += size
    return position


def bits_note(header: Header) -> tuple[str, ...]:
    """Return a note where the header leaves the bits of a voxel at 0."""
    return ("The header says 0 bits per voxel; its voxel type was used.",) if int(header["bitpix"]) == 0 else ()


def scaling(header: Header, name: str) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or NaN means that nothing is scaled and the intercept is ignored."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not (np.isfinite(slope) and np.isfinite(inter)):
        raise header_invalid(name, f"scales voxels by {slope:g} and adds {inter:g}")
    return slope, inter


def header_invalid(name: str, cause: str) -> FormatError:
    """Return the refusal for a header that contradicts itself or the format."""
    return FormatError(f"{name}: the header {cause}. Export the scan again.", code="INPUT_HEADER_INVALID")


def geometry(
    header: Header, shape: tuple[int, int, int], name: str, assumed: str | None = None
) -> tuple[Grid, tuple[str, ...], tuple[str, ...]]:
    """Return the grid in RAS mm, repairs worth a warning, and notes.

    Raises:
        GeometryError: Neither sform nor qform is in force, or the one in force is unusable.
    """
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    unit = int(header["xyzt_units"]) & 7
    if unit not in MM_PER_UNIT:
        raise header_invalid(name, f"declares the unknown length unit {unit}")
    if not (sform in XFORM_CODES and qform in XFORM_CODES):
        raise header_invalid(name, f"says sform_code {sform} and qform_code {qform}; 0 to 5 have a meaning")
    if sform == qform == 0 and assumed is not None:
        note = f"The file does not say where its voxels are; {assumed} was assumed, as asked, with 0 at its centre."
        return assumed_grid(header, assumed, shape, MM_PER_UNIT[unit], name), (), (note,)
    if sform == qform == 0:
        raise GeometryError(
            f"{name}: sform_code and qform_code are both 0, so the file does not say where its voxels are, and "
            "programs disagree on which side is left. Set the sform from the original scan, or state the orientation "
            "(`--assume-orientation RAS`).",
        )
    grids = [
        place_voxels(header, form, shape, MM_PER_UNIT[unit]) for form, on in (("s", sform), ("q", qform)) if on > 0
    ]
    if isinstance(grids[0], GeometryError):
        raise GeometryError(f"{name}: {grids[0]}")
    notes = () if MM_PER_UNIT[unit] == 1 else (f"Lengths were converted from {('m', 'mm', 'um')[unit - 1]} to mm.",)
    # A damaged header may hold a signalling NaN, which even a cast warns of.
    with np.errstate(invalid="ignore"):
        sizes = np.abs(header["pixdim"][1:4].astype(np.float64)) * MM_PER_UNIT[unit]
    doubts = form_conflict(grids) or size_conflict(grids[0], sizes)
    return grids[0], doubts if sform else (*doubts, *odd_handedness(header)), notes


def assumed_grid(header: Header, assumed: str, shape: tuple[int, int, int], scale: float, name: str) -> Grid:
    """Return the grid in RAS mm of voxels whose axes point as `assumed` says, sized by `pixdim`, centred at 0.

    Raises:
        GeometryError: `pixdim` holds no sizes.
    """
    sizes = header["pixdim"][1:4].astype(np.float64) * scale
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for axis, letter in enumerate(assumed):
        row = next(row for row, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = sizes[axis] if letter in "RAS" else -sizes[axis]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    try:
        return Grid(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from None


def place_voxels(header: Header, form: str, shape: tuple[int, int, int], scale: float) -> Grid | GeometryError:
    """Return the grid by the sform (`s`) or the qform (`q`), or why it cannot be had."""
    try:
        with np.errstate(all="ignore"):  # a signalling NaN warns when cast; the grid refuses it
            affine = header.get_sform() if form == "s" else qform(header)
        affine[:3] *= scale
        return Grid(shape, affine)
    except GeometryError as error:
        return error


def form_conflict(grids: list[Grid | GeometryError]) -> tuple[str, ...]:
    """Return a sentence where sform and qform place a corner differently, else nothing."""
    if len(grids) < 2 or not isinstance(grids[0], Grid):
        return ()
    if not isinstance(grids[1], Grid):
        return (f"The sform was used; the qform is unusable. {grids[1]}",)
    distance = grids[0].distance_to(grids[1])
    if distance <= FORM_TOLERANCE_MM:
        return ()
    return (f"sform and qform differ by {distance:.3g} mm at a corner of the scan; the sform was used.",)


def odd_handedness(header: Header) -> tuple[str, ...]:
    """Return a sentence where the handedness of the qform is neither 1 nor -1 nor left out, else nothing.

    Programs go by its sign or take it for 1, and then disagree on which end of the scan is up.
    """
    qfac = float(header["pixdim"][0])
    if qfac in (-1.0, 0.0, 1.0):
        return ()
    return (f"pixdim[0], the handedness of the qform, is {qfac:.4g}, which should be 1 or -1; its sign was used.",)


def size_conflict(grid: Grid, sizes_mm: FloatArray) -> tuple[str, ...]:
    """Return a sentence where the voxel sizes of `pixdim` are not those of the grid, else nothing.

    Programs differ on what size a sheared voxel has, so there nothing is compared.
    """
    if grid.shear > SHEAR_TOLERANCE or np.allclose(sizes_mm, grid.spacing_mm, rtol=SIZE_TOLERANCE, atol=0):
        return ()
    said, used = sizes_text(sizes_mm), sizes_text(grid.spacing_mm)
    return (f"pixdim says that voxels are {said} mm, the geometry in force {used} mm, which was used.",)


def sizes_text(sizes_mm: Iterable[float]) -> str:
    """Return the sizes of a voxel for a message."""
    return " x ".join(f"{size:.4g}" for size in sizes_mm)


def label_names(
    whole: bytes | bytearray, header_bytes: int, offset: int, endianness: str
) -> tuple[dict[int, str], tuple[int, ...]]:
    """Return the names, and per volume the label value, from the first Caret label table among the extensions."""
    position, order = header_bytes + 4, "little" if endianness == "<" else "big"
    while whole[header_bytes] and position + 8 <= offset:
        size = int.from_bytes(whole[position : position + 4], order)  # type: ignore[arg-type]
        if size < 16 or position + size > offset:
            break
        content = bytes(whole[position + 8 : position + size])
        if b"<LabelTable" in content:
            return parse_caret_xml(content)
        position += size
    return {}, ()


def encode(image: Outgoing) -> Iterator[bytes]:
    """Yield the bytes of a plain NIfTI file: header, label table, voxels.

    On the grid of a NIfTI source, sform, qform, codes, pixdim and units are repeated bit for bit, in its NIfTI version
    and byte order. Nothing else of the source header is copied: free-text fields can carry a patient's name.
    """
    like = image.header if isinstance(image.header, NiftiHeader) else None
    header = header_for(image.grid, like)
    dtype = image.dtype.newbyteorder(header.endianness)
    shape = image.grid.shape + ((image.array.shape[0],) if image.layered else ())
    fill_header(header, shape, dtype, "label" if image.is_labels else "none")
    if image.labels:
        header.extensions.append(label_table(image))
    yield header_content(header)
    for volume in image.array if image.layered else image.array[np.newaxis]:
        yield from voxel_chunks(volume, dtype)


def encode_stack(
    volumes: Iterable[NDArray[np.float32]], names: Sequence[str], grid: Grid, like: object = None
) -> Iterator[bytes]:
    """Yield the bytes of a NIfTI file of several volumes of intensities, which are asked for one after another.

    A comment in the header (extension code 6) is their names in JSON: `{"volumes": [...]}`.

    Args:
        volumes: Each (i j k) float32, as many as `names`.
        names: What they are.
        grid: Their geometry.
        like: The header of a source on the same grid, whose geometry is repeated.
    """
    header = header_for(grid, like if isinstance(like, NiftiHeader) else None)
    dtype = np.dtype(np.float32).newbyteorder(header.endianness)
    fill_header(header, (*grid.shape, len(names)), dtype, "none")
    header.extensions.append(padded_extension(COMMENT, json.dumps({"volumes": list(names)}).encode()))
    yield header_content(header)
    for volume in volumes:
        yield from voxel_chunks(volume, dtype)


def header_content(header: Header) -> bytes:
    """Return a header and its extensions as they stand before the voxels."""
    start = BytesIO()
    header.write_to(start)
    return start.getvalue()


def header_for(grid: Grid, like: NiftiHeader | None) -> Header:
    """Return an empty header with the geometry of `like`, or with `grid` where there is none."""
    header = empty_header(like)
    if like is not None:
        source = like.fields()
        for field in GEOMETRY_FIELDS:
            header[field] = source[field]
        return header
    header.set_sform(grid.affine, "scanner")
    header.set_qform(grid.affine, "scanner")
    header.set_xyzt_units("mm")
    twin = place_voxels(header, "q", grid.shape, 1.0)
    if isinstance(twin, GeometryError) or twin.distance_to(grid) > FORM_TOLERANCE_MM:
        header["qform_code"] = 0  # a qform cannot express shear: better none than another place
    return header


def fill_header(header: Header, shape: tuple[int, ...], dtype: np.dtype[Any], intent: str) -> None:
    """Set what does not concern geometry: shape, type, neutral scaling and intent.

    Raises:
        FormatError: The shape or the voxel type does not fit.
    """
    try:
        # Not by set_data_shape, which overwrites pixel sizes that must be repeated and has special shapes of its own.
        header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
        header.set_data_dtype(dtype)
    except (HeaderDataError, OverflowError) as error:
        raise OutputError(
            f"NIfTI cannot hold {shape} voxels of {dtype.name}: {error}.", code="OUTPUT_UNSUPPORTED"
        ) from error
    header.set_slope_inter(1, 0)
    header.set_intent(intent)
    header["descrip"] = b"prosect"


def label_table(image: Outgoing) -> Nifti1Extension[bytes]:
    """Return the names as a header extension with code 0, filled with blanks (nibabel would fill with zero bytes)."""
    return padded_extension(0, caret_xml(image.labels, image.layered))


def padded_extension(code: int, content: bytes) -> Nifti1Extension[bytes]:
    """Return a header extension filled with blanks."""
    return Nifti1Extension(code, content + b" " * (-(len(content) + 8) % 16))
