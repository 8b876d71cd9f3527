"""What cannot be in a scan is withheld and said; what can be there stays, whatever is cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.checkpoints import catalog
from prosect.checkpoints.model_facts import ModelFacts, Range, Region, StructureFacts, facts_of, read_facts
from prosect.errors import ProsectWarning
from prosect.geometry import AxisOrder, Grid
from prosect.inference.accumulate import Slab
from prosect.inference.automatic import Classes
from prosect.inference.canvas import Canvas, FlatCanvas, LayeredCanvas
from prosect.inference.gauge import Gauge
from prosect.models.plausibility import (
    Evidence,
    body_sections,
    confidence_of,
    evidence_of,
    judge,
    sentences,
    typical_girth,
    withhold,
)
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
BODY, LUNG, LARYNX, MANDIBLE, CORD = (
    WORDS[name].index for name in ("body", "lung", "larynx", "mandible", "spinal cord")
)
NECK = StructureFacts(Range(10, 40), Range(100, 300), Range(0.88, 0.95), ("neck",))
TRUNK = StructureFacts(Range(200, 1500), Range(300, 900), Range(0.94, 0.97), ("trunk", "neck"))
FACTS = ModelFacts(
    {LARYNX: NECK, MANDIBLE: NECK, LUNG: TRUNK, CORD: TRUNK}, {"neck": Region(1), "trunk": Region(1, girth_cm2=300)}
)
TRUE_LARYNX, FALSE_LARYNX = Evidence(20, 0.92, 150), Evidence(3, 0.7, 800)
NAMES: Any = type("Names", (), {"vocabulary": WORDS})()


def cylinder(area_cm2: float, planes: int = 6, spacing: float = 4.0) -> Volume:
    """A scan of a round body (0 HU) in air."""
    n = 80
    x = (np.arange(n) - (n - 1) / 2) * spacing
    inside = x[:, None] ** 2 + x[None, :] ** 2 <= area_cm2 * 100 / np.pi
    array = np.where(inside[:, :, None], 0.0, -1000.0).repeat(planes, axis=2)
    return Volume(array, Grid(array.shape, np.diag([spacing, spacing, 5.0, 1.0])), "CT")


def test_a_neck_keeps_what_a_trunk_loses() -> None:
    neck = judge({LARYNX: TRUE_LARYNX}, FACTS, girth_cm2=150)
    assert (neck.regions, dict(neck.withheld)) == (("neck",), {})
    trunk = judge({LARYNX: FALSE_LARYNX, LUNG: Evidence(3000, 0.96, 800)}, FACTS, girth_cm2=700)
    assert trunk.regions == ("trunk",)
    assert trunk.withheld == {LARYNX: "the scan does not show the neck"}


def test_one_sure_structure_lets_the_others_of_its_region_stay() -> None:
    unsure = Evidence(0.8, 0.75, 120)
    assert set(judge({MANDIBLE: unsure}, FACTS, 150).withheld) == {MANDIBLE}
    assert judge({MANDIBLE: unsure, LARYNX: TRUE_LARYNX}, FACTS, 150).withheld == {}


def test_what_is_far_less_sure_than_ever_is_withheld_in_its_own_region_too() -> None:
    judged = judge({MANDIBLE: Evidence(20, 0.6, 150), LARYNX: TRUE_LARYNX}, FACTS, 150)
    assert judged.withheld == {MANDIBLE: "its confidence is 0.60, and in training it was at least 0.88"}


def test_a_wide_body_shows_a_trunk_without_a_witness_and_a_thigh_does_not() -> None:
    cord = {CORD: Evidence(8, 0.86, 500)}
    assert judge(cord, FACTS, girth_cm2=450).withheld == {}
    assert judge(cord, FACTS, girth_cm2=200).withheld == {CORD: "the scan does not show the trunk or the neck"}


def test_in_a_scan_that_is_doubted_nothing_is_believed() -> None:
    judged = judge({LARYNX: TRUE_LARYNX}, FACTS, 150, doubt="the scan is MR")
    assert (judged.regions, judged.withheld) == ((), {LARYNX: "the scan is MR"})


def test_structures_without_facts_are_not_judged() -> None:
    judged = judge({BODY: Evidence(9000, 0.1, 800)}, FACTS, 800)
    assert (judged.confidence, judged.withheld) == ({}, {})


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(20, 0.9, 150), 0.9),
        (Evidence(0.1, 0.9, 150), 0.9),  # a scan may cut it
        (Evidence(20, 0.9, 0.0), 0.9),  # the place is not known
        (Evidence(80, 0.9, 150), 0.551),
        (Evidence(20, 0.9, 370), 0.9),  # people are wider than those of the training scans
        (Evidence(20, 0.9, 750), 0.127),
    ],
)
def test_confidence_is_probability_less_for_what_is_larger_or_wider_than_seen(evidence, expected: float) -> None:
    assert confidence_of(evidence, NECK) == pytest.approx(expected, abs=0.001)


def test_size_and_place_are_not_asked_of_what_lies_in_several_regions() -> None:
    assert confidence_of(Evidence(9000, 0.96, 5000), TRUNK) == 0.96


@pytest.mark.parametrize("area", [60, 200, 700])
def test_a_section_is_the_area_of_the_body(area: float) -> None:
    sections = body_sections(cylinder(area))
    assert sections == pytest.approx([area] * 6, rel=0.05)
    assert typical_girth(sections) == pytest.approx(area, rel=0.05)


def test_two_legs_are_two_pieces_and_a_table_is_no_body() -> None:
    leg = cylinder(150).array
    array = np.concatenate([leg, leg])
    array[:, 2, :] = 100.0  # a line across the scan, apart from both
    both = Volume(array, Grid(array.shape, np.diag([4.0, 4.0, 5.0, 1.0])), "CT")
    assert typical_girth(body_sections(both)) == pytest.approx(150, rel=0.05)


def test_sections_run_from_below_however_the_scan_is_stored_and_clipped() -> None:
    volume = cylinder(200)
    array = volume.array.copy()
    array[:, :, 4:] = -1000.0
    array = array.clip(-125, 275)
    plain = body_sections(Volume(array, volume.grid, "CT"))
    assert plain[0] == pytest.approx(200, rel=0.05)
    assert plain[5] == 0
    order = AxisOrder((2, 0, 1), (True, False, True))
    turned = Volume(order.apply(array), volume.grid.reorder(order), "CT")
    np.testing.assert_allclose(body_sections(turned), plain)


def canvases() -> list[Canvas]:
    array = np.zeros((8, 8, 10), np.uint16)
    array[1:7, 1:7, :] = BODY
    array[2:4, 2:4, 6:8] = LARYNX
    masks = {index: (array == index).astype(np.uint8) for index in (BODY, LARYNX)}
    return [FlatCanvas(array, (BODY, LARYNX)), LayeredCanvas(masks)]


@pytest.mark.parametrize("canvas", canvases(), ids=["flat", "layers"])
def test_withheld_voxels_fall_to_the_body(canvas: Canvas) -> None:
    judgement = judge({LARYNX: FALSE_LARYNX}, FACTS, 150)
    assert withhold(canvas, judgement, NAMES) == {LARYNX: 8}
    assert canvas.counts()[LARYNX] == 0
    assert canvas.counts()[BODY] == (360 if isinstance(canvas, FlatCanvas) else 352)


def test_evidence_is_taken_where_a_structure_lies() -> None:
    flat = canvases()[0]
    grid = Grid((8, 8, 10), np.diag([2.0, 2.0, 5.0, 1.0]))
    sections = np.arange(10.0) * 100
    won = {BODY: (300, 0.99), LARYNX: (1, 0.7), MANDIBLE: (2, 0.6)}
    found = evidence_of(flat, grid, won, 0.064, sections)
    assert found[LARYNX] == Evidence(pytest.approx(0.16), 0.7, 600.0, False)
    assert found[BODY].touches_border
    assert found[MANDIBLE] == Evidence(0.128, 0.6), "what nobody asked for bears witness without a place"
    flipped = Grid((8, 8, 10), np.diag([2.0, 2.0, -5.0, 1.0]))
    assert evidence_of(flat, flipped, won, 0.064, sections)[LARYNX].section_cm2 == 300.0


def test_what_is_withheld_is_warned_of_by_reason_with_volumes() -> None:
    judgement = judge({LARYNX: FALSE_LARYNX, MANDIBLE: FALSE_LARYNX}, FACTS, 150)
    with pytest.warns(ProsectWarning, match="--all shows it"):
        said = sentences(judgement, {LARYNX: 3.14, MANDIBLE: 0.5}, NAMES)
    assert said == ["withheld, because the scan does not show the neck: larynx (3.1 mL), mandible (0.5 mL)"]
    assert sentences(judgement, {}, NAMES) == []
    kept = judgement.facts([LARYNX], {LARYNX: 3.14})
    assert json.loads(json.dumps(kept))["withheld"] == {str(LARYNX): "the scan does not show the neck"}
    assert set(kept["confidence"]) == {LARYNX}  # type: ignore[arg-type]


def gauge(values: tuple[int, ...]) -> Gauge:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    return Gauge(Classes(vectors, values, (0, 0)), (LARYNX, MANDIBLE))


@pytest.mark.parametrize("values", [(LARYNX, MANDIBLE), (LARYNX, 0)])
def test_a_gauge_counts_and_averages_what_each_class_won_shown_or_not(values: tuple[int, ...]) -> None:
    features = torch.tensor([[2.0, 1.0], [4.0, -1.0], [-1.0, 3.0], [-1.0, -2.0]]).reshape(1, 2, 2, 2)
    one = gauge(values)
    one.add(Slab(0, features))
    one.add(Slab(1, features[:, :1]))
    won = one.won()
    mean = torch.tensor([2.0, 4.0, 2.0, 4.0]).sigmoid().mean()
    assert won[LARYNX] == (4, pytest.approx(float(mean)))
    assert won[MANDIBLE] == (1, pytest.approx(float(torch.tensor(3.0).sigmoid())))


def test_a_gauge_that_saw_nothing_names_nothing() -> None:
    one = gauge((1, 2))
    one.add(Slab(0, torch.full((1, 2, 2, 2), -1.0)))
    assert one.won() == {}


def test_the_shipped_facts_are_about_structures_that_the_model_offers() -> None:
    facts = facts_of("prosect-small")
    assert {WORDS[index].name for index in facts.structures} == set(catalog.entry("prosect-small").dice) | {"lung"}
    for row in facts.structures.values():
        assert 0 < row.volume_ml.low < row.volume_ml.high
        assert 0.8 < row.probability.low < row.probability.high < 1
        assert set(row.regions) <= set(facts.regions)


def test_a_model_without_a_file_has_no_facts_and_unknown_keys_are_refused() -> None:
    assert facts_of("vista3d").structures == {}
    with pytest.raises(TypeError):
        read_facts('{"regions": {"a": {"witnes": 1}}, "structures": {}}')
    with pytest.raises(KeyError):
        read_facts('{"regions": {}}')


def test_an_invisible_region_can_be_made_visible_by_other_facts() -> None:
    wider = replace(FACTS, regions={**FACTS.regions, "neck": Region(1, girth_cm2=100)})
    assert judge({LARYNX: Evidence(3, 0.7, 150)}, wider, girth_cm2=150).withheld == {}
