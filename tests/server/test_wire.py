"""Deltas arrive as they were sent; errors say the same as on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.errors import CheckpointError, FormatError, GeometryError, PromptError, ProsectError, ResourceError
from prosect.server.wire import pack_delta, problem_of, status_of, unpack_delta


@given(st.tuples(*[st.integers(0, 50)] * 3), st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_a_delta_comes_back_as_it_was(start: tuple[int, int, int], shape: tuple[int, int, int], seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
    stop = tuple(low + count for low, count in zip(start, shape, strict=True))
    header, found = unpack_delta(pack_delta({"revision": 7, "notes": ["ü"]}, labels, Box(start, stop)))
    assert header == {"revision": 7, "notes": ["ü"], "box": {"start": list(start), "stop": list(stop)}}
    assert found is not None
    np.testing.assert_array_equal(found, labels)


def test_the_first_axis_runs_fastest() -> None:
    labels = np.zeros((3, 2, 1), dtype=np.uint8)
    labels[:, 0, 0] = (1, 2, 3)
    assert pack_delta({}, labels, Box((0, 0, 0), (3, 2, 1))).endswith(bytes([1, 2, 3, 0, 0, 0]))


def test_a_delta_without_a_box_has_no_voxels() -> None:
    header, found = unpack_delta(pack_delta({"revision": 1}, None, None))
    assert header["box"] is None
    assert found is None


@pytest.mark.parametrize("data", [b"", b"PDL", b"GIF89a--------", b"{}"])
def test_other_bytes_are_no_delta(data: bytes) -> None:
    with pytest.raises(ValueError, match="no delta"):
        unpack_delta(data)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PromptError("x"), 422),
        (GeometryError("x"), 422),
        (FormatError("x", code="INPUT_CORRUPT"), 422),
        (FormatError("x"), 415),
        (FormatError("x", code="INPUT_TOO_LARGE"), 413),
        (PromptError("x", code="STRUCTURE_LOCKED"), 409),
        (PromptError("x", code="REVISION_OLD"), 409),
        (PromptError("x", code="SESSION_UNKNOWN"), 404),
        (FormatError("x", code="PATH_FORBIDDEN"), 403),
        (ResourceError("x", code="QUEUE_FULL"), 429),
        (ResourceError("x", code="DISK_FULL"), 507),
        (ResourceError("x", code="MEMORY_EXHAUSTED"), 507),
        (ResourceError("x", code="GPU_MEMORY"), 503),
        (CheckpointError("x"), 503),
    ],
)
def test_an_error_has_the_status_of_its_cause(error: ProsectError, status: int) -> None:
    assert status_of(error) == status


def test_a_problem_says_what_the_command_line_says() -> None:
    problem = problem_of(PromptError("'liver' is locked; unlock it first.", code="STRUCTURE_LOCKED"))
    assert problem["detail"] == "'liver' is locked; unlock it first."
    assert problem["code"] == "STRUCTURE_LOCKED"
    assert problem["status"] == 409


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (7, 1, 2), (130, 3, 129)])
def test_labels_go_out_first_axis_fastest_however_they_lie_in_memory(shape: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    turned = np.asfortranarray(labels)[::-1]
    for each in (labels, turned, labels.transpose(2, 0, 1)):
        i, j, k = each.shape
        delta = pack_delta({}, each, Box((0, 0, 0), (i, j, k)))
        assert delta.endswith(each.tobytes(order="F"))
