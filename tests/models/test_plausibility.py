"""What cannot be in a scan is withheld and said; what can be there stays, whatever is cut, coarse or small."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prosect import vocabulary
from prosect.checkpoints import catalog
from prosect.checkpoints.model_facts import ModelFacts, Range, Region, StructureFacts, facts_of, read_facts
from prosect.errors import ProsectWarning
from prosect.inference.canvas import Canvas, FlatCanvas, LayeredCanvas
from prosect.models.evidence import Evidence
from prosect.models.plausibility import (
    Belief,
    Judgement,
    belief_in,
    judge,
    support_of,
    wholes_of,
    withhold,
)
from prosect.models.withheld import left_unsaid, sentences

WORDS = vocabulary.load("prosect")
NAMES_USED = ("body", "lung", "larynx", "mandible", "spinal cord", "left parotid")
BODY, LUNG, LARYNX, MANDIBLE, CORD, PAROTID = (WORDS[name].index for name in NAMES_USED)
NECK = StructureFacts(Range(10, 40), Range(100, 300), Range(0.88, 0.95), ("neck",), Range(-50, 50), "neck")
TRUNK = StructureFacts(
    Range(200, 1500), Range(300, 900), Range(0.94, 0.97), ("trunk", "neck"), Range(-880, -720), "trunk"
)
TISSUE = replace(TRUNK, median_hu=Range(-30, 30))
FACTS = ModelFacts(
    {LARYNX: NECK, MANDIBLE: NECK, PAROTID: NECK, LUNG: TRUNK, CORD: TISSUE},
    {"neck": Region(), "trunk": Region(girth_cm2=300)},
)
CT, CLIPPED = Range(-1024, 3000), Range(-125, 275)
TRUE, FALSE = Evidence(20, 0.92, 150), Evidence(3, 0.7, 800)
NAMES: Any = type("Names", (), {"vocabulary": WORDS})()


def verdict(evidence: dict[int, Evidence], girth_cm2: float = 150, span: Range = CT, doubt: str = "") -> Judgement:
    return judge(evidence, FACTS, girth_cm2, span, doubt)


def test_a_neck_keeps_what_a_trunk_loses() -> None:
    neck = verdict({LARYNX: TRUE})
    assert (neck.regions, dict(neck.withheld)) == (("neck",), {})
    trunk = verdict({LARYNX: FALSE, LUNG: Evidence(3000, 0.96, 800)}, girth_cm2=700)
    assert (trunk.regions, trunk.missing) == (("trunk",), ("neck",))
    assert trunk.withheld == {LARYNX: "the scan does not show the neck"}


@pytest.mark.parametrize(
    "found",
    [
        {MANDIBLE: Evidence(10, 0.72, 150)},  # unsure alone
        {MANDIBLE: Evidence(10, 0.92, 700)},  # a wide body alone
        {MANDIBLE: Evidence(400, 0.92, 150)},  # a large volume alone
        {MANDIBLE: Evidence(1.5, 0.92, 150)},  # a crumb alone
        {MANDIBLE: Evidence(0.3, 0.72, 150, touches_border=True)},  # the end of a slab
        {MANDIBLE: Evidence(0.3, 0.95, 150, touches_border=True)},
    ],
)
def test_no_single_kind_of_evidence_withholds_a_structure(found: dict[int, Evidence]) -> None:
    assert verdict(found).withheld == {}


def test_a_speck_in_the_midst_of_a_scan_is_withheld_however_sure_the_model_is() -> None:
    """As 0.8 mL of a gallbladder in an abdomen that has none; those of training have 13 mL or more."""
    speck, cut = Evidence(0.9, 0.95, 150), Evidence(0.9, 0.95, 150, touches_border=True)
    reason = "so little of it was found, where people have 10 mL or more"
    assert verdict({MANDIBLE: speck, LARYNX: TRUE}).withheld == {MANDIBLE: reason}
    assert verdict({MANDIBLE: cut, LARYNX: TRUE}).withheld == {}
    assert verdict({MANDIBLE: Evidence(1.1, 0.95, 150), LARYNX: TRUE}).withheld == {}
    assert verdict({CORD: speck}, 450).withheld == {}, "a scan may show as little as it likes of what goes on beyond it"


@pytest.mark.parametrize(
    "found",
    [
        {MANDIBLE: Evidence(10, 0.72, 500)},  # unsure, in a wide body
        {MANDIBLE: Evidence(0.3, 0.72, 150)},  # unsure, and a crumb
        {MANDIBLE: Evidence(10, 0.72, 150), LARYNX: Evidence(10, 0.72, 150)},  # two of them unsure
    ],
)
def test_two_independent_pieces_of_evidence_do(found: dict[int, Evidence]) -> None:
    assert set(verdict(found).withheld) == set(found)


def test_a_coarse_scan_in_which_two_of_five_are_sure_keeps_all() -> None:
    """The values of a synthetic neck on voxels of 4 mm, of which everything was withheld once."""
    facts = facts_of("prosect-small")
    sure = {"left parotid": 0.83, "right parotid": 0.88, "larynx": 0.84, "Brain-Stem": 0.84, "mandible": 0.73}
    small = {"left parotid": 6.7, "right parotid": 9.0, "larynx": 2.9, "Brain-Stem": 4.7, "mandible": 10.9}
    found = {WORDS[name].index: Evidence(small[name], value, 160) for name, value in sure.items()}
    judged = judge(found, facts, 176, Range(-2000, 2200))
    assert (judged.withheld, judged.regions) == ({}, ("head and neck",))


def test_organs_that_are_too_large_stay_among_many_that_fit() -> None:
    """The values of an abdomen with a tumour (TCGA-09-2043), of which everything was withheld once."""
    facts = facts_of("prosect-torso")
    rows = {
        "liver": (6866.6, 0.85), "spleen": (789.5, 0.86), "pancreas": (97.7, 0.77), "right kidney": (254.5, 0.90),
        "aorta": (157.5, 0.90), "right adrenal gland": (5.7, 0.87), "stomach": (1344.2, 0.82),
    }  # fmt: skip
    found = {WORDS[name].index: Evidence(volume, sure, 1200) for name, (volume, sure) in rows.items()}
    assert judge(found, facts, 1184, Range(-1024, 2872)).withheld == {}


def test_a_sure_neighbour_lets_an_unsure_structure_stay() -> None:
    unsure = Evidence(1.5, 0.75, 120)
    assert set(verdict({MANDIBLE: unsure}).withheld) == {MANDIBLE}
    assert verdict({MANDIBLE: unsure, LARYNX: TRUE}).withheld == {}


def test_fat_is_no_lung_in_a_clipped_scan_and_lung_at_the_floor_is() -> None:
    fat, air = Evidence(2000, 0.86, 700, median_hu=-100), Evidence(2000, 0.86, 700, median_hu=-125)
    assert verdict({LUNG: fat}, 700, CLIPPED).withheld == {LUNG: "its intensities do not fit"}
    assert verdict({LUNG: air}, 700, CLIPPED).withheld == {}
    assert verdict({LUNG: fat}, 700, CT).withheld, "in an unclipped scan it is none either"


def test_contrast_medium_is_no_reason() -> None:
    assert verdict({CORD: Evidence(300, 0.93, 500, median_hu=85)}, 500).withheld == {}
    bone = verdict({CORD: Evidence(8, 0.86, 200, median_hu=300)}, 200)
    assert set(bone.withheld) == {CORD}


def test_a_wide_body_shows_a_trunk_without_a_sure_structure_and_a_thigh_does_not() -> None:
    cord = {CORD: Evidence(8, 0.80, 500), LUNG: Evidence(5, 0.75, 500)}
    assert verdict(cord, girth_cm2=450).withheld == {}
    reason = "the scan does not show the trunk or the neck"
    assert verdict(cord, girth_cm2=200).withheld == {CORD: reason, LUNG: reason}


def test_a_sliver_speaks_for_nothing_however_sure_the_model_is() -> None:
    sliver = Evidence(1.9, 0.95, 150, touches_border=True)
    assert belief_in(sliver, NECK, CT).total == 0
    unsure = {MANDIBLE: Evidence(10, 0.72, 150), PAROTID: Evidence(10, 0.72, 150)}
    assert verdict({LARYNX: sliver}).withheld == {}
    assert set(verdict({LARYNX: sliver, **unsure}).withheld) == {LARYNX, MANDIBLE, PAROTID}
    assert verdict({LARYNX: TRUE, **unsure}).withheld == {}


def test_a_sliver_that_the_edge_of_a_scan_leaves_may_be_mixed_with_what_borders_it() -> None:
    base = Evidence(18, 0.70, 700, touches_border=True, median_hu=-480)
    assert verdict({LUNG: base}, 700).withheld == {}
    for other in (replace(base, touches_border=False), replace(base, volume_ml=300), replace(base, median_hu=-100)):
        assert set(verdict({LUNG: other}, 700).withheld) == {LUNG}


def test_a_narrow_plane_is_no_evidence_where_the_scan_cuts_the_body() -> None:
    whole, cut = (belief_in(Evidence(20, 0.92, 40, is_cut=cut), NECK, CT) for cut in (False, True))
    assert (whole.place < -0.5, cut.place) == (True, 0.0)


def test_in_a_scan_that_is_doubted_nothing_is_believed() -> None:
    judged = verdict({LARYNX: TRUE}, doubt="the scan is MR")
    assert (judged.regions, judged.withheld) == ((), {LARYNX: "the scan is MR"})


def test_structures_without_facts_are_not_judged() -> None:
    judged = verdict({BODY: Evidence(9000, 0.1, 800)}, 800)
    assert (judged.confidence, judged.withheld) == ({}, {})


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(20, 0.9, 150), 0.9),
        (Evidence(0.1, 0.9, 150, touches_border=True), 0.9),  # the scan cuts it
        (Evidence(0.1, 0.9, 150), 0.546),  # a crumb
        (Evidence(20, 0.9, 0.0), 0.9),  # the place is not known
        (Evidence(80, 0.9, 150), 0.334),
        (Evidence(20, 0.9, 370), 0.9),  # people are wider than those of the training scans
        (Evidence(20, 0.9, 65), 0.9),  # and narrower
        (Evidence(20, 0.9, 750), 0.331),
        (Evidence(20, 0.9, 150, median_hu=250), 0.122),
    ],
)
def test_confidence_is_probability_less_for_what_does_not_fit(evidence: Evidence, expected: float) -> None:
    assert verdict({LARYNX: evidence}).confidence[LARYNX] == pytest.approx(expected, abs=0.001)


def test_size_and_place_are_not_asked_of_what_lies_in_several_regions() -> None:
    belief = belief_in(Evidence(9000, 0.96, 5000), TRUNK, CT)
    assert (belief.size, belief.place) == (0.0, 0.0)


def test_what_bears_witness_of_no_region_is_judged_by_itself_where_its_region_is_shown() -> None:
    """As a heart: whatever was found of it, it says nothing for the abdomen that it is shown with."""
    heart = replace(NECK, witness_of="")
    facts = ModelFacts({MANDIBLE: heart, LARYNX: NECK}, FACTS.regions)
    large = Evidence(9000, 0.96, 5000)
    assert belief_in(large, heart, CT).size == 0
    alone = judge({MANDIBLE: large}, facts, 150, CT)
    assert (alone.regions, set(alone.withheld)) == ((), {MANDIBLE})
    beside = judge({MANDIBLE: large, LARYNX: TRUE}, facts, 150, CT)
    assert (beside.regions, dict(beside.withheld)) == (("neck",), {})
    assert support_of(MANDIBLE, {MANDIBLE: Belief(1.0), LARYNX: Belief(1.0)}, facts) == 0


def test_reasons_name_what_speaks_against_the_strongest_first() -> None:
    belief = belief_in(Evidence(80, 0.6, 150, median_hu=250), NECK, CT)
    assert belief.against == (
        "its intensities do not fit, it has another size, the model is less sure than in training"
    )


def canvases() -> list[Canvas]:
    array = np.zeros((8, 8, 10), np.uint16)
    array[1:7, 1:7, :] = BODY
    array[2:4, 2:4, 6:8] = LARYNX
    masks = {index: (array == index).astype(np.uint8) for index in (BODY, LARYNX)}
    return [FlatCanvas(array, (BODY, LARYNX)), LayeredCanvas(masks)]


@pytest.mark.parametrize("canvas", canvases(), ids=["flat", "layers"])
def test_withheld_voxels_fall_to_the_body(canvas: Canvas) -> None:
    judgement = verdict({LARYNX: FALSE})
    assert withhold(canvas, judgement, NAMES) == {LARYNX: 8}
    assert canvas.counts()[LARYNX] == 0
    assert canvas.counts()[BODY] == (360 if isinstance(canvas, FlatCanvas) else 352)


def test_a_doubted_scan_has_no_body_either_unless_it_is_asked_for_alone() -> None:
    doubted = verdict({}, doubt="the scan is MR")
    spec: Any = SimpleNamespace(facts=FACTS, vocabulary=WORDS)
    array = np.zeros((2, 2, 2), np.uint16)
    assert wholes_of(doubted, FlatCanvas(array, (BODY, LARYNX)), spec) == {BODY: "the scan is MR"}
    assert wholes_of(doubted, FlatCanvas(array, (BODY,)), spec) == {}


def test_a_warning_is_one_short_sentence_and_the_report_has_the_reasons() -> None:
    judged = verdict({LARYNX: FALSE, MANDIBLE: FALSE, PAROTID: FALSE, LUNG: Evidence(3000, 0.96, 800)}, 700)
    taken = {LARYNX: 3.14, MANDIBLE: 0.5, PAROTID: 1.0}
    with pytest.warns(ProsectWarning, match="--all shows it"):
        said = sentences(judged, taken, NAMES)
    assert said == ["The scan shows no neck: withheld larynx, left parotid and 1 more (4.6 mL)"]
    assert sentences(judged, {}, NAMES) == []
    kept: Any = json.loads(json.dumps(judged.facts([LARYNX], {LARYNX: 3.14})))
    assert kept["withheld"] == {str(LARYNX): "the scan does not show the neck (3.1 mL)"}
    assert set(kept["confidence"]) == {str(LARYNX)}


def test_of_what_another_model_finds_too_a_missing_region_is_not_said_and_doubts_are() -> None:
    judged = verdict({LARYNX: FALSE, MANDIBLE: FALSE, LUNG: Evidence(3000, 0.96, 800)}, 700)
    taken = {LARYNX: 3.0, MANDIBLE: 0.5}
    second: Any = SimpleNamespace(found_by_others=(LARYNX,), speaks_first=False)
    assert left_unsaid(judged, taken, second) == {LARYNX: 3.0}
    with pytest.warns(ProsectWarning):
        said = sentences(judged, taken, NAMES, [LARYNX])
    assert said == ["The scan shows no neck: withheld mandible (0.50 mL)"]
    assert sentences(judged, {LARYNX: 3.0}, NAMES, [LARYNX]) == []
    first: Any = SimpleNamespace(found_by_others=(LARYNX,), speaks_first=True)
    assert left_unsaid(judged, taken, first) == {}
    assert left_unsaid(verdict({LARYNX: TRUE}, doubt="the scan is MR"), {LARYNX: 20}, second) == {}


def test_of_a_structure_withheld_for_itself_no_model_speaks_that_has_others_beside_it() -> None:
    fat = verdict({LUNG: Evidence(2000, 0.86, 700, median_hu=-100)}, 700, CLIPPED)
    for leads in (True, False):
        spec: Any = SimpleNamespace(found_by_others=(LUNG,), speaks_first=leads)
        assert left_unsaid(fat, {LUNG: 2000}, spec) == {LUNG: 2000}
    alone: Any = SimpleNamespace(found_by_others=(), speaks_first=True)
    assert left_unsaid(fat, {LUNG: 2000}, alone) == {}


def test_of_a_few_voxels_there_is_a_note_and_no_warning() -> None:
    judged = verdict({LARYNX: FALSE, MANDIBLE: FALSE, LUNG: Evidence(3000, 0.96, 800)}, 700)
    assert sentences(judged, {LARYNX: 0.08}, NAMES) == ["The scan shows no neck: withheld larynx (0.08 mL)"]
    fat = verdict({LUNG: Evidence(2000, 0.86, 700, median_hu=-100)}, 700, CLIPPED)
    assert len(sentences(fat, {LUNG: 0.4}, NAMES)) == 1
    doubted = verdict({LARYNX: TRUE}, doubt="the scan is MR")
    with pytest.warns(ProsectWarning, match="hardly CT"):
        sentences(doubted, {LARYNX: 0.1}, NAMES)


def test_single_structures_and_doubted_scans_have_sentences_of_their_own() -> None:
    fat = verdict({LUNG: Evidence(2000, 0.86, 700, median_hu=-100)}, 700, CLIPPED)
    with pytest.warns(ProsectWarning, match=r"too little speaks for it: lung \(2000 mL\)"):
        sentences(fat, {LUNG: 2000}, NAMES)
    with pytest.warns(ProsectWarning, match="hardly CT: withheld larynx"):
        sentences(verdict({LARYNX: TRUE}, doubt="the scan is MR"), {LARYNX: 20}, NAMES)


@pytest.mark.parametrize("model", ["prosect-small", "prosect-torso"])
def test_the_shipped_facts_are_about_structures_that_the_model_offers(model: str) -> None:
    facts = facts_of(model)
    never_judged = {"lung", "heart", "vertebrae"}  # no labelled scan was left for them
    offered = set(catalog.entry(model).dice) | never_judged
    assert {WORDS[index].name for index in facts.structures} <= offered
    for row in facts.structures.values():
        assert 0 < row.volume_ml.low < row.volume_ml.high
        assert 0 < row.section_cm2.low < row.section_cm2.high
        assert 0.8 < row.probability.low < row.probability.high < 1
        assert row.regions
        assert {*row.regions, row.witness_of} <= {*facts.regions, ""}
        assert row.median_hu is None or row.median_hu.low < row.median_hu.high


def test_a_spine_is_no_witness_of_an_abdomen_and_a_heart_is_shown_with_one_only() -> None:
    facts = facts_of("prosect-torso")
    index = {WORDS[number].name: number for number in facts.structures}
    spine = {index["vertebrae"]: Evidence(500, 0.92, 700)}
    heart = {index["heart"]: Evidence(90, 0.92, 700)}
    doubtful = {index["liver"]: Evidence(90, 0.6, 700), index["stomach"]: Evidence(40, 0.55, 700)}
    neck = judge({**spine, **heart, **doubtful}, facts, 700, CT)
    assert set(neck.withheld) == {*doubtful, *heart}
    assert not judge(spine, facts, 700, CT).withheld, "a neck keeps its spine"
    sure = {index["liver"]: Evidence(1800, 0.97, 700), index["spleen"]: Evidence(200, 0.97, 700)}
    assert not judge({**spine, **heart, **sure}, facts, 700, CT).withheld


def test_a_model_without_a_file_has_no_facts_and_unknown_keys_are_refused() -> None:
    assert facts_of("vista3d").structures == {}
    with pytest.raises(TypeError):
        read_facts('{"regions": {"a": {"girt": 1}}, "structures": {}}')
    with pytest.raises(KeyError):
        read_facts('{"regions": {}}')
    row: dict[str, Any] = {"volume_ml": [1, 2], "section_cm2": [1, 2], "probability": [0, 1], "regions": ["a"]}
    with pytest.raises(KeyError, match="witness_of"):
        read_facts(json.dumps({"regions": {"a": {}}, "structures": {"1": row}}))
