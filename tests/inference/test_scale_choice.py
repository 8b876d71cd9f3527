"""A scale is chosen by the edges under its answer, and corrected by the clicks that its answer contradicts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from prosect.inference.scale_choice import Known, ScaleRule, find_scale
from prosect.inference.scale_cues import CUES, View, cues_of

SIZE = 32
MIDDLE = (16.0, 16.0, 16.0)
WHOLE = (slice(0, SIZE), slice(0, SIZE), slice(0, SIZE))
REACH = 5.0  # voxels: radius of every answer, as a network of one scale gives it
TRIED = (0.5, 1.0, 2.0, 4.0)
RULE = ScaleRule(TRIED, {"align": 0.3, "edge": 0.1}, margin=0.0, contradicted=0.5)
Labelled = tuple[tuple[float, float, float], int]


def distance(centre: Sequence[float] = MIDDLE) -> np.ndarray:
    """Return how far each voxel of a patch lies from a place."""
    voxels = np.stack(np.indices((SIZE, SIZE, SIZE)), axis=-1) - np.asarray(centre)
    return np.asarray(np.linalg.norm(voxels, axis=-1))


def view(true_radius: float, answered: float = REACH) -> View:
    """Return a patch with a bright ball, some grain, and an answer of another radius."""
    grain = np.random.default_rng(0).normal(0, 0.02, (SIZE, SIZE, SIZE))
    image = (0.3 + 0.4 * (distance() < true_radius) + grain).astype(np.float32)
    return View(image, (2 * (answered - distance())).astype(np.float32), WHOLE, MIDDLE)


class AtScale:
    """Answers at one scale with a ball of `REACH` voxels; the target's radius is in voxels of scale 1."""

    def __init__(self, scale: float, radius: float) -> None:
        self.scale, self.radius = scale, radius
        self.asked: list[int] = []

    def view(self, points: Sequence[Labelled], zero_shot: bool) -> View:
        """Return the patch as it looks at this scale."""
        self.asked.append(len(points))
        return view(self.radius / self.scale)

    def value_at(self, points: Sequence[Labelled], zero_shot: bool, position_ras: tuple[float, float, float]) -> float:
        """Return how deep in the answer a place lies."""
        self.asked.append(len(points))
        return REACH - float(np.linalg.norm(position_ras)) / self.scale


def scales(radius: float) -> dict[float, AtScale]:
    """Return what answers about a target at each scale."""
    return {scale: AtScale(scale, radius) for scale in TRIED}


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize("wrong", [0.4, 0.6, 1.6, 2.5])
def test_an_answer_on_the_edge_says_more_than_one_beside_it(cue: str, wrong: float) -> None:
    right = cues_of(view(6.0, 6.0))[cue]
    assert right > 1.3 * cues_of(view(6.0, 6.0 * wrong))[cue]


def test_polarity_and_strength_of_the_edge_hardly_matter() -> None:
    plain = view(6.0, 6.0)
    turned = View(1 - plain.image, plain.logits, plain.inside, plain.click)
    assert cues_of(turned)["align"] == pytest.approx(cues_of(plain)["align"], rel=1e-3)


def test_an_empty_answer_says_nothing() -> None:
    silent = View(view(6.0).image, np.full((SIZE,) * 3, -5, dtype=np.float32), WHOLE, MIDDLE)
    assert cues_of(silent) == dict.fromkeys(CUES, 0.0)


def test_what_lies_beyond_the_scan_is_no_part_of_an_answer() -> None:
    inside = (slice(0, 20), slice(0, SIZE), slice(0, SIZE))
    cut = View(view(6.0).image, view(6.0, 8.0).logits, inside, MIDDLE)
    assert not cut.answer[20:].any()
    assert cut.answer[:20].any()


def test_only_the_part_that_was_clicked_is_the_answer() -> None:
    other = 2 * (3 - distance((5.0, 5.0, 5.0)))
    logits = np.maximum(view(6.0).logits, other).astype(np.float32)
    assert not View(view(6.0).image, logits, WHOLE, MIDDLE).answer[5, 5, 5]


