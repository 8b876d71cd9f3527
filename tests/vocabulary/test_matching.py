"""When two spellings are one name: what counts, what does not, and which names are near."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.vocabulary.matching import can_be_name, is_background, nearest, spelling

WORDS = vocabulary.load("prosect")
NAMES = [structure.name for structure in WORDS]
few = settings(max_examples=25, deadline=None)


@few
@given(st.sampled_from(NAMES), st.sampled_from(["_", "-", "  ", " - ", "\u2013"]), st.booleans())
def test_case_and_what_stands_between_words_do_not_count(name: str, gap: str, upper: bool) -> None:
    written = name.replace(" ", gap)
    if upper:
        written = written.upper()
    assert spelling(written) == spelling(name)


@pytest.mark.parametrize(
    "forms",
    [
        ("left kidney", "kidney left", "kidney (left)", "kidney, left", "Kidney_Left", "left-kidney", "kidney [left]"),
        ("right lung upper lobe", "lung upper lobe right", "lung_upper_lobe_right", "lung (right) upper lobe"),
    ],
)
def test_the_side_may_stand_anywhere(forms: tuple[str, ...]) -> None:
    assert len({spelling(form) for form in forms}) == 1


def test_left_is_not_right_and_neither_is_nothing() -> None:
    assert len({spelling(name) for name in ("left kidney", "right kidney", "kidney")}) == 3


@pytest.mark.parametrize(
    "pair",
    [
        ("HER2+", "HER2-"), ("<1cm", ">1cm"), ("node (1)", "node [1]"), ("rib 1 2", "rib 12"), ("T1", "T 1a"),
        ("a+b", "a b"), ("1.5", "15"), ("C3/4", "C34"), ("node 1", "node 2"), ("p<0.5", "p 0.5"),
    ],
)  # fmt: skip
def test_signs_and_digits_that_stand_apart_count(pair: tuple[str, str]) -> None:
    assert spelling(pair[0]) != spelling(pair[1])


@pytest.mark.parametrize(("one", "other"), [("vertebrae L 1", "vertebrae L1"), ("T 12", "t12"), ("ﬁbula", "fibula")])
def test_a_letter_and_its_digit_may_stand_apart_and_ligatures_are_letters(one: str, other: str) -> None:
    assert spelling(one) == spelling(other)


written = st.text("abLxyz 12_", max_size=20)


@few
@given(written)
def test_a_spelling_is_its_own_spelling(text: str) -> None:
    assert spelling(spelling(text)) == spelling(text)


@few
@given(written)
def test_spaces_around_a_name_do_not_count(text: str) -> None:
    assert spelling(f"  {text}\t") == spelling(text)


def test_names_of_the_vocabulary_are_all_apart() -> None:
    assert len({spelling(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("liver", True), ("node 1", True), ("1a", True), ("Tumor #2", True), ("心臓", True),
        ("", False), ("  ", False), ("12", False), ("#1", False), ("+-/", False), ("١٢", False),
    ],
)  # fmt: skip
def test_a_name_has_a_letter_and_is_no_mere_number(text: str, can: bool) -> None:
    assert can_be_name(text) is can


@pytest.mark.parametrize(
    ("text", "is_it"), [("background", True), ("BackGround", True), ("back ground", True), ("liver", False), (0, False)]
)
def test_the_background_is_known_by_its_name(text: object, is_it: bool) -> None:
    assert is_background(text) is is_it


def spellings() -> dict[str, str]:
    return {spelling(name): name for name in NAMES}


@few
@given(st.sampled_from(NAMES), st.integers(0, 30), st.sampled_from("abcxyz"))
def test_a_name_with_one_letter_too_many_is_near_itself(name: str, place: int, letter: str) -> None:
    place = min(place, len(name))
    typed = name[:place] + letter + name[place:]
    assert name in nearest(typed, spellings(), 5)


@pytest.mark.parametrize("typed", ["cheek aright", "cheek rigt", "Cheek_Righht", "aright cheek"])
def test_a_side_that_is_misspelt_is_a_side(typed: str) -> None:
    assert nearest(typed, spellings(), 1) == ("cheek right",)


def test_the_nearest_come_best_first_each_once_and_no_more_than_asked() -> None:
    aliases = {"spleen": "spleen", "splen": "spleen", "spline": "spine", "liver": "liver"}
    found = nearest("spleenn", aliases, 2)
    assert found == ("spleen", "spine")
    assert nearest("liver", aliases, 1) == ("liver",)
    assert nearest("anything", {}, 3) == ()
