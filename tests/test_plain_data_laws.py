"""Plain data: every value comes back as what it was, and what a field cannot hold is refused at its place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import FormatError, ProsectError
from prosect.plain_data import from_plain, read_value, refuse_unknown_keys, to_plain


@dataclass(frozen=True)
class Inner:
    """A table within another."""

    side: Literal["left", "right"] = "left"
    sizes: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Thing:
    """One field of each kind."""

    name: str
    count: int = 0
    share: float = 0.5
    kept: bool = False
    place: Path | None = None
    words: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    limit: int | None = None
    either: Path | bool = False


def refusal(message: str) -> ProsectError:
    return FormatError(message, code="JOB_INVALID")


things = st.builds(
    Thing,
    name=st.text(max_size=5),
    count=st.integers(-9, 9),
    share=st.floats(-2, 2),
    kept=st.booleans(),
    place=st.none() | st.text("abc", min_size=1, max_size=3).map(Path),
    words=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    inner=st.builds(Inner, st.sampled_from(["left", "right"]), st.tuples(*[st.floats(0, 9)] * 3)),
    limit=st.none() | st.integers(0, 9),
    either=st.booleans() | st.text("xyz", min_size=1, max_size=3).map(Path),
)


@given(things)
@settings(max_examples=30, deadline=None)
def test_what_goes_through_json_comes_back_equal(thing: Thing) -> None:
    assert from_plain(Thing, json.loads(json.dumps(to_plain(thing))), "it", refusal) == thing


def said(table: Any) -> str:
    """Return the message of a refusal."""
    with pytest.raises(FormatError) as refused:
        from_plain(Thing, table, "the job", refusal)
    return str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": "3"}, "the job, count is '3'; it must be of type int"),
        ({"count": True}, "the job, count is True; it must be of type int"),
        ({"count": 1.5}, "the job, count is 1.5; it must be of type int"),
        ({"kept": 1}, "the job, kept is 1; it must be of type bool"),
        ({"share": "half"}, "the job, share is 'half'; it must be of type float"),
        ({"words": "abc"}, "the job, words is 'abc'; it must be a list"),
        ({"words": [1]}, "the job, words is 1; it must be of type str"),
        ({"inner": {"sizes": [1, 2]}}, "the job, inner, sizes is [1, 2]; it must be a list of 3"),
        ({"inner": {"side": "top"}}, "the job, inner, side is 'top'; it can be 'left', 'right'"),
        ({"inner": 3}, "the job, inner is 3; it must be a table of its fields"),
        ({"coutn": 3}, "the job: 'coutn' is unknown; nearest: count"),
        ({"inner": {"sied": "left"}}, "the job, inner: 'sied' is unknown; nearest: side"),
    ],
)
def test_what_a_field_cannot_hold_is_refused_with_place_value_and_need(changes: dict[str, Any], words: str) -> None:
    assert words in said({"name": "x", **changes})


def test_a_field_without_a_default_must_be_there_and_a_table_must_be_one() -> None:
    assert "name" in said({})
    assert said([1, 2]) == "the job is [1, 2]; it must be a table of its fields."


def test_whole_numbers_are_fractions_too_and_paths_begin_at_the_folder() -> None:
    thing = from_plain(Thing, {"name": "x", "share": 1, "place": "a/b"}, "it", refusal, Path("/base"))
    assert thing.share == 1.0
    assert type(thing.share) is float
    assert thing.place == Path("/base/a/b")
    assert from_plain(Thing, {"name": "x", "place": "/c"}, "it", refusal, Path("/base")).place == Path("/c")


@pytest.mark.parametrize(("value", "kind"), [(True, bool), ("a", type(Path())), (False, bool)])
def test_of_several_types_the_one_that_a_value_has_is_meant(value: Any, kind: type) -> None:
    found = from_plain(Thing, {"name": "x", "either": value}, "it", refusal).either
    assert type(found) is kind


def test_null_stands_for_nothing_only_where_nothing_is_allowed() -> None:
    assert read_value(int | None, None, "it", refusal) is None
    with pytest.raises(FormatError, match="it is None; it must be of type int"):
        read_value(int, None, "it", refusal)
    with pytest.raises(FormatError, match="must be of type null"):
        read_value(type(None), 3, "it", refusal)


def test_unknown_keys_name_the_two_nearest() -> None:
    refuse_unknown_keys(["steps"], ["steps", "stages"], "the recipe", refusal)
    with pytest.raises(FormatError, match="the recipe: 'step' is unknown; nearest: steps, "):
        refuse_unknown_keys(["step"], ["steps", "stages", "patch"], "the recipe", refusal)


def test_mappings_have_text_for_keys() -> None:
    assert to_plain({1: (Path("a"), Inner())}) == {"1": ["a", {"side": "left", "sizes": [1.0, 1.0, 1.0]}]}
