"""Threads share out pieces, keep their order, and leave the number of torch's threads alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from prosect.networks.workers import Workers


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Let torch use three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_pieces_come_back_in_order_from_several_threads_each_on_one_core() -> None:
    meeting, seen = threading.Barrier(3, timeout=20), set()

    def work(piece: int) -> tuple[int, int, bool]:
        meeting.wait()  # passes only where three work at the same time
        seen.add(threading.get_ident())
        return piece * piece, torch.get_num_threads(), torch.is_inference_mode_enabled()

    assert Workers().map(work, range(6)) == [(n * n, 1, True) for n in range(6)]
    assert len(seen) == 3
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_that_start_later_compute_on_as_many_cores_as_before() -> None:
    Workers().map(lambda piece: piece, range(3))
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [3]


@pytest.mark.usefixtures("three_threads")
def test_a_piece_that_fails_ends_the_work() -> None:
    with pytest.raises(ZeroDivisionError):
        Workers().map(lambda piece: 1 // piece, range(3))


def test_one_piece_is_computed_here() -> None:
    assert Workers().map(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
