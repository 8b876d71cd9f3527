"""Seconds by stage, by a clock that is given."""

from __future__ import annotations

import pytest

from prosect.stopwatch import Stopwatch


def test_a_stage_that_is_entered_twice_adds_up_and_calls_are_timed() -> None:
    ticks = iter([1.0, 2.0, 10.0, 14.0, 20.0, 20.5])
    watch = Stopwatch(lambda: next(ticks))
    with watch.stage("read"):
        pass
    double = watch.timed("compute", lambda x, *, by: x * by)
    assert double(3, by=2) == 6
    with watch.stage("read"):
        pass
    assert watch.seconds == {"read": 1.5, "compute": 4.0}
    assert str(watch) == "5.5 s (read 1.5, compute 4.0)"


def test_a_stage_ends_when_what_it_began_is_done() -> None:
    now = [0.0]
    watch = Stopwatch(lambda: now[0], settle=lambda: now.__setitem__(0, now[0] + 3))
    with watch.stage("network"):
        now[0] += 1
    assert watch.seconds == {"network": 4.0}


def test_a_stage_that_fails_is_not_counted() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="no"), watch.stage("compute"):
        raise ValueError("no")
    assert watch.seconds == {}
