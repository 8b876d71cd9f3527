"""What label values mean: pairs, regions, names in files, new structures, and every contradiction refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.data.mapping import LabelMapping, is_new, mapping_by_names, mapping_of, mark_new, with_new
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import ProsectError, RecipeError, VocabularyError

WORDS = vocabulary.load("prosect")
LIVER, SPLEEN, AORTA = (WORDS[name].index for name in ("liver", "spleen", "aorta"))
NAMES = ["liver", "spleen", "aorta", "pancreas", "bladder"]


def code_of(call, *args, **kwargs) -> str:
    """Return the code of the refusal that a call ends with."""
    with pytest.raises(ProsectError) as refused:
        call(*args, **kwargs)
    return refused.value.code


meanings = st.dictionaries(st.integers(1, 300), st.sampled_from([*NAMES, None]), max_size=8)


@given(meanings)
@settings(max_examples=30, deadline=None)
def test_pairs_become_values_and_go_back_to_pairs(meant: dict[int, str | None]) -> None:
    mapping = mapping_of(list(meant.items()), WORDS)
    assert mapping.values == {value: None if name is None else WORDS[name].index for value, name in meant.items()}
    assert mapping_of(mapping.to_json(WORDS, WORDS), WORDS) == mapping
    assert mapping.taught == tuple(sorted({WORDS[name].index for name in meant.values() if name is not None}))


@given(meanings, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_translation_is_that_of_each_voxel_by_itself(meant: dict[int, str | None], seed: int) -> None:
    mapping = mapping_of(list(meant.items()), WORDS)
    values = np.array([0, *meant])
    array = np.random.default_rng(seed).choice(values, (4, 3, 2)).astype(np.uint16)
    present = [int(value) for value in np.unique(array) if value]
    found = mapping.translate(array, present, "a.nii.gz")
    for voxel in np.ndindex(array.shape):
        name = meant.get(int(array[voxel]))
        assert found[voxel] == (0 if name is None else WORDS[name].index)


def test_an_array_of_background_alone_stays_so() -> None:
    assert not mapping_of([(1, "liver")], WORDS).translate(np.zeros((2, 2, 2), np.uint8), [], "a").any()


@pytest.mark.parametrize("nothing", [None, "", "-", "none", " Background ", "UNLABELED", "clear label"])
def test_many_words_say_that_a_value_means_nothing(nothing: str | None) -> None:
    assert mapping_of([(3, nothing)], WORDS).values == {3: None}
    assert mapping_of([(0, nothing), (1, "liver")], WORDS).values == {1: LIVER}


def test_values_are_numbers_or_their_digits_and_structures_names_aliases_or_indices() -> None:
    assert mapping_of([("7", "Liver"), (8, LIVER), (9, "LIVER")], WORDS).values == {7: LIVER, 8: LIVER, 9: LIVER}


def test_one_value_cannot_mean_two_things_and_saying_it_twice_is_fine() -> None:
    assert code_of(mapping_of, [(1, "liver"), (1, "spleen")], WORDS) == "MAPPING_INVALID"
    assert mapping_of([(1, "liver"), ("1", "liver")], WORDS).values == {1: LIVER}
    assert code_of(mapping_of, [("tumor", "liver"), ("tumor", "spleen")], WORDS) == "MAPPING_INVALID"


@pytest.mark.parametrize("pair", [(1,), (1, "liver", "spleen"), "1", (1.5, "liver"), (-1, "liver"), (70000, "liver")])
def test_what_is_no_pair_is_refused(pair: Any) -> None:
    assert code_of(mapping_of, [pair], WORDS) == "MAPPING_INVALID"


def test_an_unknown_structure_is_refused_with_the_nearest() -> None:
    with pytest.raises(VocabularyError, match="liver"):
        mapping_of([(1, "livver")], WORDS)


def test_values_that_are_known_to_occur_mean_nothing_unless_mapped() -> None:
    assert mapping_of([(1, "liver")], WORDS, known=(0, 1, 5)).values == {1: LIVER, 5: None}


def test_absent_structures_are_known_of_and_sorted() -> None:
    mapping = mapping_of([(1, "spleen")], WORDS, absent=("liver", "aorta"))
    assert mapping.absent == tuple(sorted((LIVER, AORTA)))
    assert mapping.known() == tuple(sorted((LIVER, SPLEEN, AORTA)))
    assert mapping.taught == (SPLEEN,)


def test_a_scan_labelled_for_some_values_knows_only_of_these() -> None:
    mapping = mapping_of([(1, "spleen"), (2, "liver"), (3, None)], WORDS, absent=("aorta",))
    assert mapping.known((2, 3)) == tuple(sorted((LIVER, AORTA)))
    assert mapping.known(()) == (AORTA,)


def test_a_value_that_is_not_mapped_is_refused_with_what_to_type() -> None:
    mapping = mapping_of([(n, None) for n in range(1, 12)], WORDS)
    with pytest.raises(RecipeError) as refused:
        mapping.require([1, 44], "a.nii.gz")
    assert refused.value.code == "LABELS_UNMAPPED"
    message = str(refused.value)
    assert message.startswith("a.nii.gz: the label values 44 are not in the mapping")
    assert "and 3 more" in message
    assert "`44=`" in message


def test_names_in_a_file_give_values_their_meaning() -> None:
    mapping = mapping_of([("Leber", "liver"), ("Milz", "spleen"), (9, None)], WORDS)
    found = mapping.in_file({4: "leber", 5: "MILZ", 6: ""}, [4, 5], WORDS, "a.seg.nrrd")
    assert found.values == {9: None, 4: LIVER, 5: SPLEEN}
    assert found.by_name == {}


def test_an_alias_of_a_structure_that_is_mapped_by_name_counts_too() -> None:
    mapping = mapping_of([("Milz", "spleen")], WORDS)
    assert mapping.in_file({3: "spleen"}, [3], WORDS, "a").values == {3: SPLEEN}
    assert mapping.in_file({3: "liver"}, [3], WORDS, "a").values == {}, "nothing says that a liver is meant"


def test_a_file_that_names_a_value_otherwise_is_refused_with_both_names() -> None:
    mapping = mapping_of([(1, "liver")], WORDS)
    with pytest.raises(RecipeError) as refused:
        mapping.in_file({1: "spleen"}, [1], WORDS, "a.nii.gz")
    assert refused.value.code == "LABELS_CONTRADICTED"
    assert "'spleen'" in str(refused.value)
    assert "'liver'" in str(refused.value)
    assert mapping.in_file({1: "something nobody knows"}, [1], WORDS, "a").values == {1: LIVER}
    assert mapping.in_file({1: "spleen"}, [], WORDS, "a").values == {1: LIVER}, "what does not occur says nothing"


def test_what_is_mapped_to_nothing_is_contradicted_by_no_name() -> None:
    assert mapping_of([(1, None)], WORDS).in_file({1: "spleen"}, [1], WORDS, "a").values == {1: None}


def test_regions_share_values_and_every_structure_is_one() -> None:
    mapping = mapping_of([([1, 2], "liver"), (2, "spleen"), (3, None)], WORDS)
    assert mapping.regions == {LIVER: (1, 2), SPLEEN: (2,)}
    assert mapping.values == {1: None, 2: None, 3: None}
    assert mapping.taught == tuple(sorted((LIVER, SPLEEN)))
    assert mapping.known() == tuple(sorted((LIVER, SPLEEN)))
    pairs = mapping.to_json(WORDS, WORDS)
    again = mapping_of(pairs, WORDS, known=mapping.values)
    assert again == mapping


def test_a_structure_that_is_two_regions_is_refused() -> None:
    assert code_of(mapping_of, [([1, 2], "liver"), ([2, 3], "liver")], WORDS) == "MAPPING_INVALID"


def test_a_new_structure_is_marked_and_gets_an_index_of_its_own() -> None:
    pairs = [(1, "liver"), (2, "+dentate gyrus tail")]
    words = with_new(WORDS, pairs)
    mapping = mapping_of(pairs, words)
    index = mapping.values[2]
    assert index is not None
    assert index not in WORDS
    assert words[index].name == "dentate gyrus tail"
    assert mapping.to_json(words, WORDS) == [[1, "liver"], [2, "+dentate gyrus tail"]]
    assert code_of(mapping_of, [(2, "dentate gyrus tail")], WORDS) == "STRUCTURE_UNKNOWN"


def test_marking_leaves_known_names_values_and_regions_alone() -> None:
    pairs = [(1, "liver"), (2, "my own thing"), (3, None), ([4, 5], "a region of mine"), (6, "+marked already")]
    assert mark_new(pairs, WORDS) == [
        (1, "liver"),
        (2, "+my own thing"),
        (3, None),
        ([4, 5], "+a region of mine"),
        (6, "+marked already"),
    ]


@pytest.mark.parametrize(
    ("name", "new"), [("liver", False), ("LIVER", False), ("-", False), ("+x", False), ("my own thing", True)]
)
def test_only_a_name_that_nobody_knows_is_new(name: str, new: bool) -> None:
    assert is_new(name, WORDS) is new


@pytest.mark.parametrize("text", ["1=liver", " 1 = liver ", "Leber=liver", "3=", "1,2=liver"])
def test_a_typed_pair_is_read_as_a_listed_one(text: str) -> None:
    value, _, name = text.partition("=")
    numbers = [int(n) for n in value.split(",")] if "," in value else value.strip()
    assert mapping_of([parse_pair(text)], WORDS) == mapping_of([(numbers, name.strip() or None)], WORDS)


def test_names_of_a_list_are_a_mapping_where_the_vocabulary_knows_them() -> None:
    found = mapping_by_names({"1": "liver", "2": "spleen"}, WORDS)
    assert isinstance(found, LabelMapping)
    assert found.taught == tuple(sorted((LIVER, SPLEEN)))
