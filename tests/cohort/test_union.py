"""Ledgers of many workers add up to the same state in whatever order they are read."""

from __future__ import annotations

import random
from typing import Any

from prosect.cohort.union import Union

MINE = "mine"


def event(kind: str, case: str = "", **what: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"event": kind, **what}
    if case:
        found["case"] = case
    if kind in ("saving", "done", "refused"):
        found.setdefault("settings", MINE)
    return found


def start() -> dict[str, Any]:
    return event("start", settings={"model": "fake"})


def union_of(**ledgers: list[dict[str, Any]]) -> Union:
    found = Union(MINE)
    for name, events in ledgers.items():
        found.add(name, events)
    return found


DEAD = [start(), event("reading", "a", alone=False), event("saving", "a")]
DONE = [start(), event("reading", "a", alone=True), event("saving", "a"), event("done", "a", files={"a": 1})]


def test_a_case_that_anyone_has_done_is_done_whatever_the_order() -> None:
    for first, second in ((DEAD, DONE), (DONE, DEAD)):
        union = union_of(x=first, y=second)
        assert set(union.done_cases()) == {"a"}
        assert union.begun == {"a"}


def test_lines_read_in_pieces_and_mixed_give_the_same_state() -> None:
    retry = [start(), event("retry", cases=["b"], seen={"z": 3})]
    refused = [start(), event("reading", "b"), event("refused", "b", code="X")]
    ledgers = {"x": list(DEAD), "y": list(DONE), "z": refused, "r": retry}
    shuffled = random.Random(0)
    for _ in range(20):
        union, rest = Union(MINE), {name: list(events) for name, events in ledgers.items()}
        while any(rest.values()):
            name = shuffled.choice([name for name, events in rest.items() if events])
            union.add(name, [rest[name].pop(0)])
        assert set(union.done_cases()) == {"a"}
        assert union.refused_cases() == {}
        assert union.attempts("a") == (1, 0)


def test_attempts_without_outcome_count_and_those_alone_apart() -> None:
    alone = [start(), event("reading", "a", alone=True)]
    union = union_of(x=DEAD, y=alone, z=alone)
    assert union.attempts("a") == (3, 2)
    assert union.attempts("a", by_others_than="z") == (2, 1)
    assert union.open_cases() == {"a"}


def test_who_stops_in_order_holds_nothing_against_its_cases() -> None:
    union = union_of(x=[*DEAD, event("stopped")])
    assert union.attempts("a") == (0, 0)
    assert union.begun == {"a"}, "its files may be there"


def test_a_case_that_took_too_long_is_charged_and_those_beside_it_are_not() -> None:
    both = [start(), event("reading", "a", alone=False), event("reading", "b", alone=False), event("overdue", "a")]
    union = union_of(x=both)
    assert union.attempts("a") == (1, 1)
    assert union.attempts("b") == (0, 0)


def test_a_pardon_covers_what_was_seen_and_nothing_later() -> None:
    dead = [start(), event("reading", "a", alone=True)]
    refused = [start(), event("refused", "a", code="X"), event("refused", "a", code="Y")]
    union = union_of(x=dead, y=refused[:2], r=[event("retry", cases=["a"], seen={"x": 2, "y": 2})])
    assert union.attempts("a") == (0, 0)
    assert union.refused("a") is None
    union.add("y", refused[2:])
    later = union.refused("a")
    assert later is not None
    assert later["code"] == "Y"
    other = union_of(x=dead, r=[event("retry", cases=["b"], seen={"x": 2})])
    assert other.attempts("a") == (1, 1), "pardons are by case"


def test_one_ledger_of_several_runs_counts_each_that_died() -> None:
    """The ledger of runs that work alone: whoever starts anew has left the one before."""
    union = union_of(x=[*DEAD, *DEAD, *DONE])
    assert union.attempts("a") == (2, 0)
    assert set(union.done_cases()) == {"a"}


def test_what_was_done_under_other_settings_does_not_count() -> None:
    union = union_of(x=[start(), event("done", "a", settings="theirs", files={})])
    assert union.done("a") == ()
    assert union.begun == {"a"}


def test_a_done_case_is_not_refused() -> None:
    union = union_of(x=[start(), event("refused", "a", code="X")], y=DONE)
    assert union.refused_cases() == {}
