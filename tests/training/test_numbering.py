"""Structures are numbered for training once: own labels for classes, a bit for what contains others, no silent loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prosect import vocabulary
from prosect.data.datalist import DataList, Entry
from prosect.data.mapping import LabelMapping, mapping_of
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import RecipeError, VocabularyError
from prosect.training.scans import known_of, numbering_of

WORDS = vocabulary.load("prosect")


def teaching(**sets: str) -> DataList:
    """Return a list whose data sets teach these structures, such as `a="liver, spleen"`."""
    mappings: dict[str, LabelMapping] = {}
    for name, structures in sets.items():
        pairs = []
        for value, structure in enumerate(structures.split(", "), start=1):
            pairs.append(parse_pair(f"{value}={structure}"))
        mappings[name] = mapping_of(pairs, WORDS)
    return DataList((), mappings, WORDS)


def indices(*names: str) -> tuple[int, ...]:
    return tuple(WORDS[name].index for name in names)


def test_all_that_the_lists_teach_is_learnt_in_the_order_of_the_vocabulary() -> None:
    numbering = numbering_of(teaching(a="spleen, liver", b="liver, pancreas"))
    assert numbering.classes == tuple(sorted(indices("liver", "spleen", "pancreas")))
    assert (numbering.others, numbering.bits) == ((), {})


def test_what_is_asked_for_comes_first_in_its_order_and_the_rest_can_be_clicked() -> None:
    numbering = numbering_of(teaching(a="liver, spleen, pancreas"), ["spleen", "liver"])
    assert numbering.classes == indices("spleen", "liver")
    assert numbering.others == indices("pancreas")
    assert numbering.order == indices("spleen", "liver", "pancreas")


def test_an_index_means_the_structure_that_a_name_means() -> None:
    by_name = numbering_of(teaching(a="liver, spleen"), ["spleen"])
    assert numbering_of(teaching(a="liver, spleen"), list(indices("spleen"))) == by_name


def test_pseudo_classes_are_taught_too() -> None:
    only = replace(teaching(), pseudo_classes=indices("aorta"))
    assert numbering_of(only).classes == indices("aorta")


def test_a_structure_that_contains_others_has_a_bit_and_no_label() -> None:
    numbering = numbering_of(teaching(a="lung, left lung, spleen"))
    lung, left, spleen = indices("lung", "left lung", "spleen")
    assert dict(numbering.bits) == {lung: 0}
    table = numbering.table(numbering.order)
    assert (table[lung], table[left] > 0, table[spleen] > 0) == (0, True, True)
    assert numbering.nested == {numbering.order.index(lung): 0}


def test_a_structure_has_no_bit_where_nothing_inside_it_is_taught() -> None:
    assert dict(numbering_of(teaching(a="lung, spleen")).bits) == {}


def test_the_table_gives_every_wanted_structure_its_place_from_1_and_others_0() -> None:
    numbering = numbering_of(teaching(a="liver, spleen, pancreas"), ["spleen", "liver"])
    table = numbering.table(indices("liver", "pancreas", "aorta"))
    assert table[WORDS["liver"].index] == 2
    assert table[WORDS["pancreas"].index] == 3
    assert np.count_nonzero(table) == 2, "neither the spleen, which is not wanted, nor the aorta, which nobody numbers"
    assert len(table) == max(s.index for s in WORDS) + 1


def test_a_class_that_nothing_teaches_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="No labels of the list teach aorta, pancreas") as caught:
        numbering_of(teaching(a="liver"), ["aorta", "liver", "pancreas"])
    assert caught.value.code == "CLASS_UNTAUGHT"
    with pytest.raises(VocabularyError):
        numbering_of(teaching(a="liver"), ["livre"])


def entry(**changes: object) -> Entry:
    """Return a scan with manual and pseudo-labels."""
    usual = Entry("a", Path("a.nii"), label=Path("l.nii"), pseudo_label=Path("p.nii"), dataset="a", reliability=1)
    return replace(usual, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "pseudo_classes", "manual", "pseudo"),
    [
        ({}, ("liver", "spleen", "aorta"), ("liver", "spleen"), ("aorta",)),
        ({"reliability": 0}, ("aorta",), ("liver", "spleen"), ()),
        ({"pseudo_label": None}, ("aorta",), ("liver", "spleen"), ()),
        ({"label": None}, ("liver", "aorta"), (), ("liver", "aorta")),
        ({}, None, ("liver", "spleen"), ("pancreas",)),
        ({}, (), ("liver", "spleen"), ()),
    ],
)
def test_manual_labels_go_before_pseudo_labels_that_are_reliable(
    changes: Mapping[str, object],
    pseudo_classes: tuple[str, ...] | None,
    manual: tuple[str, ...],
    pseudo: tuple[str, ...],
) -> None:
    datalist = teaching(a="liver, spleen")
    if pseudo_classes is not None:
        datalist = replace(datalist, pseudo_classes=indices(*pseudo_classes))
    present = indices("liver", "pancreas")
    found = known_of(entry(**changes), datalist, present)
    assert (sorted(found[0]), found[1]) == (sorted(indices(*manual)), indices(*pseudo))
