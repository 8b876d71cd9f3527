"""Values of many owners within one budget of bytes: the least recently used goes first, and nobody's is taken twice."""

from __future__ import annotations

import gc
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.inference.feature_budget import (
    ANSWER_BYTES,
    FEATURE_BYTES,
    FeatureBudget,
    Remembered,
    Shelf,
    shared_budget,
)
from prosect.inference.intensities import mean_and_spread
from prosect.inference.question import Question
from prosect.inference.scales import ClickScales
from prosect.inference.windows import blend_weights, plan_windows
from prosect.prompts import LabelledClick


@dataclass(frozen=True)
class Bytes:
    """Something that holds so many bytes."""

    nbytes: int


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("ab"), st.integers(0, 4), st.integers(0, 60)),
        st.tuples(st.just("find"), st.sampled_from("ab"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("forget"), st.sampled_from("ab"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=50, deadline=None)
def test_a_shelf_does_what_a_plain_list_in_order_of_use_would(calls: list[tuple[str, str, int, int]]) -> None:
    shelf, twin = Shelf(100), OrderedDict()
    for what, owner, key, size in calls:
        if what == "put":
            shelf.put(owner, key, Bytes(size))
            twin.pop((owner, key), None)
            twin[owner, key] = size
            while sum(twin.values()) > 100 and len(twin) > 1:
                twin.popitem(last=False)
        elif what == "find":
            found = shelf.find(owner, key)
            assert (found is None) == ((owner, key) not in twin)
            if found is not None:
                assert found.nbytes == twin[owner, key]
                twin.move_to_end((owner, key))
        else:
            shelf.forget(owner)
            for each in [each for each in twin if each[0] == owner]:
                del twin[each]
        assert shelf.nbytes == sum(twin.values())
        for name in "ab":
            assert [value.nbytes for value in shelf.of(name)] == [n for (whose, _), n in twin.items() if whose == name]


def test_one_value_larger_than_the_budget_stays_until_the_next() -> None:
    shelf = Shelf(10)
    shelf.put("a", 1, Bytes(50))
    assert shelf.nbytes == 50
    shelf.put("b", 1, Bytes(3))
    assert shelf.find("a", 1) is None
    assert shelf.nbytes == 3


def test_threads_share_a_shelf_without_losing_count() -> None:
    shelf = Shelf(500)

    def work(number: int) -> None:
        for n in range(200):
            shelf.put(number, n % 7, Bytes(n % 13))
            shelf.find(number, (n + 3) % 7)
        shelf.forget(number)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert shelf.nbytes == 0


def test_what_is_kept_is_made_once_and_belongs_to_its_owner() -> None:
    shelf = Shelf(1000)
    mine, yours = Remembered[Bytes](shelf), Remembered[Bytes](shelf)
    made: list[int] = []

    def make() -> Bytes:
        made.append(1)
        return Bytes(10)

    assert mine.get("key", make) is mine.get("key", make)
    assert made == [1]
    assert yours.find("key") is None
    assert (len(mine), len(yours), mine.nbytes) == (1, 0, 10)


def test_an_owner_that_is_gone_leaves_the_shelf() -> None:
    shelf = Shelf(1000)
    owner = Remembered[Bytes](shelf)
    owner.put("key", Bytes(10))
    stays = Remembered[Bytes](shelf)
    stays.put("key", Bytes(7))
    del owner
    gc.collect()
    assert shelf.nbytes == 7
    assert len(stays) == 1


def test_a_budget_keeps_features_and_answers_apart_and_halves_the_answers() -> None:
    budget = FeatureBudget(1000, 400)
    assert (budget.features.budget_bytes, budget.answers.budget_bytes, budget.milestones.budget_bytes) == (
        1000,
        200,
        200,
    )
    for shelf, size in ((budget.features, 5), (budget.answers, 6), (budget.milestones, 7)):
        shelf.put("one", 0, Bytes(size))
    assert budget.nbytes == 18


def test_responders_that_are_given_no_budget_share_the_process_s() -> None:
    assert shared_budget() is shared_budget()
    assert shared_budget().features.budget_bytes == FEATURE_BYTES
    assert shared_budget().answers.budget_bytes == ANSWER_BYTES // 2


def test_tensors_and_arrays_say_how_much_they_hold() -> None:
    shelf = Shelf(10**6)
    shelf.put("a", 0, torch.zeros(5, 4))
    shelf.put("a", 1, np.zeros(6, dtype=np.uint8))
    assert shelf.nbytes == 5 * 4 * 4 + 6


@given(st.floats(0.2, 2000), st.floats(0.2, 2000))
@settings(max_examples=80, deadline=None)
def test_larger_targets_never_get_a_finer_scale_and_scales_are_steps_of_the_root_of_two(one: float, two: float) -> None:
    scales = ClickScales(lowest=0.125, highest=8.0, extents_mm=(15.0, 120.0))
    small, large = sorted((one, two))
    assert scales.for_extent(small) <= scales.for_extent(large)
    for extent in (small, large):
        scale = scales.for_extent(extent)
        assert 2 * np.log2(scale) == pytest.approx(round(2 * np.log2(scale)), abs=1e-9)
        if 15.0 <= extent <= 120.0:
            assert scale == 1.0
        if 0.125 < scale < 8.0:
            assert 15 / 2**0.25 - 1e-6 <= extent / scale <= 120 * 2**0.25 + 1e-6, "answered well, to half a step"


@given(st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_a_scale_the_model_has_not_is_the_nearest_it_has(scale: float) -> None:
    found = ClickScales(lowest=0.5, highest=2.0).bound(scale)
    assert 0.5 <= found <= 2.0
    if 0.5 <= scale <= 2.0:
        assert found == scale


def click(patch: tuple[int, int, int]) -> LabelledClick:
    return LabelledClick((0.0, 0.0, 0.0), 1, patch)


def test_a_question_is_about_each_patch_once_in_ascending_order() -> None:
    question = Question((click((4, 0, 0)), click((1, 9, 9)), click((4, 0, 0)), click((1, 2, 0))), zero_shot=False)
    assert question.patches == ((1, 2, 0), (1, 9, 9), (4, 0, 0))
    assert Question((), zero_shot=True).patches == ()


values = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40)


@given(values)
@settings(max_examples=40, deadline=None)
def test_intensities_are_measured_above_zero_and_a_flat_image_becomes_zero(numbers: list[float]) -> None:
    image = torch.tensor(numbers, dtype=torch.float64)
    mean, spread = mean_and_spread(image)
    positive = np.array([n for n in numbers if n > 0])
    counted = positive
    if len(positive) < 2 or not np.std(positive, ddof=1) > 0:
        counted = np.array(numbers)
    assert float(mean) == pytest.approx(counted.mean(), abs=1e-6)
    deviation = np.std(counted, ddof=1) if len(counted) > 1 else 0.0
    if deviation > 1e-9:
        assert float(spread) == pytest.approx(deviation, rel=1e-6)
    if len(set(numbers)) == 1:
        assert bool(((image - mean) / spread == 0).all())


@given(st.sampled_from(["constant", "gaussian"]), st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=15, deadline=None)
def test_blending_weights_are_positive_symmetric_and_greatest_in_the_middle(
    blending: str, window: tuple[int, int, int]
) -> None:
    weights = blend_weights(window, blending)  # type: ignore[arg-type]
    assert weights.shape == window
    assert float(weights.min()) > 0
    torch.testing.assert_close(weights, weights.flip(0, 1, 2))
    middle = tuple((n - 1) // 2 for n in window)
    assert weights[middle] == weights.max()


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0])
def test_an_overlap_that_would_never_move_on_is_an_error(overlap: float) -> None:
    with pytest.raises(ValueError, match=f"overlap is {overlap}"):
        plan_windows((8, 8, 8), (4, 4, 4), overlap)


@given(st.tuples(*[st.integers(1, 40)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_sweep_runs_along_the_axis_that_leaves_the_smallest_slab(shape: tuple[int, int, int]) -> None:
    plan = plan_windows(shape, (8, 8, 8), 0.25)
    sizes = [np.prod([n for axis, n in enumerate(plan.padded) if axis != along]) for along in range(3)]
    assert sizes[plan.sweep_axis] == min(sizes)
    assert plan.count == np.prod([len(starts) for starts in plan.starts])
