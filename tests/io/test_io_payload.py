"""Bytes are verified to their last: whole streams, honest headers, and no memory taken on a promise."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import FormatError, ResourceError
from prosect.io import payload
from prosect.io.payload import (
    MAX_AXIS,
    check_extent,
    check_memory,
    inflate,
    inflate_head,
    joint_hash,
    note_trailing,
    read_payload,
    spare_bytes,
)


def code_of(call, *args, **kwargs) -> tuple[str, str]:
    """Return code and message of the refusal that a call ends with."""
    with pytest.raises((FormatError, ResourceError)) as refused:
        call(*args, **kwargs)
    return refused.value.code, str(refused.value)


def inflated_or_code(raw: bytes, size: int) -> bytes | str:
    """Return the content of a stream, or the code of its refusal."""
    try:
        return bytes(inflate(raw, size, "scan.nii.gz"))
    except FormatError as refused:
        return refused.code


blobs = st.binary(min_size=0, max_size=400)


@given(st.lists(blobs, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_members_in_a_row_are_one_stream(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    raw = b"".join(gzip.compress(piece, mtime=0) for piece in pieces)
    assert inflate(raw, len(whole), "a.gz") == whole
    assert inflate(raw + bytes(7), len(whole), "a.gz") == whole, "zeros may pad the end"


@given(blobs, st.data())
@settings(max_examples=50, deadline=None)
def test_no_flipped_bit_and_no_cut_goes_unseen(content: bytes, data: st.DataObject) -> None:
    raw = bytearray(gzip.compress(content, mtime=0))
    # The ten bytes of the header hold time, system and flags, which say nothing of the content.
    bit = data.draw(st.integers(8 * 10, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << (bit % 8)
    outcome = inflated_or_code(bytes(raw), len(content))
    # A bit that no decoder reads, such as the padding before the checksum, may be anything.
    assert outcome in (content, "INPUT_CORRUPT", "INPUT_TRUNCATED", "INPUT_HEADER_INVALID")
    whole = gzip.compress(content, mtime=0)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert code_of(inflate, whole[:cut], len(content), "scan.nii.gz")[0] in ("INPUT_TRUNCATED", "INPUT_CORRUPT")


def test_more_and_fewer_bytes_than_promised_are_two_errors() -> None:
    raw = gzip.compress(b"twelve bytes")
    code, message = code_of(inflate, raw, 11, "a.gz")
    assert code == "INPUT_HEADER_INVALID"
    assert "more than the 11 bytes" in message
    code, message = code_of(inflate, raw, 13, "a.gz")
    assert code == "INPUT_TRUNCATED"
    assert "12 of 13 bytes that the header declares" in message


def test_a_few_more_bytes_are_let_pass_where_that_is_said() -> None:
    raw = gzip.compress(b"twelve bytes")
    assert inflate(raw, 10, "a.gz", spare=2) == b"twelve bytes"
    assert code_of(inflate, raw, 10, "a.gz", spare=1)[0] == "INPUT_HEADER_INVALID"


def test_strays_behind_a_stream_are_damage_and_counted() -> None:
    code, message = code_of(inflate, gzip.compress(b"abc") + b"rubbish", 3, "a.gz")
    assert code == "INPUT_CORRUPT"
    assert "7 stray bytes" in message


def test_a_promise_that_no_compression_could_keep_is_refused_before_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(_name: str, _need: int) -> None:
        raise AssertionError("memory was asked for")

    monkeypatch.setattr(payload, "check_memory", never)
    code, message = code_of(inflate, gzip.compress(b"abc"), 2**40, "bomb.gz")
    assert code == "INPUT_TRUNCATED"
    assert "compressed bytes at least" in message


def test_zlib_streams_are_inflated_as_gzip_streams_are() -> None:
    content = b"the same voxels " * 50
    assert inflate(zlib.compress(content), len(content), "a.mha", wbits=47) == content
    assert inflate(gzip.compress(content), len(content), "a.mha", wbits=47) == content


@given(st.lists(blobs, min_size=1, max_size=3), st.integers(0, 700))
@settings(max_examples=30, deadline=None)
def test_a_head_is_the_beginning_and_no_more(pieces: list[bytes], count: int) -> None:
    whole = b"".join(pieces)
    raw = b"".join(gzip.compress(piece, mtime=0) for piece in pieces)
    assert inflate_head(raw, count, "a.gz") == whole[:count]


def test_the_head_of_a_damaged_stream_is_refused_by_name() -> None:
    raw = bytearray(gzip.compress(b"abc" * 100))
    raw[12] ^= 0xFF
    code, message = code_of(inflate_head, bytes(raw), 300, "a.gz")
    assert code == "INPUT_CORRUPT"
    assert message.startswith("a.gz: ")


def test_a_head_of_a_large_stream_reads_only_its_first_step() -> None:
    content = bytes(range(256)) * 8000
    raw = gzip.compress(content, compresslevel=0)
    broken = raw[: payload.STEP] + bytes(len(raw) - payload.STEP)
    assert inflate_head(broken, 100, "a.gz") == content[:100]


def test_a_file_is_read_whole_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "one.raw").write_bytes(b"voxels")
    found = read_payload(tmp_path / "one.raw")
    assert (found.name, found.raw, found.sha256) == ("one.raw", b"voxels", hashlib.sha256(b"voxels").hexdigest())


def test_a_folder_is_no_file_to_read(tmp_path: Path) -> None:
    code, message = code_of(read_payload, tmp_path)
    assert code.startswith("INPUT_")
    assert tmp_path.name in message


def test_a_joint_hash_depends_on_both_files_and_their_order(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"3")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (read_payload(tmp_path / name) for name in "abc")
    hashes = {joint_hash(a, b), joint_hash(b, a), joint_hash(a, c), joint_hash(c, b)}
    assert len(hashes) == 4
    assert joint_hash(a, b) == joint_hash(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 1), (MAX_AXIS, 2, 3), (5, 6, 7)])
def test_an_extent_is_the_bytes_of_its_voxels(shape: tuple[int, int, int]) -> None:
    a, b, c = shape
    assert check_extent("a", shape, 4) == 4 * a * b * c


@pytest.mark.parametrize("shape", [(0, 5, 5), (5, -1, 5), (5, 5, MAX_AXIS + 1)])
def test_an_axis_that_no_scan_has_is_refused_with_the_shape(shape: tuple[int, int, int]) -> None:
    code, message = code_of(check_extent, "a.nii", shape, 2)
    assert code == "INPUT_HEADER_INVALID"
    assert " x ".join(map(str, shape)) in message
    assert f"1 to {MAX_AXIS}" in message


def test_more_memory_than_is_free_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine:
        @staticmethod
        def virtual_memory() -> Machine:
            return Machine()

        available = 3 * 2**30

    monkeypatch.setattr(payload, "psutil", Machine)
    check_memory("a.nii", 3 * 2**30)
    code, message = code_of(check_memory, "a.nii", 5 * 2**30)
    assert code == "MEMORY_EXHAUSTED"
    assert "5.0 GiB" in message
    assert "3.0 GiB" in message


@given(st.tuples(*[st.integers(1, 30)] * 3), st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=30, deadline=None)
def test_what_may_follow_the_voxels_is_less_than_any_slice(shape: tuple[int, int, int], itemsize: int) -> None:
    a, b, c = shape
    slices = [itemsize * n for n in (b * c, a * c, a * b)]
    assert spare_bytes(shape, itemsize) == min(slices) - 1


def test_bytes_behind_the_voxels_are_noted_few_refused_many_and_missing_ones_told() -> None:
    assert note_trailing("a", 100, 100, 9) == ()
    (note,) = note_trailing("a", 109, 100, 9)
    assert note.startswith("9 bytes follow the voxels")
    assert code_of(note_trailing, "a", 110, 100, 9)[0] == "INPUT_HEADER_INVALID"
    code, message = code_of(note_trailing, "a", 99, 100, 9)
    assert code == "INPUT_TRUNCATED"
    assert "99 of 100 bytes" in message