@pytest.mark.parametrize("scale", TRIED)
def test_one_click_finds_the_scale_at_which_the_answer_fits(scale: float) -> None:
    assert find_scale(scales(REACH * scale), [((0, 0, 0), 1)], True, RULE, 0.0) == scale


def test_a_margin_keeps_the_models_own_scale_where_it_is_unsure() -> None:
    assert find_scale(scales(REACH * 2), [((0, 0, 0), 1)], True, RULE, 100.0) == 1.0


def test_clicks_that_contradict_another_scale_lead_back_to_the_models_own() -> None:
    first, inside_the_coarse_one = ((0.0, 0.0, 0.0), 1), ((8.0, 0.0, 0.0), 0)
    weak = replace(RULE, contradicted=2.0)
    assert find_scale(scales(REACH * 2), [first], True, weak, 0.0) == 2.0
    assert find_scale(scales(REACH * 2), [first, inside_the_coarse_one], True, weak, 0.0) == 1.0


def test_clicks_never_lead_away_from_the_models_own_scale() -> None:
    clicks: list[Labelled] = [((0.0, 0.0, 0.0), 1)]
    for far in (6.0, 9.0, 12.0):
        clicks.append(((far, 0.0, 0.0), 1))
        assert find_scale(scales(REACH), clicks, True, RULE, 0.0) == 1.0


def test_a_click_beside_the_outline_does_not_lead_back() -> None:
    steady = replace(RULE, contradicted=0.5, steady=0.2)
    clicks: list[Labelled] = [((0.0, 0.0, 0.0), 1), ((9.7, 0.0, 0.0), 0)]
    assert find_scale(scales(REACH * 2), clicks, True, steady, 0.0) == 2.0


@pytest.mark.parametrize(("radius", "most"), [(REACH, 0), (REACH * 2, 2)])
def test_a_later_click_asks_two_scales_at_most_and_none_at_the_models_own(radius: float, most: int) -> None:
    at = scales(radius)
    clicks: list[Labelled] = [((0.0, 0.0, 0.0), 1)]
    for n in range(6):
        clicks.append(((float(n), 1.0, 0.0), 1))
    find_scale(at, clicks, True, RULE, 0.0)
    by_count = [sum(each.asked.count(count) for each in at.values()) for count in range(2, 7)]
    assert by_count == [most] * 5
    assert [each.asked.count(1) >= 1 for each in at.values()] == [True] * len(TRIED)


def test_the_same_clicks_find_the_same_scale() -> None:
    clicks: list[Labelled] = [((0, 0, 0), 1), ((8, 0, 0), 1), ((0, 12, 0), 0)]
    found = {find_scale(scales(radius), clicks, True, RULE, 0.0) for radius, _ in itertools.product([9.0], range(3))}
    assert len(found) == 1


def test_with_each_click_only_the_answers_to_those_before_it_are_asked_for() -> None:
    known: Known = {}
    clicks: list[Labelled] = [((0.0, 0.0, 0.0), 1)]
    find_scale(scales(REACH * 2), clicks, True, RULE, 0.0, known)
    for n in range(6):
        clicks.append(((float(n), 1.0, 0.0), 1))
        at = scales(REACH * 2)
        found = find_scale(at, clicks, True, RULE, 0.0, known)
        asked = [count for each in at.values() for count in each.asked]
        assert set(asked) == {len(clicks) - 1}
        assert found == find_scale(scales(REACH * 2), clicks, True, RULE, 0.0)


def test_what_is_known_of_other_clicks_does_not_count() -> None:
    weak, known = replace(RULE, contradicted=2.0), {}
    first, against, agreed = ((0.0, 0.0, 0.0), 1), ((8.0, 0.0, 0.0), 0), ((1.0, 0.0, 0.0), 1)
    for clicks in ([first, against], [first, agreed], [first], [first, agreed, against]):
        expected = find_scale(scales(REACH * 2), clicks, True, weak, 0.0)
        assert find_scale(scales(REACH * 2), clicks, True, weak, 0.0, known) == expected
    assert len({found.chosen for found in known.values()}) == 2
