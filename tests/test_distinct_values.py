"""Label values of a finetuned model are stated by its results, and never shared by two structures."""

from __future__ import annotations

import pytest

from prosect.label_values import distinct_values, own_values


def test_values_are_those_that_a_result_states() -> None:
    assert own_values({"label_values": {348: 1, "349": "2"}}) == {348: 1, 349: 2}


@pytest.mark.parametrize("provenance", [{}, {"label_values": {}}, {"label_values": None}, {"label_values": [1]}])
def test_a_result_that_states_none_has_none(provenance: dict[str, object]) -> None:
    assert own_values(provenance) == {}


def test_values_stand_where_all_structures_differ() -> None:
    assert distinct_values({348: 1, 349: 2}, [348, 349, 3]) == {348: 1, 349: 2}
    assert distinct_values({348: 3, 3: 348}, [348, 3]) == {348: 3, 3: 348}, "they may change places"


@pytest.mark.parametrize(("values", "indices"), [({348: 1}, [1, 348]), ({348: 1, 349: 1}, [348, 349])])
def test_none_stand_where_two_structures_would_share_one(values: dict[int, int], indices: list[int]) -> None:
    assert distinct_values(values, indices) == {}
