"""Numbers that a training would fail at are refused before it begins, by their key and with what they may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import RecipeError
from prosect.training.recipe import Data, Recipe, SamMed3dShape, Shape, Stage
from prosect.training.recipe_checks import check_recipe

SOUND = Recipe(
    "boxes",
    (Data(Path("list.json")),),
    Shape(blocks=(1, 1, 1), window=(32, 32, 32)),
    (Stage("first", patch=(32, 32, 16)), Stage("second", patch=(16, 16, 16))),
)
CHAINED = Recipe(
    "clicks",
    (Data(Path("list.json")),),
    Shape(window=(33, 35, 37)),
    (Stage("chain", branch="chained", train=("encoder", "decoder"), patch=(31, 31, 31), rounds=3),),
    sam_med3d=SamMed3dShape(),
)


def refused(recipe: Recipe) -> str:
    """Return the message with which a recipe is refused."""
    with pytest.raises(RecipeError) as caught:
        check_recipe(recipe, "boxes.toml")
    assert caught.value.code == "RECIPE_INVALID"
    return str(caught.value)


def stage(**changes: Any) -> Recipe:
    """Return the sound recipe with another second stage."""
    return replace(SOUND, stages=(SOUND.stages[0], replace(SOUND.stages[1], **changes)))


def test_sound_recipes_are_returned_as_they_are() -> None:
    assert check_recipe(SOUND, "boxes.toml") is SOUND
    assert check_recipe(CHAINED, "clicks.toml") is CHAINED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be 1 or more"),
        ({"patches_per_step": 0}, "patches_per_step is 0; it must be 1 or more"),
        ({"rounds": 1}, "rounds is 1; it must be 2 or more"),
        ({"objects": 0}, "objects is 0"),
        ({"save_every": 0}, "save_every is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be above 0"),
        ({"max_gradient_norm": -1.0}, "max_gradient_norm is -1.0; it must be above 0"),
        ({"zoom": (0.0, 1.2)}, "zoom is [0.0, 1.2]; both numbers must be above 0"),
        ({"scales": (0.0, 2.0)}, "scales is [0.0, 2.0]; give the smaller first, above 0"),
        ({"scales": (4.0, 0.5)}, "scales is [4.0, 0.5]; give the smaller first"),
        ({"apparent_mm": (120.0, 15.0)}, "apparent_mm is [120.0, 15.0]"),
        ({"own_scale": 1.5}, "own_scale must lie in 0 to 1"),
        ({"warmup_steps": -1}, "can be negative"),
        ({"cached_patches": -1}, "cached_patches is -1"),
        ({"validate_on": -2}, "can be negative"),
        ({"ema": 1.01}, "must lie in 0 to 1"),
        ({"foreground": -0.1}, "must lie in 0 to 1"),
        ({"turned": 2.0}, "must lie in 0 to 1"),
        ({"remap": float("nan")}, "must lie in 0 to 1"),
        ({"train": ()}, "train is empty, so nothing would learn"),
        ({"train": ("encoder", "decoder")}, "train names decoder, which this network does not have"),
        ({"train": ("encoder",), "shares": (1.0, 0.5)}, "shares has 2 numbers and train 1 parts"),
        ({"train": ("automatic", "class_vectors")}, "Name one of the two"),
        ({"cached_patches": 8}, "cached_patches is 8"),
        ({"branch": "chained"}, 'branch is "chained"; it must be another, or the recipe [sam_med3d]'),
        ({"patch": (16, 16, 18)}, "the patch of second is [16, 16, 18]; each side must be a multiple of 4"),
        ({"patch": (16, 0, 16)}, "the patch of second is [16, 0, 16]"),
        ({"name": "first"}, "two have one name"),
        ({"name": "scans"}, "'scans' cannot be a name"),
        ({"name": "../up"}, "'../up' cannot be a name"),
        ({"name": "back\\slash"}, "cannot be a name"),
        ({"name": ".hidden"}, "'.hidden' cannot be a name"),
        ({"name": ""}, "'' cannot be a name"),
    ],
)
def test_a_stage_that_would_fail_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    assert message in refused(stage(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": ()}, "blocks is empty"),
        ({"blocks": (1, 0)}, "must be above 0"),
        ({"width": 0}, "must be above 0"),
        ({"rows": 0}, "must be above 0"),
        ({"spacing_mm": 0.0}, "must be above 0"),
        ({"low": 5.0, "high": 5.0}, "low is 5.0 and high 5.0; low must be less"),
        ({"intensity": "percentile", "low": 0.5, "high": 101.0}, "percentiles lie in 0 to 100"),
        ({"intensity": "percentile", "low": -1.0, "high": 99.0}, "percentiles lie in 0 to 100"),
        ({"window": (32, 32, 30)}, "the window is [32, 32, 30]"),
        ({"click_patch": (32, 30, 32)}, "the click_patch is [32, 30, 32]"),
    ],
)
def test_a_shape_of_which_no_network_can_be_made_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refused(replace(SOUND, shape=replace(SOUND.shape, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 0.0}, "a weight that is not above 0"),
        ({"warp": 1.5}, "warp of list.json is 1.5; it must lie in 0 to 1"),
        ({"synthesis": -0.5}, "synthesis of list.json is -0.5"),
        ({"stages": ("third",)}, "'third' is unknown"),
    ],
)
def test_a_list_that_cannot_be_drawn_from_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refused(replace(SOUND, data=(replace(SOUND.data[0], **changes),)))


def test_a_chain_of_clicks_needs_its_own_stages_and_parts() -> None:
    (chain,) = CHAINED.stages
    other = replace(CHAINED, stages=(replace(chain, branch="automatic"),))
    assert 'it must be "chained", because the recipe has [sam_med3d]' in refused(other)
    wrong = replace(CHAINED, stages=(replace(chain, train=("encoder", "automatic")),))
    assert "Its parts are encoder, decoder" in refused(wrong)
    short = replace(CHAINED, stages=(replace(chain, unasked=True, rounds=2),))
    assert "with unasked rounds it must be 3 or more" in refused(short)
    check_recipe(replace(CHAINED, stages=(replace(chain, unasked=False, rounds=2),)), "clicks.toml")


def test_class_vectors_alone_may_learn_on_cached_features() -> None:
    check_recipe(stage(cached_patches=8, train=("class_vectors",)), "boxes.toml")
