"""Labels of TotalSegmentator lead to the same structure here, or nowhere."""

from __future__ import annotations

import pytest

from prosect.errors import VocabularyError
from prosect.vocabulary import load
from prosect.vocabulary.crosswalk import SCHEMES, crosswalk

CT, CTMR = load("vista3d-ct"), load("vista3d-ctmr")
V2, V1 = (crosswalk(scheme) for scheme in SCHEMES)
both = pytest.mark.parametrize("walk", [V2, V1], ids=SCHEMES)


def test_sizes() -> None:
    assert [e.value for e in V2.entries] == list(range(1, 118))
    assert [e.value for e in V1.entries] == list(range(1, 105))


def test_v2_is_exactly_the_everything_list_of_vista3d() -> None:
    assert sorted(V2.indices().values()) == list(CT.everything("CT"))


@both
def test_there_and_back_is_the_same_label(walk) -> None:  # type: ignore[no-untyped-def]
    indices = walk.indices()
    assert len(set(indices.values())) == len(indices)
    for value, index in indices.items():
        entry = walk.theirs(index)
        assert entry is not None
        assert entry.value == value
        assert walk.ours(value) == walk.ours(entry.name) == index


@both
def test_left_stays_left(walk) -> None:  # type: ignore[no-untyped-def]
    for value, index in walk.indices().items():
        name = walk.find(value).name
        side = "left" if "left" in name else "right" if "right" in name else None
        expected = "left" if name == "heart_myocardium" else side  # that of the left ventricle
        assert CTMR[index].laterality == expected


@both
def test_numbers_stay(walk) -> None:  # type: ignore[no-untyped-def]
    for value, index in walk.indices().items():
        name = walk.find(value).name
        if name.startswith(("rib", "vertebrae")):
            assert CTMR[index].name.split()[-1] == name.split("_")[-1]


@both
def test_the_vocabulary_finds_their_names_by_itself(walk) -> None:  # type: ignore[no-untyped-def]
    for value, index in walk.indices().items():
        name = walk.find(value).name
        if name != "heart_myocardium":  # their name says less than they mean: that of the left ventricle
            assert CTMR.find(name).index == index


def test_what_does_not_mean_the_same_is_not_translated() -> None:
    assert V1.ours("face") is None
    assert V1.find("sacrum").relation == "broader"  # without a label of its own, S1 counts as sacrum
    assert V1.ours("sacrum") is None
    assert V1.theirs(97) is None
    assert V2.ours("sacrum") == 97
    assert V2.theirs(132) is None
    assert len(V1.indices()) == 102


def test_unknown_labels_and_schemes_are_refused() -> None:
    with pytest.raises(VocabularyError) as caught:
        V2.ours("face")
    assert caught.value.code == "STRUCTURE_UNKNOWN"
    with pytest.raises(VocabularyError, match="totalsegmentator-v2, totalsegmentator-v1"):
        crosswalk("moose")
