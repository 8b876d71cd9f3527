"""Colours on the page: two structures never look alike, and none changes because another comes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.server.colours import ALIKE, PALETTE, colours_of, distance, parse
from prosect.session.changes import StructureState

WORDS = vocabulary.load("prosect")
SUPPORTED = [each.name for each in WORDS if each.status == "supported"]


def state(name: str) -> StructureState:
    """A structure, known or not."""
    known = WORDS.get(name)
    index = 1000 if known is None else known.index
    return StructureState(name, index, 1, 0, drafted=True, locked=False, zero_shot=known is None)


def test_a_structure_that_is_alone_has_the_colour_of_the_vocabulary() -> None:
    for name in SUPPORTED[:20]:
        assert colours_of([state(name)], WORDS)[name] == "#{:02x}{:02x}{:02x}".format(*WORDS[name].color)


def test_liver_and_kidney_are_told_apart() -> None:
    found = colours_of([state("liver"), state("right kidney"), state("left kidney")], WORDS)
    for one, other in itertools.combinations(found.values(), 2):
        assert distance(parse(one), parse(other)) >= ALIKE


@given(st.lists(st.sampled_from([*SUPPORTED, "one", "two", "three"]), unique=True, max_size=12), st.integers(0, 12))
def test_a_colour_stays_when_others_come(names: list[str], count: int) -> None:
    states = [state(name) for name in names]
    whole = colours_of(states, WORDS)
    assert colours_of(states[:count], WORDS) == {name: whole[name] for name in names[:count]}


def test_objects_of_ones_own_are_all_different_while_the_row_lasts() -> None:
    found = colours_of([state(f"object {number}") for number in range(len(PALETTE))], WORDS)
    assert len(set(found.values())) == len(PALETTE)


def test_equal_colours_are_no_distance_apart_and_black_and_white_the_most() -> None:
    assert distance((10, 20, 30), (10, 20, 30)) == 0
    assert 760 < distance((0, 0, 0), (255, 255, 255)) < 770


def test_a_session_of_hundreds_of_structures_has_a_colour_for_each() -> None:
    found = colours_of([state(f"object {number}") for number in range(700)], WORDS)
    assert len(found) == 700
    assert set(found.values()) == set(PALETTE)
