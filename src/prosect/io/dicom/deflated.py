"""Deflated DICOM: the data set behind the file's meta elements is one stream without a told length (PS3.5 A.5).

pydicom inflates such a stream whole and without a limit, and cannot read the beginning of one. Here it is inflated as
far as is needed, within a limit, and handed on as an ordinary file.
"""

from __future__ import annotations

import zlib

from pydicom.uid import DeflatedExplicitVRLittleEndian

from prosect.errors import FormatError
from prosect.io.payload import corrupt

__all__ = ["inflate_beginning", "inflate_file"]

MAX_INFLATED_BYTES = 2 << 30
CHUNK_BYTES = 16 << 20
PREFIX_END = 132
# The first meta element, which tells how long the meta elements after it are: (0002,0000), UL, 4 bytes.
LENGTH_ELEMENT = b"\x02\x00\x00\x00UL\x04\x00"
VALUE_BYTES = 4
DEFLATED = DeflatedExplicitVRLittleEndian.encode()
# As long as the name that it replaces, so that the told length of the meta elements stays true.
EXPLICIT = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\x00")


def inflate_file(name: str, raw: bytes) -> bytes:
    """Return a file whose data set is not deflated; the same bytes where it is not.

    Raises:
        FormatError: The stream is damaged (`INPUT_CORRUPT`), or longer than 2 GiB (`DICOM_UNSUPPORTED`).
    """
    end = end_of_meta(raw)
    if end is None:
        return raw
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces, total, rest = [with_plain_syntax(raw[:end])], 0, raw[end:]
    try:
        while rest and not stream.eof:
            piece = stream.decompress(rest, CHUNK_BYTES)
            pieces.append(piece)
            total += len(piece)
            rest = stream.unconsumed_tail
            if total > MAX_INFLATED_BYTES:
                raise FormatError(
                    f"{name}: the deflated file holds more than {MAX_INFLATED_BYTES >> 30} GiB. Convert it to an "
                    "uncompressed transfer syntax.",
                    code="DICOM_UNSUPPORTED",
                )
    except zlib.error as error:
        raise corrupt(name, str(error)) from error
    if not stream.eof:
        raise corrupt(name, "its deflated data end early")
    return b"".join(pieces)


def inflate_beginning(beginning: bytes) -> bytes:
    """Return the beginning of a file as far as it can be inflated; the same bytes where it is not deflated."""
    end = end_of_meta(beginning)
    if end is None:
        return beginning
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(beginning[end:], CHUNK_BYTES)
    except zlib.error:
        inflated = b""
    return with_plain_syntax(beginning[:end]) + inflated


def end_of_meta(raw: bytes) -> int | None:
    """Return where the deflated data set begins; None where the file is not deflated, or does not say where."""
    told = raw[PREFIX_END : PREFIX_END + len(LENGTH_ELEMENT)]
    if told != LENGTH_ELEMENT:
        return None
    begin = PREFIX_END + len(LENGTH_ELEMENT) + VALUE_BYTES
    end = begin + int.from_bytes(raw[begin - VALUE_BYTES : begin], "little")
    if DEFLATED not in raw[begin:end] or end > len(raw):
        return None
    return end


def with_plain_syntax(meta: bytes) -> bytes:
    """Return meta elements that name the transfer syntax of the inflated data set."""
    return meta.replace(DEFLATED, EXPLICIT)
