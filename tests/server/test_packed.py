"""Arrays that nnInteractive's clients pack are read, and what only looks like one is refused before memory is taken."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nnInteractive.inference.remote import serialization as theirs

from prosect.errors import FormatError
from prosect.server.packed import TYPES, pack_array, unpack_array

LIMIT = 1 << 20
# Recorded from nninteractive-client 2.6: ones, uint8, of 5 x 5 x 5 and 1 x 4 x 5 voxels.
RECORDED = {
    (5, 5, 5): (
        "4e4e4941010103 0575696e7438 0500000000000000 0500000000000000 0500000000000000 01000000 7d00000000000000"
        "2900000000000000 050195017d0000007d000000290000000000000000000500000000000000000024000000ffffffff01"
    ),
    (1, 4, 5): (
        "4e4e4941010103 0575696e7438 0100000000000000 0400000000000000 0500000000000000 01000000 1400000000000000"
        "3400000000000000 05010701140000001400000034000000000000000000050000000000000000000101010101010101010101"
        "010101010101010101"
    ),
}
ONES = pack_array(np.ones((5, 5, 5), dtype=np.uint8))
SHAPE_AT = 8 + len("uint8")
COUNT_AT = SHAPE_AT + 3 * 8
FRAME_AT = COUNT_AT + 4 + 16


@pytest.mark.parametrize("shape", RECORDED)
def test_recorded_arrays_are_read(shape: tuple[int, int, int]) -> None:
    array = unpack_array(bytes.fromhex(RECORDED[shape]), LIMIT)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.ones(shape, dtype=np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        dtype=st.sampled_from(TYPES).map(np.dtype),
        shape=arrays.array_shapes(min_dims=1, max_dims=4, max_side=9),
    )
)
def test_what_we_pack_they_read_and_what_they_pack_we_read(array: np.ndarray) -> None:
    for back in (theirs.unpack_array(pack_array(array)), unpack_array(theirs.pack_array(array), LIMIT)):
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


def test_order_in_memory_and_of_bytes_does_not_matter() -> None:
    array = np.arange(60, dtype=">i2").reshape(3, 4, 5).transpose(2, 0, 1)[::-1]
    np.testing.assert_array_equal(unpack_array(pack_array(array), LIMIT), array)
    np.testing.assert_array_equal(unpack_array(theirs.pack_array(array), LIMIT), array)


def test_zeros_of_an_odd_length_come_back() -> None:
    zeros = np.zeros((7, 11, 13), dtype=np.uint8)
    np.testing.assert_array_equal(theirs.unpack_array(pack_array(zeros)), zeros)


def with_bytes(position: int, new: bytes) -> bytes:
    """The packed ones with some bytes replaced."""
    return ONES[:position] + new + ONES[position + len(new) :]


LIES = {
    "nothing": b"",
    "another magic": with_bytes(0, b"NNIB"),
    "another version": with_bytes(4, b"\x02"),
    "another codec": with_bytes(5, b"\x09"),
    "no axis": with_bytes(6, b"\x00"),
    "nine axes": with_bytes(6, b"\x09"),
    "objects": ONES[:7] + b"\x06object" + ONES[SHAPE_AT:],
    "raw bytes": ONES[:7] + b"\x04V999" + ONES[SHAPE_AT:],
    "a negative axis": with_bytes(SHAPE_AT, struct.pack("<q", -5)),
    "an axis of 2^40": with_bytes(SHAPE_AT, struct.pack("<q", 1 << 40)),
    "a product that overflows": with_bytes(SHAPE_AT, struct.pack("<3q", 4096, 4096, 4096)),
    "a shape of more than there is": with_bytes(SHAPE_AT, struct.pack("<q", 50)),
    "2^32 - 1 frames": with_bytes(COUNT_AT, struct.pack("<I", 0xFFFFFFFF)),
    "no frame": with_bytes(COUNT_AT, struct.pack("<I", 0)),
    "a chunk that is announced longer": with_bytes(COUNT_AT + 4, struct.pack("<Q", 126)),
    "a frame beyond the end": with_bytes(COUNT_AT + 12, struct.pack("<Q", 1 << 40)),
    "a frame that lies about its size": with_bytes(FRAME_AT + 4, struct.pack("<I", 124)),
    "a frame of noise": with_bytes(FRAME_AT, bytes(range(0x21))),
    "more behind the end": ONES + b"\x00",
    "half of it": ONES[: len(ONES) // 2],
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES)
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        unpack_array(data, LIMIT)
    assert caught.value.code in ("REQUEST_INVALID", "INPUT_TOO_LARGE")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ONES) - 1), st.binary(min_size=1, max_size=8))
def test_damage_is_refused_or_read_but_never_raises_otherwise(position: int, new: bytes) -> None:
    try:
        array = unpack_array(with_bytes(position, new)[: len(ONES)], LIMIT)
    except FormatError:
        return
    assert array.nbytes <= LIMIT


def test_more_than_is_allowed_is_refused() -> None:
    with pytest.raises(FormatError, match="125 bytes") as caught:
        unpack_array(ONES, 124)
    assert caught.value.code == "INPUT_TOO_LARGE"
