"""What becomes of label values that nobody spoke of."""

from __future__ import annotations

import pytest

from prosect import vocabulary
from prosect.data.mapping import mapping_of, mark_new
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import RecipeError

WORDS = vocabulary.load("prosect")


def test_a_value_left_out_is_named_with_the_two_ways_out() -> None:
    with pytest.raises(RecipeError) as refused:
        mapping_of([(1, "liver")], WORDS).require((1, 7), "a.nii.gz")
    assert refused.value.code == "LABELS_UNMAPPED"
    for part in ("7", "`7=NAME`", "`7=`", "`*=`"):
        assert part in str(refused.value)


@pytest.mark.parametrize("pairs", [["1=liver", "*="], ["*=", "1=liver"], ["1,2=liver", "3=spleen", "*=none"]])
def test_a_star_lets_all_other_values_mean_nothing(pairs: list[str]) -> None:
    mapping = mapping_of(mark_new([parse_pair(text) for text in pairs], WORDS), WORDS)
    own = mapping.in_file({}, (1, 2, 3, 9), WORDS, "a.nii.gz")
    own.require((1, 2, 3, 9), "a.nii.gz")
    assert own.values[9] is None
    assert WORDS["liver"].index in mapping.taught


def test_a_star_survives_a_list_in_a_file() -> None:
    mapping = mapping_of([(1, "liver"), ("*", None)], WORDS)
    pairs = mapping.to_json(WORDS, WORDS)
    assert pairs[-1] == ["*", None]
    assert mapping_of(pairs, WORDS) == mapping


def test_a_star_is_never_a_structure() -> None:
    with pytest.raises(RecipeError, match="list their values") as refused:
        mapping_of([parse_pair("*=liver")], WORDS)
    assert refused.value.code == "MAPPING_INVALID"


def test_names_in_files_still_contradict_a_mapping_with_a_star() -> None:
    mapping = mapping_of([(1, "liver"), ("*", "")], WORDS)
    with pytest.raises(RecipeError) as refused:
        mapping.in_file({1: "spleen"}, (1,), WORDS, "a.nii.gz")
    assert refused.value.code == "LABELS_CONTRADICTED"
