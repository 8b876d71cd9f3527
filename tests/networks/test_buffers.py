"""Memory of maps comes back when nobody holds it, and not before."""

from __future__ import annotations

import mmap

import pytest
import torch

from prosect.networks.buffers import LEAST_BYTES, Buffers

SHAPE = (LEAST_BYTES // 16, 4)


def test_memory_is_used_again_once_no_view_is_left() -> None:
    buffers = Buffers()
    one = buffers.take(SHAPE)
    place = one.data_ptr()
    view = one[3:, 1]
    del one
    other = buffers.take(SHAPE)
    assert other.data_ptr() != place, "a view still holds it"
    del view
    assert buffers.take(SHAPE).data_ptr() == place


def test_arrays_have_the_shape_and_type_that_is_asked_for() -> None:
    for shape in (SHAPE, (3, 5)):
        for dtype in (torch.float32, torch.bfloat16):
            array = Buffers().take(shape, dtype)
            array.fill_(2)
            assert (tuple(array.shape), array.dtype, float(array[-1, -1])) == (shape, dtype, 2)


def test_released_memory_is_not_used_again() -> None:
    buffers = Buffers()
    held = buffers.take(SHAPE)
    buffers.take(SHAPE)
    buffers.release()
    held.fill_(1)
    assert all(not free for free in buffers._free.values())


def test_a_system_without_memory_is_told_of_as_torch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(MemoryError):
        Buffers().take(SHAPE)
