"""A size in millimetres becomes a scale that the model has."""

from __future__ import annotations

import pytest

from prosect.inference.scales import ClickScales, Rescaled

SCALES = ClickScales(lowest=0.35, highest=4.0, extents_mm=(40.0, 60.0))


@pytest.mark.parametrize(
    ("extent_mm", "scale"), [(50, 1), (40, 1), (60, 1), (120, 2), (20, 0.5), (1, 0.35), (5000, 4), (85, 2**0.5)]
)
def test_a_size_is_brought_between_those_that_are_answered_well(extent_mm: float, scale: float) -> None:
    assert SCALES.for_extent(extent_mm) == pytest.approx(scale)


def test_near_sizes_share_a_scale() -> None:
    assert SCALES.for_extent(117) == SCALES.for_extent(123)


def test_each_responder_is_made_once_and_only_when_it_is_needed() -> None:
    made: list[float] = []

    def make(scale: float) -> str:
        made.append(scale)
        return f"at {scale}"

    rescaled = Rescaled(SCALES, make)
    assert made == []
    assert [rescaled.at(2.0), rescaled.at(0.5), rescaled.at(2.0)] == ["at 2.0", "at 0.5", "at 2.0"]
    assert made == [2.0, 0.5]
