"""Long computations tell how far they are, and end when asked."""

from __future__ import annotations

import pytest

from prosect.errors import CancelledError
from prosect.progress import cancel_when, part_of


def test_steps_are_told_until_someone_asks_for_the_end() -> None:
    told: list[tuple[int, int]] = []
    watch = cancel_when(lambda: len(told) == 2, lambda done, total: told.append((done, total)))
    watch(1, 5)
    watch(2, 5)
    with pytest.raises(CancelledError, match="step 3 of 5") as caught:
        watch(3, 5)
    assert told == [(1, 5), (2, 5)]
    assert (caught.value.code, caught.value.exit_status) == ("CANCELLED", 130)


def test_a_watch_that_only_cancels_needs_nobody_to_tell() -> None:
    cancel_when(lambda: False)(1, 1)


def test_parts_count_up_once_together() -> None:
    told: list[float] = []
    for place in range(3):
        part = part_of(lambda done, total: told.append(done / total), place, 3)
        assert part is not None
        part(1, 2)
        part(2, 2)
    assert told == sorted(told)
    assert told[-1] == 1
    assert part_of(None, 0, 3) is None
