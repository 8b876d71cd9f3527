"""Frozen dataclasses become plain data and come back; what cannot be meant is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from prosect.errors import RecipeError
from prosect.plain_data import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] = (1, 2)
    flag: bool = False


@dataclass(frozen=True)
class Outer:
    place: Path
    inner: Inner = Inner()
    either: Path | bool = False
    number: float | None = None
    names: tuple[str, ...] = ()
    word: Literal["a", "b"] = "a"


def read(table: Any) -> Outer:
    return from_plain(Outer, table, "outer", RecipeError)


@pytest.mark.parametrize(
    "value",
    [
        Outer(Path("a/b")),
        Outer(Path("a"), Inner((3, 4), True), True, 0.5, ("x", "y"), "b"),
        Outer(Path("a"), either=Path("there"), number=None),
    ],
)
def test_a_value_comes_back_equal(value: Outer) -> None:
    plain = to_plain(value)
    assert read(plain) == value
    assert type(plain["place"]) is str


def test_absent_fields_take_their_defaults() -> None:
    assert read({"place": "a"}) == Outer(Path("a"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([], "must be a table"),
        ({}, "place"),
        ({"place": "a", "nmaes": []}, "'nmaes' is unknown; nearest: names"),
        ({"place": 1}, "outer, place is 1; it must be of type Path"),
        ({"place": "a", "inner": {"size": [1]}}, "outer, inner, size is [1]; it must be a list of 2"),
        ({"place": "a", "inner": {"size": [1, True]}}, "of type int"),
        ({"place": "a", "inner": {"flag": 1}}, "of type bool"),
        ({"place": "a", "word": "c"}, "it can be 'a', 'b'"),
        ({"place": "a", "names": "x"}, "must be a list"),
        ({"place": "a", "inner": 3}, "must be a table"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(table: Any, said: str) -> None:
    with pytest.raises(RecipeError, match="outer") as refused:
        read(table)
    assert said in str(refused.value)
