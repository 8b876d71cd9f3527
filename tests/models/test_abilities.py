"""A model is asked what it can do, once, and refused by what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from prosect import vocabulary
from prosect.errors import CheckpointError
from prosect.models.hybrid import HybridModel
from prosect.models.protocols import (
    require_both,
    require_clicks,
    require_features,
    require_finds,
    require_learns,
)
from prosect.models.sam_med3d import SamMed3DModel, click_profile
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.networks.sam_med3d import Architecture as SamArchitecture
from prosect.networks.sam_med3d import SamMed3D
from prosect.networks.vista3d import Architecture, vista3d

WORDS = vocabulary.load("prosect")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finder() -> Vista3DModel:
    """Return a small VISTA3D."""
    network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False)).eval()
    return Vista3DModel(network, ModelSpec("finder", WORDS), profile("prosect"), CPU)


@pytest.fixture(scope="module")
def clicker() -> SamMed3DModel:
    """Return a small SAM-Med3D."""
    sizes = SamArchitecture(
        crop=32, patch=8, width=24, depth=2, heads=2, global_blocks=(1,), window=5, embedding=48, decoder_hidden=32
    )
    return SamMed3DModel(SamMed3D(sizes).eval(), ModelSpec("clicker", WORDS), click_profile("prosect"), CPU)


def test_a_vista3d_finds_learns_takes_clicks_and_shows_its_features(finder: Vista3DModel) -> None:
    for require in (require_finds, require_clicks, require_both, require_learns, require_features):
        assert require(finder) is finder


def test_a_model_of_another_network_runs_as_the_first_does_and_leaves_it_alone(finder: Vista3DModel) -> None:
    other = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False)).eval()
    spec = ModelSpec("taught", WORDS)
    taught = require_learns(finder).with_network(other, spec)
    assert (taught.network, taught.identity["model"]) == (other, "taught")
    assert (taught.profile, taught.device) == (finder.profile, finder.device)
    assert (finder.network is not other, finder.identity["model"]) == (True, "finder")


@pytest.mark.parametrize(
    ("require", "code"),
    [
        (require_finds, "MODEL_NO_AUTOMATIC"),
        (require_both, "MODEL_NO_AUTOMATIC"),
        (require_learns, "MODEL_WRONG_NETWORK"),
        (require_features, "MODEL_WRONG_NETWORK"),
    ],
)
def test_what_answers_clicks_only_is_refused_for_all_else(clicker: SamMed3DModel, require: Any, code: str) -> None:
    assert require_clicks(clicker) is clicker
    with pytest.raises(CheckpointError) as caught:
        require(clicker)
    assert caught.value.code == code


def test_two_models_together_take_clicks(finder: Vista3DModel, clicker: SamMed3DModel) -> None:
    both = HybridModel(clicker, finder)
    assert require_clicks(both) is both


def test_a_draft_of_models_that_find_nothing_is_refused(clicker: SamMed3DModel) -> None:
    with pytest.raises(CheckpointError, match="'clicker' segments nothing") as caught:
        HybridModel(clicker, clicker).draft(None, [1], False)  # type: ignore[arg-type]
    assert caught.value.code == "MODEL_NO_AUTOMATIC"


@dataclass
class Finder:
    """What finds structures without a network; no class of ours, yet a model."""

    vocabulary = WORDS
    identity = {"model": "threshold"}  # noqa: RUF012
    spec = ModelSpec("threshold", WORDS)
    device = CPU

    def plan(self, *_: Any) -> None: ...

    def segment(self, *_: Any) -> None: ...


def test_a_model_of_somebody_else_needs_no_base_class_and_what_it_lacks_is_named() -> None:
    model: Any = Finder()
    assert require_finds(model) is model
    for require in (require_clicks, require_both):
        with pytest.raises(CheckpointError, match="'threshold' takes no clicks") as caught:
            require(model)
        assert caught.value.code == "MODEL_NO_CLICKS"
