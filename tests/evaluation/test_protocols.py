"""What is counted is what a user meets: false finds cost, the last click counts, and no truth is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prosect.data.labelled import LabelledScan
from prosect.errors import VocabularyError
from prosect.evaluation.protocols import (
    Rules,
    auto,
    auto_point,
    automatic_targets,
    clicked_targets,
    clicks,
    point,
)
from prosect.evaluation.scores import Row
from prosect.vocabulary import Vocabulary
from reference.surface_distance import hd95_and_mean

LIVER, SPLEEN, AORTA = 1, 3, 6


def by_name(rows: list[Row]) -> dict[str, list[Row]]:
    """Return rows by structure."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.structure, []).append(row)
    return found


def draws() -> np.random.Generator:
    """Return a generator."""
    return np.random.default_rng(0)


def test_a_structure_found_where_there_is_none_scores_nothing(scan: LabelledScan, model) -> None:
    targets, unknown = automatic_targets(scan, model.vocabulary)
    rows = {row.structure: row for row in auto(scan, model, targets, Rules())}
    assert unknown == []
    assert rows["liver"].dice == rows["liver"].nsd == 1.0
    assert rows["spleen"].dice == pytest.approx(2 * 40 / (40 + 80))
    assert (rows["aorta"].dice, rows["aorta"].truth_ml) == (0.0, 0.0)
    assert rows["aorta"].found_ml == pytest.approx(8 * 0.012)
    assert model.asked == [(["liver", "spleen", "aorta"], False)]


def test_distances_of_surfaces_are_told_where_there_are_two(scan: LabelledScan, model) -> None:
    targets, _ = automatic_targets(scan, model.vocabulary)
    rows = {row.structure: row for row in auto(scan, model, targets, Rules())}
    assert (rows["liver"].hd95_mm, rows["liver"].surface_mm) == (0, 0)
    found = model.segment(scan.volume, ["spleen"]).mask("spleen")
    expected = hd95_and_mean(found, scan.labels.mask("spleen"), scan.volume.grid.spacing_mm)
    assert (rows["spleen"].hd95_mm, rows["spleen"].surface_mm) == pytest.approx(expected)
    assert expected[0] > 0
    assert (rows["aorta"].hd95_mm, rows["aorta"].surface_mm) == (None, None), "found where there is none: no distance"


def test_nothing_is_said_of_structures_the_labels_say_nothing_of(scan: LabelledScan, model) -> None:
    blind = replace(scan, known=(LIVER,))
    targets, _ = automatic_targets(blind, model.vocabulary)
    assert [row.structure for row in auto(blind, model, targets, Rules())] == ["liver"]


def test_structures_the_model_does_not_know_are_named(scan: LabelledScan, model) -> None:
    words: Vocabulary = model.vocabulary.restrict(["liver"], "not trained for it")
    targets, unknown = automatic_targets(scan, words)
    assert [target.name for target in targets] == ["liver"]
    assert unknown == ["spleen", "aorta"]
    assert automatic_targets(scan, words, ["spleen"]) == ([], ["spleen"])
    with pytest.raises(VocabularyError):
        automatic_targets(scan, words, ["livr"])


def test_one_click_takes_each_structure_that_is_there(scan: LabelledScan, model) -> None:
    rows = by_name(point(scan, model, clicked_targets(scan, model.vocabulary), Rules(count=9), draws()))
    assert set(rows) == {"liver", "spleen"}, "there is nothing to click of an aorta that is not there"
    assert all(len(own) == 1 and own[0].clicks == 1 for own in rows.values())
    assert rows["liver"][0].dice == pytest.approx(2 * 125 / (125 + 343)), "the block in the middle"
    assert model.sessions[0].made == [("liver", True), ("spleen", True)]
    assert rows["liver"][0].seconds == 0.25


def test_zero_shot_clicks_call_nothing_by_its_name(scan: LabelledScan, model) -> None:
    targets = clicked_targets(scan, model.vocabulary, ["liver"], zero_shot=True)
    clicks(scan, model, targets, Rules(count=1), draws())
    ((name, _),) = model.sessions[0].made
    assert model.vocabulary.get(name) is None


def test_a_group_is_clicked_as_an_object_of_its_own(scan: LabelledScan, model) -> None:
    (target,) = clicked_targets(replace(scan, known=(2,)), model.vocabulary)
    assert target.name == "kidney"
    assert model.vocabulary.get(target.asked) is None


def test_a_click_on_the_automatic_result_counts_whether_it_helps_or_not(scan: LabelledScan, model) -> None:
    targets, _ = automatic_targets(scan, model.vocabulary)
    rows = by_name(auto_point(scan, model, targets, Rules(), draws()))
    assert [row.clicks for row in rows["liver"]] == [0], "nothing is wrong with it"
    assert [row.clicks for row in rows["spleen"]] == [0, 1]
    assert [row.clicks for row in rows["aorta"]] == [0, 1]
    assert model.sessions[0].made == [("spleen", True), ("aorta", False)]
    assert rows["aorta"][1].dice is None, "after the click nothing is there, and nothing is found"


def test_the_last_click_counts_even_where_an_earlier_was_better(scan: LabelledScan, model) -> None:
    model.reach = 40
    rows = clicks(scan, model, clicked_targets(scan, model.vocabulary, ["liver"]), Rules(count=3), draws())
    values = [row.dice for row in rows]
    assert len(values) == 3
    assert values[1] == 0.0, "the second click, a negative one, takes everything away"
    assert values[0] == values[2] != 0


def test_clicks_end_where_nothing_is_wrong(scan: LabelledScan, model) -> None:
    model.reach = 3
    rows = clicks(scan, model, clicked_targets(scan, model.vocabulary, ["liver"]), Rules(count=8), draws())
    assert [row.dice for row in rows] == [1.0]


def test_only_the_published_rules_forget_what_lies_outside_labelled_slices(scan: LabelledScan, model) -> None:
    model.reach = 6
    targets = clicked_targets(scan, model.vocabulary, ["liver"])
    plain, favoured = (
        clicks(scan, model, targets, Rules(count=1, clicker="paper", only_labelled_slices=only), draws())[0]
        for only in (False, True)
    )
    assert plain.dice is not None
    assert favoured.dice is not None
    assert favoured.dice > plain.dice
    assert favoured.found_ml < plain.found_ml


def test_clicks_follow_from_the_generator_alone(scan: LabelledScan, model) -> None:
    targets = clicked_targets(scan, model.vocabulary)
    first, second = (clicks(scan, model, targets, Rules(count=4), draws()) for _ in range(2))
    assert first == second


def test_a_box_comes_first_and_counts_as_two_clicks(scan: LabelledScan, model) -> None:
    targets = clicked_targets(scan, model.vocabulary, ["liver", "spleen"])
    rows = by_name(clicks(scan, model, targets, Rules(count=4, box=True), draws()))
    assert rows["liver"][0].clicks == 2
    assert rows["liver"][0].seconds == 0.5
    assert rows["liver"][0].dice == 1.0, "the liver of this scan is a block"
    assert ("liver", True) not in model.sessions[0].made
    assert [row.clicks for row in rows["spleen"]] == list(range(2, 2 + len(rows["spleen"])))


def test_a_box_alone_is_asked_for_where_one_click_is_wanted(scan: LabelledScan, model) -> None:
    targets = clicked_targets(scan, model.vocabulary, ["liver"])
    rows = clicks(scan, model, targets, Rules(count=1, box=True), draws())
    assert [row.clicks for row in rows] == [2]
