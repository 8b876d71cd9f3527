"""Means weigh structures alike, count false finds, and say what chance may have made of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from prosect.evaluation.scores import Row
from prosect.evaluation.summary import after, challenge_areas, curve, mean_of, mean_of_seeds, over_all, structures


def row(
    case: str, name: str, dice: float | None, clicks: int = 0, truth_ml: float = 5.0, nsd: float | None = None
) -> Row:
    """Return a row."""
    found_ml = 1.0 if dice is not None else 0.0
    return Row(case, "set", name, len(name), clicks, dice, dice if nsd is None else nsd, truth_ml, found_ml, 0.1)


def draws() -> np.random.Generator:
    """Return a generator."""
    return np.random.default_rng(0)


def test_structures_weigh_alike_however_many_scans_have_them() -> None:
    rows = [row("a", "liver", 0.8), row("b", "liver", 0.6), row("c", "liver", 0.7), row("a", "aorta", 0.1)]
    mean = over_all(rows, draws())["dice"]
    assert mean is not None
    assert mean.value == pytest.approx((0.7 + 0.1) / 2)
    assert mean.count == 4


def test_false_finds_count_as_a_user_meets_them_and_not_in_the_papers_way() -> None:
    rows = [row("a", "liver", 0.8), row("b", "liver", 0.0, truth_ml=0.0), row("c", "liver", None, truth_ml=0.0)]
    (summary,) = structures(rows, draws())
    assert summary.dice is not None
    assert summary.dice.value == pytest.approx(0.4)
    assert summary.dice_present == pytest.approx(0.8)
    assert (summary.present, summary.absent, summary.false_positives, summary.false_ml) == (1, 2, 1, 1.0)
    means = over_all(rows, draws())
    assert means["dice_present"] is not None
    assert means["dice_present"].value == pytest.approx(0.8)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        mean = mean_of(rng.beta(8, 3, size=(30, 1)), rng, resamples=400)
        assert mean is not None
        covered += mean.low <= 8 / 11 <= mean.high
    assert 0.86 <= covered / 200 <= 0.99


def test_structures_of_one_scan_stand_or_fall_together() -> None:
    alike = np.repeat(np.random.default_rng(0).uniform(size=(12, 1)), 40, axis=1)
    alone, many = (mean_of(values, draws()) for values in (alike[:, :1], alike))
    assert alone is not None
    assert many is not None
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.05), "40 structures are not 40 scans"


def test_seeds_widen_the_interval_where_they_differ_and_only_there() -> None:
    scans = np.linspace(0.4, 0.8, 20)[:, None]
    alone = mean_of(scans, draws())
    alike = mean_of_seeds([scans, scans, scans], draws())
    apart = mean_of_seeds([scans - 0.15, scans, scans + 0.15], draws())
    assert alone
    assert alike
    assert apart
    assert alike.value == pytest.approx(alone.value)
    assert apart.value == pytest.approx(alone.value)
    assert alike.high - alike.low == pytest.approx(alone.high - alone.low, rel=0.15)
    assert apart.high - apart.low > 1.5 * (alone.high - alone.low)


def test_a_seed_without_a_value_for_a_scan_counts_with_its_others() -> None:
    missing = np.array([[0.5], [np.nan]])
    found = mean_of_seeds([missing, np.array([[0.7], [0.9]])], draws())
    assert found
    assert (found.value, found.count) == (pytest.approx(0.7), 3)
    assert mean_of_seeds([np.full((2, 1), np.nan)] * 2, draws()) is None


def test_no_value_has_no_mean_and_one_scan_no_width() -> None:
    assert mean_of(np.full((3, 2), np.nan), draws()) is None
    mean = mean_of(np.array([[0.5, np.nan]]), draws())
    assert mean is not None
    assert (mean.value, mean.low, mean.high) == (0.5, 0.5, 0.5)


def test_a_curve_carries_structures_on_that_ended_early() -> None:
    rows = [row("a", "liver", 0.5, 1), row("a", "liver", 0.9, 2), row("a", "liver", 0.7, 3), row("b", "liver", 0.8, 1)]
    found = curve(rows, draws())
    assert found is not None
    assert found.clicks == (1, 2, 3)
    assert [mean.value for mean in found.dice] == pytest.approx([0.65, 0.85, 0.75])
    assert found.best == pytest.approx((0.65, 0.85, 0.85)), "the paper keeps the best so far"
    assert found.used == pytest.approx((1.0, 1.5, 2.0)), "and counts the clicks that were really given"
    assert [r.dice for r in after(rows, 2)] == [0.9, 0.8]
    assert curve([], draws()) is None


def test_the_challenge_counts_areas_over_five_clicks() -> None:
    dice = [0.1, 0.3, 0.5, 0.7, 0.9]
    rows = [row("a", "liver", value, n + 1, nsd=0.4) for n, value in enumerate(dice)]
    found = challenge_areas(rows, draws())
    assert found is not None
    values = {key: mean.value for key, mean in found.items() if mean is not None}
    assert values["dsc_auc"] == pytest.approx(sum((a + b) / 2 for a, b in itertools.pairwise(dice)))
    assert values["nsd_auc"] == pytest.approx(0.4 * 4 - 0.2), "after the first click Dice is below 0.2: NSD counts 0"
    assert (values["dsc_final"], values["nsd_final"]) == pytest.approx((0.9, 0.4))
    perfect = [row("a", "liver", 1.0, 1), *(row("b", "liver", 1.0, n + 1) for n in range(5))]
    best = challenge_areas(perfect, draws())
    assert best is not None
    assert best["dsc_auc"] is not None
    assert best["dsc_auc"].value == pytest.approx(4.0)
    assert challenge_areas(rows[:3], draws()) is None
