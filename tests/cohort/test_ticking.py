"""What ticks does so from the first period to the end of the block, and not after it."""

from __future__ import annotations

import threading

import pytest

from prosect.cohort.ticking import ticking


def test_it_ticks_until_the_block_ends_and_its_thread_is_gone_then() -> None:
    third = threading.Event()
    ticks: list[str] = []

    def tick() -> None:
        ticks.append(threading.current_thread().name)
        if len(ticks) >= 3:
            third.set()

    with ticking("prosect-test", 0.01, tick):
        assert third.wait(20)
    count = len(ticks)
    assert set(ticks) == {"prosect-test"}
    assert "prosect-test" not in [thread.name for thread in threading.enumerate()]
    threading.Event().wait(0.05)
    assert len(ticks) == count


def test_a_block_that_ends_before_the_first_period_sees_no_tick() -> None:
    ticks: list[int] = []
    with ticking("prosect-test", 30.0, lambda: ticks.append(1)):
        pass
    assert ticks == []


def test_an_error_of_the_block_goes_on_after_the_thread_has_ended() -> None:
    with pytest.raises(KeyError), ticking("prosect-test", 30.0, lambda: None):
        raise KeyError("from the block")
    assert "prosect-test" not in [thread.name for thread in threading.enumerate()]
