"""Clicks are counted until a Dice is reached, and two models are compared on the same objects."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.evaluation.click_counts import click_figures, paired_difference
from prosect.evaluation.scores import Row


def rows_of(case: str, name: str, *dices: float, first: int = 1) -> list[Row]:
    """Return a row after each click."""
    made = []
    for number, dice in enumerate(dices, first):
        made.append(Row(case, "set", name, 1, number, dice, dice, 5.0, 5.0, 0.1))
    return made


def draws() -> np.random.Generator:
    """Return a generator."""
    return np.random.default_rng(0)


def test_the_first_click_that_reaches_a_dice_counts() -> None:
    figures = click_figures(rows_of("a", "liver", 0.5, 0.82, 0.79, 0.86, 0.91), draws())
    assert figures is not None
    values = {name: mean.value for name, mean in figures.items() if mean is not None}
    assert (values["noc_80"], values["noc_85"], values["noc_90"]) == (2, 4, 5)
    assert values["failed_90"] == 0


def test_what_is_never_reached_counts_twenty_and_is_said() -> None:
    rows = [*rows_of("a", "liver", 0.5, 0.6), *rows_of("b", "liver", 0.95, 0.95)]
    figures = click_figures(rows, draws())
    assert figures is not None
    assert figures["noc_90"] is not None
    assert figures["noc_90"].value == pytest.approx((20 + 1) / 2)
    assert figures["failed_90"] is not None
    assert figures["failed_90"].value == pytest.approx(0.5)


def test_clicks_beyond_twenty_do_not_count() -> None:
    figures = click_figures(rows_of("a", "liver", *([0.1] * 20), 0.95), draws())
    assert figures is not None
    assert figures["failed_90"] is not None
    assert figures["failed_90"].value == 1.0


@pytest.mark.parametrize(
    ("dices", "expected"), [((0.6,) * 5, 0.6), ((0.2, 0.6, 1.0, 1.0, 1.0), 0.8), ((0, 1.0), 0.875)]
)
def test_the_area_is_the_mean_over_five_clicks(dices: tuple[float, ...], expected: float) -> None:
    figures = click_figures(rows_of("a", "liver", *dices), draws())
    assert figures is not None
    assert figures["dice_auc"] is not None
    assert figures["dice_auc"].value == pytest.approx(expected)


def test_one_click_alone_says_nothing_of_clicks() -> None:
    assert click_figures(rows_of("a", "liver", 0.9), draws()) is None
    assert click_figures([], draws()) is None


def test_a_gain_in_every_scan_is_sure_though_scans_differ() -> None:
    ours, theirs = [], []
    for number, level in enumerate((0.1, 0.4, 0.7, 0.9)):
        theirs += rows_of(f"scan {number}", "liver", level, level)
        ours += rows_of(f"scan {number}", "liver", level + 0.05, level + 0.05)
    found = paired_difference(ours, theirs, 2, draws())
    assert found is not None
    assert found.value == pytest.approx(0.05)
    assert found.low == pytest.approx(0.05)
    assert found.high == pytest.approx(0.05)


def test_only_objects_that_both_answered_are_compared() -> None:
    ours = [*rows_of("a", "liver", 0.5), *rows_of("a", "spleen", 0.9)]
    theirs = [*rows_of("a", "liver", 0.4), *rows_of("b", "liver", 0.9)]
    found = paired_difference(ours, theirs, 1, draws())
    assert found is not None
    assert (found.count, found.value) == (1, pytest.approx(0.1))
    assert paired_difference(ours, [], 1, draws()) is None


def test_an_object_that_ended_early_keeps_its_last_dice() -> None:
    found = paired_difference(rows_of("a", "liver", 0.8), rows_of("a", "liver", 0.2, 0.5), 5, draws())
    assert found is not None
    assert found.value == pytest.approx(0.3)
