"""Lossless JPEG (ITU-T T.81, Annex H), the compression that scanners use most.

Decoded here because the free decoders for it end the whole process on damaged streams. All code words of a frame are
looked up at once, at every bit where one could begin; following them from the first to the last is the only loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode"]

START, FRAME, TABLES, RESTART, SCAN, END = 0xD8, 0xC3, 0xC4, 0xDD, 0xDA, 0xD9
LEFT = 1
# Bits after the last code word: up to seven of padding, and two bytes that some encoders add.
SPARE_BITS = 23


@dataclass(frozen=True)
class Frame:
    """What the header says: sample precision in bits, and the numbers of rows and columns."""

    precision: int
    rows: int
    columns: int


def decode(stream: bytes) -> NDArray[np.uint16]:
    """Return the samples (row, column) of one frame of one component.

    Raises:
        ValueError: The stream is damaged.
        NotImplementedError: It uses another process, predictor or several components.
    """
    frame, lengths, symbols = None, None, None
    for marker, content, end in segments(stream):
        if marker == FRAME:
            frame = frame_of(content)
        elif marker == TABLES:
            lengths, symbols = code_words(content)
        elif marker == RESTART and any(content):
            raise NotImplementedError("restart intervals")
        elif marker == SCAN:
            if frame is None or lengths is None or symbols is None:
                raise ValueError("the scan comes before its tables")
            shift = point_transform(content)
            data = scan_bytes(stream, end)
            found = differences(data, frame.rows * frame.columns, lengths, symbols)
            return integrate(found.reshape(frame.rows, frame.columns), frame.precision, shift)
        elif 0xC0 <= marker <= 0xCF:
            raise NotImplementedError(f"JPEG process {marker:x}")
    raise ValueError("no scan was found")


def segments(stream: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of each segment of the header."""
    if stream[:2] != bytes((0xFF, START)):
        raise ValueError("no start of image")
    position = 2
    while position + 4 <= len(stream):
        mark, marker, length = struct.unpack(">BBH", stream[position : position + 4])
        if mark != 0xFF or length < 2 or position + 2 + length > len(stream):
            raise ValueError("a segment is damaged")
        yield marker, stream[position + 4 : position + 2 + length], position + 2 + length
        position += 2 + length


def frame_of(content: bytes) -> Frame:
    """Return the frame that a header segment describes."""
    if len(content) < 6 or len(content) != 6 + 3 * content[5]:
        raise ValueError("the frame header is damaged")
    precision, rows, columns, components = struct.unpack(">BHHB", content[:6])
    if components != 1:
        raise NotImplementedError("several components")
    if not (2 <= precision <= 16 and rows and columns):
        raise ValueError("the frame header is damaged")
    return Frame(precision, rows, columns)


def code_words(content: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return for each 16 bits that can follow: the length of the code word at their start, or 0, and its symbol."""
    counts, values = content[1:17], content[17:]
    if len(counts) != 16 or len(values) != sum(counts) or content[0] > 3 or any(value > 16 for value in values):
        raise NotImplementedError("several tables") if len(values) > sum(counts) else ValueError("a table is damaged")
    lengths, symbols = np.zeros(1 << 16, np.int32), np.zeros(1 << 16, np.int32)
    code, number = 0, count()
    for length, words in enumerate(counts, start=1):
        for _ in range(words):
            start, stop = code << (16 - length), (code + 1) << (16 - length)
            if stop > 1 << 16:
                raise ValueError("a table holds more code words than there are")
            lengths[start:stop], symbols[start:stop] = length, values[next(number)]
            code += 1
        code <<= 1
    return lengths, symbols


def point_transform(content: bytes) -> int:
    """Return by how many bits samples were shifted, from the header of a scan that predicts from the left."""
    if len(content) != 6 or content[0] != 1:
        raise ValueError("the scan header is damaged")
    if content[3] != LEFT:
        raise NotImplementedError(f"predictor {content[3]}")
    return content[5] & 15


def scan_bytes(stream: bytes, start: int) -> bytes:
    """Return the coded bytes of the scan, without the zeros stuffed after 255."""
    stop = start
    while (stop := stream.find(b"\xff", stop)) >= 0 and stream[stop + 1 : stop + 2] == b"\x00":
        stop += 2
    if stop < 0 or stream[stop:].lstrip(b"\xff")[:1] != bytes((END,)):
        raise ValueError("the scan does not end with the end of the image")
    return stream[start:stop].replace(b"\xff\x00", b"\xff")


def differences(data: bytes, wanted: int, lengths: NDArray[np.int32], symbols: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the `wanted` coded differences, each from its neighbour's sample."""
    octets = np.frombuffer(data + b"\xff" * 8, np.uint8).astype(np.int32)
    three = octets[:-2] << 16 | octets[1:-1] << 8 | octets[2:]
    window = (three[:, np.newaxis] >> np.arange(8, 0, -1) & 0xFFFF).ravel()
    extra = symbols[window]
    extra[extra == 16] = 0
    step = lengths[window] + extra
    reach = np.minimum(np.arange(step.size) + step, step.size - 1).tolist()
    places, here = [0] * wanted, 0
    for n in range(wanted):
        places[n] = here
        here = reach[here]
    at = np.array(places)
    if not 0 <= 8 * len(data) - here <= SPARE_BITS or not lengths[window[at]].all():
        raise ValueError("the code words do not fill the frame")
    size, after = symbols[window[at]], at + lengths[window[at]]
    bits = window[np.minimum(after, window.size - 1)] >> np.minimum(16 - size, 15)
    signed = np.where(bits >> np.maximum(size - 1, 0) & 1, bits, bits - (1 << size) + 1)
    return np.select([size == 0, size == 16], [0, 1 << 15], signed).astype(np.int32)


def integrate(found: NDArray[np.int32], precision: int, shift: int) -> NDArray[np.uint16]:
    """Return samples from differences: along the first column downwards, then along each row."""
    total = found.astype(np.int64)
    total[0, 0] += 1 << (precision - shift - 1)
    total[:, 0] = total[:, 0].cumsum()
    return ((total.cumsum(axis=1) & 0xFFFF) << shift).astype(np.uint16)
