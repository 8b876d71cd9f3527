"""The scale of a target is found where nobody says it, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect import vocabulary
from prosect.case import Intensity
from prosect.geometry import Grid
from prosect.inference.appearance import Appearance
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.lasting import Lasting
from prosect.inference.scale_choice import ScaleRule
from prosect.inference.scales import ClickScales
from prosect.inference.windows import plan_windows
from prosect.models.set_clicks import SetResponder
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d_clicks import answer_clicks
from prosect.session import Session, read_record
from prosect.volume import Volume
from session.test_session import Ball

SHAPE = (64, 60, 56)
GRID = Grid(SHAPE, np.diag([1.5, 1.5, 1.5, 1.0]))
MIDDLE = (32, 30, 28)
RULE = ScaleRule((0.5, 1.0, 2.0), {"align": 0.3, "edge": 0.1}, contradicted=0.3)
PATCH = (16, 16, 16)


def scan(radius_mm: float) -> Volume:
    """Return a scan of a bright ball in grain."""
    places = np.stack(np.indices(SHAPE), axis=-1)
    far = np.linalg.norm((places - np.asarray(MIDDLE)) * 1.5, axis=-1)
    grain = np.random.default_rng(0).normal(0, 15, SHAPE)
    return Volume((np.where(far < radius_mm, 300, 0) + grain).astype(np.float32), GRID)


class Model:
    """Answers a click with a ball of 10 mm times the scale."""

    def __init__(self, rule: ScaleRule | None = RULE, profile_name: str = "prosect") -> None:
        self.vocabulary = vocabulary.load("vista3d-ct")
        self.identity = {"model": "balls", "weights_sha256": "0" * 64, "profile": profile_name}
        self.spec = ModelSpec(
            "balls", self.vocabulary, (2.0, 2.0, 2.0), PATCH, Intensity("window", -400.0, 800.0),
            click_scales=ClickScales(rule=rule),
        )  # fmt: skip
        self.profile = profile(profile_name)
        self.network = Ball()

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> ClickResponder:
        """Return patches of 16 voxels of 2 mm times the scale."""
        branch: Any = self.network
        return answer_clicks(
            volume, self.spec, self.profile, branch, torch.device("cpu"),
            lambda shape: plan_windows(shape, PATCH, 0.25), FeatureBudget(),
        )  # fmt: skip


def radius_mm(session: Session, name: str) -> float:
    """Return the radius of a ball of a mask's volume."""
    return float((3 * session.mask(name).sum() * 1.5**3 / (4 * np.pi)) ** (1 / 3))


@pytest.mark.parametrize("target_mm", [5, 10, 20])
def test_a_click_finds_the_size_of_its_target(target_mm: float) -> None:
    session = Session(scan(target_mm), Model())
    session.click(MIDDLE, structure="object", space="voxel")
    assert radius_mm(session, "object") == pytest.approx(target_mm, rel=0.15)


def test_a_size_that_is_said_goes_before() -> None:
    session = Session(scan(20), Model())
    session.click(MIDDLE, structure="object", space="voxel", extent_mm=60)
    assert radius_mm(session, "object") == pytest.approx(10, rel=0.15)


def test_a_structure_that_the_model_knows_stays_at_its_own_scale() -> None:
    session = Session(scan(20), Model())
    session.click(MIDDLE, structure="liver", space="voxel")
    assert radius_mm(session, "liver") == pytest.approx(10, rel=0.15)


def test_a_draft_stays_at_its_own_scale() -> None:
    session = Session(scan(20), Model())
    draft = np.zeros(SHAPE, dtype=bool)
    draft[0, 0, 0] = True
    session.start_from(draft, name="object")
    session.click(MIDDLE, structure="object", space="voxel")
    assert radius_mm(session, "object") == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("model", [Model(None), Model(RULE, "bundle"), Model(RULE, "research")])
def test_without_a_rule_and_under_official_profiles_nothing_is_tried(model: Model) -> None:
    session = Session(scan(20), model)
    session.click(MIDDLE, structure="object", space="voxel")
    assert model.network.encoded == 1
    assert radius_mm(session, "object") == pytest.approx(10, rel=0.15)


def test_an_even_scan_is_answered_at_the_models_own_scale() -> None:
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), Model(replace(RULE, margin_hu=0.1, margin=0.1)))
    session.click(MIDDLE, structure="object", space="voxel")
    assert radius_mm(session, "object") == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("recompute", [False, True])
def test_what_was_found_is_journaled_and_found_again(tmp_path: Path, recompute: bool) -> None:
    path = tmp_path / "journal"
    session = Session(scan(20), Model(), journal=path)
    session.click(MIDDLE, structure="object", space="voxel")
    session.click((40, 30, 28), structure="object", space="voxel")
    assert read_record(path).entries[0]["scale"] == 2.0
    again = Session(scan(20), Model()).replay(read_record(path), recompute=recompute)
    assert np.array_equal(again.mask("object"), session.mask("object"))
    assert again.click((30, 35, 28), structure="object", space="voxel").counts == (
        session.click((30, 35, 28), structure="object", space="voxel").counts
    )


def test_undo_takes_the_first_click_back_to_nothing() -> None:
    session = Session(scan(20), Model())
    session.click(MIDDLE, structure="object", space="voxel")
    found = session.mask("object")
    session.undo()
    assert not session.mask("object").any()
    session.redo()
    assert np.array_equal(session.mask("object"), found)


def test_clicks_at_once_find_what_clicks_in_turn_find() -> None:
    session = Session(scan(20), Model())
    for place in (MIDDLE, (40, 30, 28), (32, 20, 28)):
        session.click(place, structure="in turn", space="voxel")
    session.set_clicks("at once", session.clicks("in turn"))
    assert np.array_equal(session.mask("in turn"), session.mask("at once"))


def test_a_negative_click_that_waits_moves_nothing() -> None:
    session = Session(scan(5), Model())
    session.click(MIDDLE, structure="object", space="voxel")
    before = session.mask("object")
    change = session.click((50, 30, 28), False, structure="object", space="voxel")
    assert (change.added, change.removed) == (0, 0)
    assert np.array_equal(session.mask("object"), before)


def test_the_shipped_model_has_a_rule_and_official_ones_have_none() -> None:
    shipped: Any = prosect.load("prosect-small", device="cpu")
    rule = shipped.spec.click_scales.rule
    assert rule is not None
    assert 1.0 in rule.tried
    assert ModelSpec("vista3d", vocabulary.load("vista3d-ct")).click_scales.rule is None


def test_what_was_measured_for_the_shipped_model_does_not_count_for_official_ones() -> None:
    shipped: Any = prosect.load("prosect-small", device="cpu")
    assert shipped.spec.appearance == Appearance(weight=2.0, reach=3.0)
    assert shipped.spec.lasting == Lasting(share=0.7, reach=5.0, clicks=3)
    official = ModelSpec("vista3d", vocabulary.load("vista3d-ct"))
    assert (official.appearance, official.lasting) == (None, None)


def test_models_that_answer_as_one_have_the_scales_of_the_one_that_takes_clicks() -> None:
    class Set(Model):
        """The same model behind a set of models."""

        def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Any:
            """Return the responder of a set."""
            return SetResponder(super().responder(volume, kept), frozenset())

    for extent_mm in (None, 240.0):
        alone, together = Session(scan(20), Model()), Session(scan(20), Set())
        for session in (alone, together):
            session.click(MIDDLE, structure="object", space="voxel", extent_mm=extent_mm)
        assert radius_mm(alone, "object") > 15
        assert np.array_equal(alone.mask("object"), together.mask("object"))
