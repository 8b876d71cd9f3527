"""The intensities of one DICOM slice: bounded before decoding, scaled by the slice's own slope and intercept."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from prosect.errors import FormatError
from prosect.io.payload import corrupt, truncated

__all__ = ["PARSE_ERRORS", "parse", "rescaled", "slice_values"]

# What pydicom and its decoders raise on damaged data sets, besides their own classes (found by fuzzing).
PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, struct.error, ValueError, TypeError, KeyError, IndexError,
    AttributeError, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError, MemoryError,
)  # fmt: skip
# A lossless slice of nothing but air shrinks at most this much; Rows x Columns beyond it are forged.
MAX_PIXEL_RATIO = 200
# pydicom inflates a deflated data set without a limit, so only small ones are let in (2 GiB at the worst ratio).
MAX_DEFLATED_BYTES = 2 << 20
EXTRAS = {
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
}


def parse(name: str, raw: bytes, tags: list[str] | None = None) -> Any:
    """Return the pydicom data set in `raw`; with `tags`, only those and nothing from the pixels on.

    Raises:
        FormatError: The bytes are damaged (`INPUT_CORRUPT`).
    """
    if len(raw) > MAX_DEFLATED_BYTES and DeflatedExplicitVRLittleEndian.encode() in raw[:1024]:
        raise no_decoder(name, UID(DeflatedExplicitVRLittleEndian))
    try:
        return dcmread(BytesIO(raw), force=True, stop_before_pixels=tags is not None, specific_tags=tags)
    except PARSE_ERRORS as error:
        raise corrupt(name, f"DICOM header: {type(error).__name__}") from error


def slice_values(name: str, dataset: Any, size: int) -> NDArray[Any]:
    """Return the stored values (row, column) of a slice.

    Args:
        name: File name for messages.
        dataset: The whole data set.
        size: Length of the file, which bounds what may be decoded.

    Raises:
        FormatError: Truncated, damaged, forged dimensions, or no decoder for its compression (`DICOM_NO_DECODER`).
    """
    try:
        return checked_values(name, dataset, size)
    except PARSE_ERRORS as error:
        raise corrupt(name, f"pixels: {type(error).__name__}") from error


def checked_values(name: str, dataset: Any, size: int) -> NDArray[Any]:
    """Return what `slice_values` does; pydicom's own errors pass."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    need = rows * columns * (int(dataset.get("BitsAllocated", 16)) // 8)
    syntax = transfer_syntax(dataset)
    if "PixelData" not in dataset:
        raise truncated(name, 0, need, "bytes of pixels")
    if syntax.is_compressed and not syntax.is_deflated:
        check_compressed(name, dataset, syntax, need, size)
    else:
        check_native(name, len(dataset.PixelData), need)
    values = np.asarray(dataset.pixel_array)
    if values.shape != (rows, columns):
        raise corrupt(name, f"{values.shape} pixels were decoded, {(rows, columns)} are declared")
    return values


def transfer_syntax(dataset: Any) -> UID:
    """Return how the data set is encoded; one without file meta information is implicit little endian."""
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        implicit = dataset.original_encoding[0] is not False
        syntax = UID("1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1")
        dataset.file_meta.TransferSyntaxUID = syntax
        return syntax
    return UID(meta.TransferSyntaxUID)


def check_native(name: str, found: int, need: int) -> None:
    """Refuse uncompressed pixels that are not as many as declared (one byte of padding aside)."""
    if found < need:
        raise truncated(name, found, need, "bytes of pixels")
    if found > need + need % 2:
        raise corrupt(name, f"{found} bytes of pixels, {need} declared")


def check_compressed(name: str, dataset: Any, syntax: UID, need: int, size: int) -> None:
    """Refuse compressed pixels that no decoder here takes, or whose declared or inner size is forged.

    Raises:
        FormatError: See `slice_values`.
    """
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise no_decoder(name, syntax)
    if need > size * MAX_PIXEL_RATIO:
        raise corrupt(name, f"{dataset.Rows} x {dataset.Columns} pixels are declared in a file of {size} bytes")
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1), b"")
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:  # JPEG 2000: start of codestream, then its size marker
        right, bottom, left, top = struct.unpack(">4I", stream[8:24])
        if (right - left, bottom - top) != (dataset.Columns, dataset.Rows):
            raise corrupt(name, "the JPEG 2000 stream has another size than the header declares")


def no_decoder(name: str, syntax: UID) -> FormatError:
    """Return the refusal for a compression that nothing installed decodes."""
    extra = EXTRAS.get(str(syntax))
    remedy = f"Install {extra}" if extra else "Convert the series to an uncompressed transfer syntax"
    return FormatError(f"{name}: no decoder is installed for {syntax.name}. {remedy}.", code="DICOM_NO_DECODER")


def rescaled(values: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float64]:
    """Return slope * values + intercept, computed in float64."""
    return values.astype(np.float64) * slope + intercept
