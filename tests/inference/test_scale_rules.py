"""How a scale is chosen from answers: worth, margins, contradictions and ties, with answers that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from prosect.inference import scale_choice
from prosect.inference.scale_choice import SURE, LabelledPoint, ScaleRule, find_scale
from prosect.inference.scale_cues import CUES, View, cues_of
from prosect.places import Point

FIRST: LabelledPoint = ((0.0, 0.0, 0.0), 1)


class Answers:
    """Answers at one scale: a worth, and logits of later clicks; counts what it is asked."""

    def __init__(self, worth: float, values: Sequence[float | None] = ()) -> None:
        self.worth, self.values = worth, list(values)
        self.viewed: list[int] = []
        self.valued: list[int] = []

    def view(self, points: Sequence[LabelledPoint], _zero_shot: bool) -> View:
        self.viewed.append(len(points))
        return self.worth  # type: ignore[return-value]

    def value_at(self, points: Sequence[LabelledPoint], _zero_shot: bool, _position_ras: Point) -> float | None:
        self.valued.append(len(points))
        return self.values[len(points) - 1]


@pytest.fixture(autouse=True)
def worth_is_the_cue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_choice, "cues_of", lambda worth: {"align": worth, "edge": 0.0})


def chosen(at: dict[float, Answers], points: Sequence[LabelledPoint] = (FIRST,), **rule: float) -> float:
    margin = rule.pop("margin", 0.0)
    made = ScaleRule(tuple(at), {"align": 1.0, "edge": 0.0}, **rule)
    return find_scale(at, points, True, made, margin)


def test_the_answer_of_most_worth_is_chosen() -> None:
    assert chosen({0.5: Answers(0.2), 1.0: Answers(0.3), 2.0: Answers(0.7)}) == 2.0


def test_another_scale_must_be_better_by_the_margin() -> None:
    for margin, scale in ((0.39, 2.0), (0.41, 1.0)):
        assert chosen({1.0: Answers(0.3), 2.0: Answers(0.7)}, margin=margin) == scale


@pytest.mark.parametrize(("worths", "scale"), [((0.5, 0.5, 0.5), 1.0), ((0.6, 0.5, 0.6), 0.5)])
def test_at_a_tie_the_nearer_to_the_models_own_wins(worths: tuple[float, float, float], scale: float) -> None:
    assert chosen(dict(zip((0.5, 1.0, 2.0), map(Answers, worths), strict=True))) == scale


def test_each_scale_is_asked_once_about_the_first_click_and_no_more_where_its_own_wins() -> None:
    at = {1.0: Answers(0.9, [3.0]), 2.0: Answers(0.1, [3.0])}
    assert chosen(at, [FIRST, ((9.0, 0.0, 0.0), 1)]) == 1.0
    assert [answers.viewed for answers in at.values()] == [[1], [1]]
    assert [answers.valued for answers in at.values()] == [[], []]


@pytest.mark.parametrize(
    ("value", "label", "against"),
    [
        (-SURE, 1, 1.0), (SURE, 1, 0.0), (-SURE / 2, 1, 0.5), (-9.0, 1, 1.0), (SURE, 0, 1.0), (-SURE, 0, 0.0),
        (None, 1, 1.0), (None, 0, 0.0),
    ],
)  # fmt: skip
def test_a_click_contradicts_by_how_sure_the_answer_was_of_the_opposite(
    value: float | None, label: int, against: float
) -> None:
    assert scale_choice._contradiction(value, label % 2 == 1) == pytest.approx(against)


def test_contradictions_lead_back_to_the_models_own_scale_and_never_away() -> None:
    points = [FIRST, ((9.0, 0.0, 0.0), 1)]
    coarse = {1.0: Answers(0.5, [SURE]), 2.0: Answers(0.6, [-SURE])}
    assert chosen(coarse, points, contradicted=0.2) == 1.0
    assert chosen({1.0: Answers(0.5, [SURE]), 2.0: Answers(0.6, [-SURE])}, points, contradicted=0.05) == 2.0
    own = {1.0: Answers(0.6, [-SURE]), 2.0: Answers(0.5, [SURE])}
    assert chosen(own, points, contradicted=0.9) == 1.0


def test_going_back_needs_to_be_better_by_a_steadiness_of_its_own() -> None:
    points = [FIRST, ((9.0, 0.0, 0.0), 1)]
    for steady, scale in ((0.05, 1.0), (0.15, 2.0)):
        at = {1.0: Answers(0.5, [SURE]), 2.0: Answers(0.6, [-SURE])}
        assert chosen(at, points, contradicted=0.2, steady=steady) == scale


def test_a_later_click_asks_two_scales_about_the_clicks_before_it() -> None:
    at = {0.5: Answers(0.0, []), 1.0: Answers(0.1, [SURE] * 3), 2.0: Answers(0.9, [SURE] * 3)}
    points = [FIRST, *(((float(n), 0.0, 0.0), 1) for n in range(3))]
    assert chosen(at, points) == 2.0
    assert at[2.0].valued == at[1.0].valued == [1, 2, 3]
    assert at[0.5].valued == []


def ball(radius: float, at: float, bright: float = 0.5) -> View:
    """Return a view of a bright ball, and an answer that is a ball of another radius."""
    places = np.stack(np.meshgrid(*(np.arange(24),) * 3, indexing="ij")) - 11.5
    distance = np.sqrt((places**2).sum(axis=0))
    image = (0.2 + bright / (1 + np.exp(3 * (distance - radius)))).astype(np.float32)
    whole = (slice(0, 24),) * 3
    return View(image, (at - distance).astype(np.float32), whole, (12.0, 12.0, 12.0))


def test_cues_speak_for_the_outline_that_lies_on_the_edge() -> None:
    cues = {at: cues_of(ball(7.0, at)) for at in (3.0, 5.0, 7.0, 9.0)}
    for name in CUES:
        assert max(cues, key=lambda at: cues[at][name]) == 7.0, name


def test_brightness_and_contrast_hardly_change_a_cue() -> None:
    plain, strong = cues_of(ball(7.0, 7.0, 0.5)), cues_of(ball(7.0, 7.0, 0.7))
    for name in CUES:
        assert plain[name] == pytest.approx(strong[name], rel=0.3)


def test_the_answer_is_the_part_that_was_clicked_and_an_empty_one_says_nothing() -> None:
    view = ball(7.0, 5.0)
    logits = view.logits.copy()
    logits[:2, :2, :2] = 3.0
    two = View(view.image, logits, view.inside, view.click)
    assert not two.answer[:2, :2, :2].any()
    assert two.answer[12, 12, 12]
    beside = View(view.image, view.logits, view.inside, (0.0, 0.0, 0.0))
    assert not beside.answer.any()
    assert cues_of(beside) == dict.fromkeys(CUES, 0.0)
