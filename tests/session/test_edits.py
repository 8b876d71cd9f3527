"""Edits flip bits in boxes: doing one again undoes it, planning follows the overlap rule, and plain data comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.prompts import Target, click_at
from prosect.session.asking import bounds_of, extent_of
from prosect.session.bits import pack, unpack
from prosect.session.edits import (
    LAYERS,
    Action,
    Clicks,
    Edit,
    PlacedClick,
    Sheet,
    after,
    apply_action,
    changes_between,
    count_from_now,
    join_actions,
    next_turn,
    plan_mask,
    scale_of,
)

SHAPE = (7, 6, 5)
WHOLE = Box((0, 0, 0), SHAPE)
GRID = Grid(SHAPE, np.diag([1.5, 2.0, 2.5, 1.0]))
NAMES = ("liver", "spleen", "node")
few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)

SPACING = (1.0, 1.0, 1.0)


def target(name: str) -> Target:
    return Target(name, 1 + NAMES.index(name), zero_shot=False, ambiguous=False, note="")


def masks(seed: int, count: int = 1, density: float = 0.35) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(SHAPE) < density for _ in range(count)]


def sheets(seed: int) -> dict[str, Sheet]:
    """Return three structures whose drafts are drawn and shown as they are."""
    found = {}
    for name, mask in zip(NAMES, masks(seed, 3), strict=True):
        sheet = Sheet(target(name), SHAPE)
        for layer in LAYERS:
            getattr(sheet, layer).toggle(WHOLE, mask)
        found[name] = sheet
    return found


def state(of: dict[str, Sheet]) -> dict[str, tuple[object, ...]]:
    """Return everything that can change."""
    return {
        name: (*(getattr(sheet, layer).read(WHOLE).tobytes() for layer in LAYERS), sheet.clicks)
        for name, sheet in of.items()
    }


def click(voxel: tuple[int, int, int], positive: bool = True, **more: object) -> PlacedClick:
    placed = PlacedClick.of(click_at(GRID.to_world(np.array(voxel, float)).tolist(), GRID, positive=positive), GRID)
    return replace(placed, **more)


@few
@given(seeds)
def test_bits_of_a_box_come_back_and_the_box_is_cut_to_them(seed: int) -> None:
    (mask,) = masks(seed, density=0.05)
    edit = Edit.of("liver", ("draft",), WHOLE, mask)
    assert edit.box == Box.of(mask)
    np.testing.assert_array_equal(edit.read(WHOLE), mask)
    np.testing.assert_array_equal(unpack(pack(mask), mask.shape), mask)


@few
@given(seeds, st.tuples(*[st.integers(0, 4)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_a_part_of_an_edit_is_that_part_of_its_bits(
    seed: int, start: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    (mask,) = masks(seed)
    edit = Edit.of("liver", ("draft",), WHOLE, mask)
    i, j, k = (a + n for a, n in zip(start, size, strict=True))
    box = Box(start, (i, j, k))
    expected = np.zeros(size, dtype=bool)
    part = mask[box.slices]
    expected[: part.shape[0], : part.shape[1], : part.shape[2]] = part
    np.testing.assert_array_equal(edit.read(box), expected)


@few
@given(seeds)
def test_an_edit_survives_the_journal(seed: int) -> None:
    (mask,) = masks(seed)
    edit = Edit.of("node", ("edited", "shown"), WHOLE, mask)
    assert Edit.from_json(json.loads(json.dumps(edit.to_json())), SHAPE) == edit


def test_edits_are_equal_by_what_they_flip() -> None:
    (mask,) = masks(1)
    edit = Edit.of("liver", ("draft",), WHOLE, mask)
    assert edit == Edit.of("liver", ("draft",), WHOLE, mask)
    other = mask.copy()
    other[3, 3, 3] ^= True
    assert edit != Edit.of("liver", ("draft",), WHOLE, other)
    assert edit != Edit.of("spleen", ("draft",), WHOLE, mask)
    assert edit != Edit.of("liver", ("shown",), WHOLE, mask)
    assert edit != "liver"


@few
@given(seeds, st.sampled_from(["allow", "take", "keep"]), st.booleans())
def test_doing_and_undoing_leaves_every_bit_as_it_was(seed: int, rule: str, with_draft: bool) -> None:
    some = sheets(seed)
    before = state(some)
    (wanted,) = masks(seed + 1)
    edits = plan_mask(some, "liver", WHOLE, wanted, rule, wanted if with_draft else None)
    clicks = {"liver": ((), (click((1, 1, 1)),))}
    action = Action(edits, clicks)
    apply_action(action, some)
    np.testing.assert_array_equal(some["liver"].edited.read(WHOLE), wanted)
    assert some["liver"].clicks == clicks["liver"][1]
    apply_action(action.inverse(), some)
    assert state(some) == before


@few
@given(seeds)
def test_where_structures_may_overlap_no_other_one_changes(seed: int) -> None:
    some = sheets(seed)
    before = state(some)
    (wanted,) = masks(seed + 1)
    apply_action(Action(plan_mask(some, "liver", WHOLE, wanted, "allow")), some)
    np.testing.assert_array_equal(some["liver"].shown.read(WHOLE), wanted)
    for name in ("spleen", "node"):
        assert state(some)[name] == before[name]


@few
@given(seeds)
def test_what_is_taken_is_taken_from_the_shown_masks_of_others_only(seed: int) -> None:
    some = sheets(seed)
    old = {name: sheet.shown.read(WHOLE) for name, sheet in some.items()}
    (wanted,) = masks(seed + 1)
    apply_action(Action(plan_mask(some, "liver", WHOLE, wanted, "take")), some)
    gained = wanted & ~old["liver"]
    np.testing.assert_array_equal(some["liver"].shown.read(WHOLE), wanted)
    for name in ("spleen", "node"):
        np.testing.assert_array_equal(some[name].shown.read(WHOLE), old[name] & ~gained)
        np.testing.assert_array_equal(some[name].edited.read(WHOLE), old[name], "its own mask is as it was")


@few
@given(seeds)
def test_what_others_have_they_keep(seed: int) -> None:
    some = sheets(seed)
    old = {name: sheet.shown.read(WHOLE) for name, sheet in some.items()}
    (wanted,) = masks(seed + 1)
    apply_action(Action(plan_mask(some, "liver", WHOLE, wanted, "keep")), some)
    free = ~(old["spleen"] | old["node"])
    expected = (wanted & old["liver"]) | (wanted & ~old["liver"] & free)
    np.testing.assert_array_equal(some["liver"].shown.read(WHOLE), expected)
    for name in ("spleen", "node"):
        np.testing.assert_array_equal(some[name].shown.read(WHOLE), old[name])


@pytest.mark.parametrize("rule", ["take", "keep"])
def test_a_locked_structure_loses_nothing_under_any_rule(rule: str) -> None:
    some = sheets(5)
    some["spleen"].locked = True
    locked = some["spleen"].shown.read(WHOLE)
    apply_action(Action(plan_mask(some, "liver", WHOLE, np.ones(SHAPE, bool), rule)), some)
    np.testing.assert_array_equal(some["spleen"].shown.read(WHOLE), locked)
    gained = some["liver"].shown.read(WHOLE)
    before = sheets(5)["liver"].shown.read(WHOLE)
    assert not (gained & ~before & locked).any()


def test_nothing_wanted_otherwise_is_no_edit() -> None:
    some = sheets(3)
    for rule in ("allow", "take", "keep"):
        assert plan_mask(some, "liver", WHOLE, some["liver"].edited.read(WHOLE), rule) == ()


@few
@given(seeds)
def test_the_action_between_two_states_leads_from_one_to_the_other_and_back(seed: int) -> None:
    some = sheets(seed)
    others = {name: sheet.copy() for name, sheet in some.items()}
    (wanted,) = masks(seed + 1)
    apply_action(Action(plan_mask(others, "node", WHOLE, wanted, "take"), {"node": ((), (click((2, 2, 2)),))}), others)
    before, goal = state(some), state(others)
    action = changes_between(some, others)
    apply_action(action, some)
    assert {name: found[1:] for name, found in state(some).items()} == {name: g[1:] for name, g in goal.items()}
    apply_action(action.inverse(), some)
    assert state(some) == before


def test_states_that_are_the_same_need_no_action() -> None:
    some = sheets(2)
    assert changes_between(some, some) == Action(())
    assert changes_between(some, {name: sheet.copy() for name, sheet in some.items()}).edits == ()


def test_a_copy_is_a_sheet_of_its_own() -> None:
    one = sheets(4)["liver"]
    one.clicks, one.locked = (click((1, 2, 3)),), True
    other = one.copy()
    assert (other.clicks, other.locked, other.target) == (one.clicks, True, one.target)
    other.shown.toggle(WHOLE, np.ones(SHAPE, bool))
    assert not np.array_equal(other.shown.read(WHOLE), one.shown.read(WHOLE))


def test_several_actions_are_one_in_their_order() -> None:
    some, others = sheets(6), sheets(6)
    first = Action(plan_mask(some, "liver", WHOLE, masks(7)[0], "allow"), {"liver": ((), (click((0, 0, 0)),))})
    apply_action(first, some)
    second = Action(plan_mask(some, "spleen", WHOLE, masks(8)[0], "allow"), {"spleen": ((), (click((1, 0, 0)),))})
    apply_action(second, some)
    apply_action(join_actions([first, second]), others)
    assert state(others) == state(some)


def test_an_action_says_how_many_bytes_it_holds() -> None:
    empty = Action(())
    assert empty.nbytes == 0
    edit = Edit.of("liver", ("draft",), WHOLE, masks(1)[0])
    with_clicks = Action((edit,), {"liver": ((), (click((0, 0, 0)), click((1, 1, 1))))})
    assert with_clicks.nbytes == len(edit.packed) + 2 * 8


@pytest.mark.parametrize("bounds", [None, Box((0, 1, 2), (3, 4, 5))])
@pytest.mark.parametrize("turn", [None, 3])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_click_survives_the_journal(bounds: Box | None, turn: int | None, scale: float) -> None:
    placed = click((1, 2, 3), False, patch=(4, -2, 0), turn=turn, extent_mm=12.5, bounds=bounds, scale=scale)
    plain = json.loads(json.dumps(placed.to_json()))
    assert PlacedClick.from_json(plain, GRID) == placed
    assert ("scale" in plain) == (scale != 1), "journals without scales say nothing of them"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", 0.0),
        ("scale", -2.0),
        ("scale", float("nan")),
        ("scale", float("inf")),
        ("bounds", [[0, 0, 0], [1, 1, 1000]]),
        ("bounds", [[-1, 0, 0], [1, 1, 1]]),
        ("bounds", [[2, 2, 2], [1, 3, 3]]),
        ("bounds", [[0, 0], [1, 1]]),
        ("anchor_ras", [1e6, 0.0, 0.0]),
        ("anchor_ras", [float("nan"), 0.0, 0.0]),
    ],
)
def test_a_click_that_no_session_wrote_is_refused(key: str, value: object) -> None:
    with pytest.raises((ValueError, PromptError)):
        PlacedClick.from_json({**click((1, 2, 3)).to_json(), key: value}, GRID)


def test_a_click_from_before_clicks_could_wait_counts_after_the_others() -> None:
    plain = click((1, 2, 3)).to_json()
    del plain["turn"]
    others = (click((0, 0, 0), turn=4), click((0, 0, 1)))
    assert PlacedClick.from_json(plain, GRID, others).turn == 5
    assert PlacedClick.from_json(plain, GRID).turn == 1


def test_turns_are_counted_on_and_waiting_clicks_have_none() -> None:
    waiting, counted = click((0, 0, 0)), click((1, 0, 0), turn=2)
    assert next_turn(()) == next_turn((waiting,)) == 1
    assert next_turn((waiting, counted)) == 3
    second = click((2, 0, 0))
    found = count_from_now((waiting, counted, second), (second, waiting))
    assert [each.turn for each in found] == [3, 2, 4]


def test_the_last_size_and_the_shared_scale_count() -> None:
    clicks: Clicks = (click((0, 0, 0), extent_mm=10.0, scale=2.0), click((1, 0, 0), extent_mm=None, scale=2.0))
    assert extent_of(clicks, SPACING) == 10.0
    assert extent_of((), SPACING) is None
    assert extent_of((*clicks, click((2, 0, 0), extent_mm=30.0)), SPACING) == 30.0
    assert scale_of(clicks) == 2.0
    assert scale_of(()) == 1.0


def test_a_box_counts_until_a_positive_click_outside_says_that_the_structure_goes_on() -> None:
    drawn = click((1, 1, 1), bounds=Box((0, 0, 0), (3, 3, 3)))
    inside, outside = click((2, 2, 2)), click((5, 5, 4))
    no = click((5, 5, 4), positive=False)
    assert bounds_of((), SPACING) is None
    assert bounds_of((drawn, inside, no), SPACING) == drawn.bounds
    assert bounds_of((drawn, outside), SPACING) is None
    again = replace(drawn, bounds=Box((0, 0, 0), (6, 6, 5)))
    assert bounds_of((drawn, outside, again), SPACING) == again.bounds


def test_a_flat_box_counts_beyond_its_plane_as_far_as_it_leaves_room() -> None:
    drawn = click((3, 3, 1), bounds=Box((2, 2, 1), (4, 4, 2)))
    off_plane, wider, beside = click((3, 3, 4)), click((4, 3, 4)), click((6, 3, 4))
    assert bounds_of((drawn, off_plane), SPACING) == drawn.bounds
    assert bounds_of((drawn, wider), SPACING) == drawn.bounds
    assert bounds_of((drawn, beside), SPACING) is None


def test_a_click_within_a_box_is_counted_from_its_start() -> None:
    assert click((4, 3, 2)).within(Box((1, 1, 1), (6, 6, 5))) == (3, 2, 1)
    assert after((4, 3, 2)) == (5, 4, 3)


def test_a_box_around_a_part_that_is_missing_says_nothing_of_the_whole() -> None:
    before = click((5, 4, 4), extent_mm=50.0)
    part = click((1, 1, 1), extent_mm=6.0, bounds=Box((0, 0, 1), (3, 3, 2)))
    assert bounds_of((before, part), SPACING) is None
    assert extent_of((before, part), SPACING) == 50.0
    in_space = replace(part, bounds=Box((0, 0, 0), (3, 3, 3)))
    assert bounds_of((before, in_space), SPACING) == in_space.bounds
    around = replace(part, bounds=Box((0, 0, 1), (6, 5, 2)), extent_mm=20.0)
    assert bounds_of((before, part, around), SPACING) == around.bounds
    assert extent_of((before, part, around), SPACING) == 20.0
    wrong = replace(before, positive=False)
    assert bounds_of((wrong, part), SPACING) == part.bounds, "a negative click outside says the same as the box"
