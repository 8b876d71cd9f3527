"""The intensities of one DICOM slice: bounded before decoding, scaled by the slice's own slope and intercept."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from prosect.errors import FormatError
from prosect.io.dicom import jpeg_lossless
from prosect.io.dicom.deflated import inflate_beginning, inflate_file
from prosect.io.payload import corrupt, truncation

__all__ = [
    "PARSE_ERRORS", "compressions", "padding", "parse", "parse_beginning", "rescale", "slice_values",
    "transfer_syntax",
]  # fmt: skip

# What pydicom and its decoders raise on damaged data sets, besides their own classes (found by fuzzing).
PARSE_ERRORS = (
    InvalidDicomError, BytesLengthException, struct.error, ValueError, TypeError, KeyError, IndexError,
    AttributeError, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError, MemoryError,
)  # fmt: skip
NEEDED = (
    ("PixelRepresentation", "Pixel Representation", (0, 1)),
    ("SamplesPerPixel", "Samples per Pixel", (1,)),
    ("PhotometricInterpretation", "Photometric Interpretation", ("MONOCHROME1", "MONOCHROME2")),
)
# A blank slice shrinks to next to nothing in JPEG-LS and JPEG 2000, so no ratio tells it from a forged one. A frame of
# usual size is decoded whatever its ratio, since it costs no more than its neighbours; beyond it the ratio must be one
# that scans reach. Before this, the memory of the whole series is checked, and the size that the stream itself tells.
FREE_FRAME_BYTES = 64 << 20
MAX_PIXEL_RATIO = 200
# The decoder of each compression, and the package that brings it. GDCM has more, but damaged streams make it end the
# process. Lossless JPEG is decoded here.
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
PLUGINS = {
    RLELossless: ("pydicom", "pydicom"),
    **{f"1.2.840.10008.1.2.4.{n}": ("pyjpegls", "pyjpegls") for n in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{n}": ("pylibjpeg", "pylibjpeg-openjpeg") for n in (90, 91, 201, 202, 203)},
}
# Pixel Data, Float Pixel Data and Double Float Pixel Data, as either byte order spells them.
PIXEL_TAGS = (
    b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00",
    b"\x7f\xe0\x00\x10", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09",
)  # fmt: skip
# Start-of-frame markers of JPEG (all processes) and JPEG-LS.
FRAME_MARKERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))


def parse(name: str, raw: bytes, tags: Sequence[str | int] | None = None) -> Any:
    """Return the pydicom data set in `raw`; with `tags`, only those and nothing from the pixels on.

    Raises:
        FormatError: The bytes are damaged (`INPUT_CORRUPT`), or too long when inflated (`DICOM_UNSUPPORTED`).
    """
    raw = inflate_file(name, raw)
    wanted = None
    if tags is not None:
        wanted = list(map(Tag, tags))
    try:
        return dcmread(BytesIO(raw), force=True, stop_before_pixels=tags is not None, specific_tags=wanted)
    except PARSE_ERRORS as error:
        raise corrupt(name, f"DICOM header: {type(error).__name__}") from error


def parse_beginning(beginning: bytes, tags: Sequence[str | int]) -> Any | None:
    """Return the data set of those tags if `beginning` reaches to the pixels of its file, else None."""
    beginning = inflate_beginning(beginning)
    stream = BytesIO(beginning)
    try:
        dataset = dcmread(stream, force=True, stop_before_pixels=True, specific_tags=list(map(Tag, tags)))
    except PARSE_ERRORS:
        return None
    # pydicom stops at the tag of the pixels, or, without a word, where the bytes end.
    following = beginning[stream.tell() :][: len(PIXEL_TAGS[0])]
    if following in PIXEL_TAGS:
        return dataset
    return None


def slice_values(name: str, dataset: Any, size: int, frame: int = 0) -> NDArray[Any]:
    """Return the stored values (row, column) of one frame.

    Args:
        name: File name for messages.
        dataset: The whole data set.
        size: Length of the file, which bounds what may be decoded.
        frame: Which frame, from 0.

    Raises:
        FormatError: Truncated, damaged, forged dimensions, or no decoder for its compression (`DICOM_NO_DECODER`).
    """
    try:
        return checked_values(name, dataset, size, frame)
    except NotImplementedError as error:
        raise no_decoder(name, transfer_syntax(dataset), str(error)) from error
    except PARSE_ERRORS as error:
        raise corrupt(name, f"pixels: {type(error).__name__}") from error


def checked_values(name: str, dataset: Any, size: int, frame: int) -> NDArray[Any]:
    """Return what `slice_values` does; pydicom's own errors pass."""
    rows, columns, count = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
    check_bits(name, dataset)
    need = rows * columns * count * (int(dataset.BitsAllocated) // 8)
    syntax = transfer_syntax(dataset)
    if "PixelData" not in dataset:
        raise truncation(name, 0, need, "bytes of pixels")
    if syntax.is_compressed and not syntax.is_deflated:
        check_compressed(name, dataset, syntax, need // count, size)
        stream = get_frame(dataset.PixelData, frame, number_of_frames=count)
        check_stream(name, dataset, stream)
        values = decompress(dataset, syntax, frame, stream)
    else:
        spare = min(rows, columns) * (int(dataset.BitsAllocated) // 8) - 1
        check_native(name, dataset.PixelData, need, spare)
        if padding(dataset):
            dataset.PixelData = dataset.PixelData[: need + need % 2]  # pydicom warns of what is left out
        values = np.asarray(pixel_array(dataset, index=frame))
    if values.shape != (rows, columns):
        raise corrupt(name, f"{values.shape} pixels were decoded, {(rows, columns)} are declared")
    return values


def check_bits(name: str, dataset: Any) -> None:
    """Refuse values that are neither signed nor unsigned, or lie in unusual bits, both of which decoders overlook."""
    for tag, words, allowed in NEEDED:
        if dataset.get(tag) not in allowed:
            raise FormatError(
                f"{name}: {words} is {dataset.get(tag)}; {' or '.join(map(str, allowed))} is needed. Export the series "
                "again.",
                code="INPUT_HEADER_INVALID",
            )
    stored, high, allocated = (dataset.get(tag) for tag in ("BitsStored", "HighBit", "BitsAllocated"))
    if allocated not in (8, 16, 32, 64) or (stored is not None and not 0 < int(stored) <= int(allocated)):
        raise FormatError(
            f"{name}: {stored} bits stored in {allocated} allocated are impossible. Export the series again.",
            code="INPUT_HEADER_INVALID",
        )
    if stored is not None and high is not None and int(high) != int(stored) - 1:
        raise FormatError(
            f"{name}: {stored} bits are stored with bit {high} as the highest; only {int(stored) - 1} is read. "
            "Export the series again.",
            code="DICOM_UNSUPPORTED",
        )


def transfer_syntax(dataset: Any) -> UID:
    """Return how the data set is encoded; one without file meta information is little endian as it was parsed.

    Raises:
        FormatError: The file has such information, but not this.
    """
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        if meta:
            raise FormatError(
                "The file meta information lacks the Transfer Syntax UID, which says how pixels are stored. Export the "
                "series again.",
                code="INPUT_HEADER_INVALID",
            )
        implicit = dataset.original_encoding[0] is not False
        syntax = UID("1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1")
        dataset.file_meta.TransferSyntaxUID = syntax
        return syntax
    return UID(meta.TransferSyntaxUID)


def check_native(name: str, found: bytes, need: int, spare: int) -> None:
    """Refuse uncompressed pixels that are fewer than declared, or more by what is no padding.

    Padding of any length may follow the pixels (PS3.5 8.1.1), and what it holds is left open. A whole row or column
    of other values than zero would mean that the declared size is wrong.

    Args:
        name: File name for messages.
        found: What the file holds.
        need: Bytes that the pixels take.
        spare: How many bytes of other values may follow.
    """
    if len(found) < need:
        raise truncation(name, len(found), need, "bytes of pixels")
    if len(found) > need + max(spare, need % 2) and any(memoryview(found)[need:]):
        raise corrupt(name, f"{len(found)} bytes of pixels, {need} declared")


def padding(dataset: Any) -> int:
    """Return how many bytes of padding follow uncompressed pixels, beyond the one that makes their length even.

    0 where the header is damaged: reading the pixels says so.
    """
    try:
        if transfer_syntax(dataset).is_encapsulated:
            return 0
        frames = int(dataset.get("NumberOfFrames") or 1)
        need = int(dataset.Rows) * int(dataset.Columns) * frames * (int(dataset.BitsAllocated) // 8)
        return max(0, len(dataset.PixelData) - need - need % 2)
    except (*PARSE_ERRORS, FormatError):
        return 0


def check_compressed(name: str, dataset: Any, syntax: UID, need: int, size: int) -> None:
    """Refuse compressed pixels that no decoder here takes, or frames of `need` bytes that a file cannot hold.

    Raises:
        FormatError: See `slice_values`.
    """
    if syntax not in JPEG_LOSSLESS:
        plugin, _ = PLUGINS.get(syntax, ("", ""))
        if not plugin or plugin not in get_decoder(syntax).available_plugins:
            raise no_decoder(name, syntax)
    if need > max(FREE_FRAME_BYTES, size * MAX_PIXEL_RATIO):
        raise corrupt(name, f"{dataset.Rows} x {dataset.Columns} pixels are declared in a file of {size} bytes")


def check_stream(name: str, dataset: Any, stream: bytes) -> None:
    """Refuse a compressed frame whose own header tells another size than the data set.

    Raises:
        FormatError: See `slice_values`.
    """
    columns, rows = int(dataset.Columns), int(dataset.Rows)
    if transfer_syntax(dataset) == RLELossless:
        if any(run_length(segment) not in (columns * rows, columns * rows + 1) for segment in rle_segments(stream)):
            raise corrupt(name, f"the run lengths do not add up to {columns} x {rows} pixels")
        return
    inner = stream_size(stream)
    if inner is not None and inner != (columns, rows):
        raise corrupt(name, f"the compressed stream holds {inner[0]} x {inner[1]} pixels, not {columns} x {rows}")


def decompress(dataset: Any, syntax: UID, frame: int, stream: bytes) -> NDArray[Any]:
    """Return the stored values of a compressed frame."""
    if syntax not in JPEG_LOSSLESS:
        return np.asarray(pixel_array(dataset, index=frame, decoding_plugin=PLUGINS[syntax][0]))
    unused = 16 - int(dataset.BitsStored)
    values = jpeg_lossless.decode(stream) << unused
    return (values.view(np.int16) if int(dataset.PixelRepresentation) else values) >> unused


def rle_segments(stream: bytes) -> list[bytes]:
    """Return the byte planes of a run-length encoded frame, each still encoded."""
    count, *offsets = struct.unpack("<16L", stream[:64])
    bounds = [*offsets[:count], len(stream)]
    found: list[bytes] = []
    for start, stop in pairwise(bounds):
        found.append(stream[start:stop])
    return found


def run_length(segment: bytes) -> int:
    """Return how many bytes the runs of a plane unpack to; decoders cut off what is too much without a word."""
    length, position = 0, 0
    while position + 1 < len(segment):
        mark = segment[position]
        if mark < 128:  # so many bytes and one more follow as they are
            length, position = length + mark + 1, position + mark + 2
        elif mark > 128:  # the next byte, repeated
            length, position = length + 257 - mark, position + 2
        else:  # nothing
            position += 1
    return length


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Return columns and rows by the header of a JPEG 2000, JPEG or JPEG-LS stream, None where there is none."""
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:  # start of codestream, then its size marker
        right, bottom, left, top = struct.unpack(">4I", stream[8:24])
        return right - left, bottom - top
    if stream[:2] == b"\xff\xd8":
        position = 2
    else:
        position = len(stream)
    while position + 9 <= len(stream) and stream[position] == 0xFF:
        if stream[position + 1] in FRAME_MARKERS:
            rows, columns = struct.unpack(">2H", stream[position + 5 : position + 9])
            return columns, rows
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return None


def compressions() -> dict[str, str]:
    """Return for each kind of compression that is read the package that has to be installed first, or nothing."""
    lacking = {"lossless JPEG": ""}  # decoded here
    for name, syntax in (("RLE", RLELossless), ("JPEG-LS", JPEGLSLossless), ("JPEG 2000", JPEG2000Lossless)):
        plugin, package = PLUGINS[syntax]
        if plugin in get_decoder(syntax).available_plugins:
            lacking[name] = ""
        else:
            lacking[name] = package
    return lacking


def no_decoder(name: str, syntax: UID, kind: str = "") -> FormatError:
    """Return the refusal for a compression that nothing installed decodes."""
    _, package = PLUGINS.get(syntax, ("", ""))
    remedy = "Convert the series to an uncompressed transfer syntax"
    if package:
        remedy = f"Install {package}"
    if kind:
        which = f"{syntax.name} ({kind})"
    else:
        which = syntax.name
    return FormatError(f"{name}: no decoder is installed for {which}. {remedy}.", code="DICOM_NO_DECODER")


def rescale(values: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float64]:
    """Return slope * values + intercept, computed in float64."""
    return values.astype(np.float64) * slope + intercept
