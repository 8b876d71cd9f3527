"""What makes a stage another run: settings that are used, and none that a recipe leaves alone."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from prosect.training.recipe import Shape, Stage
from prosect.training.stages import settings_that_count

STAGE, SHAPE = Stage("clicks"), Shape()


def test_settings_of_scales_count_only_where_a_stage_has_scales() -> None:
    # States of trainings from before there were scales must go on.
    chosen, seen = settings_that_count(SHAPE, STAGE, ())
    assert not {"scales", "own_scale", "apparent_mm"} & set(chosen)
    assert "scans_mm" not in seen
    scaled = replace(STAGE, scales=(0.5, 4.0))
    assert settings_that_count(replace(SHAPE, scans_mm=2.0), scaled, ())[0]["scales"] == (0.5, 4.0)
    assert settings_that_count(replace(SHAPE, scans_mm=2.0), scaled, ())[1]["scans_mm"] == 2.0


@pytest.mark.parametrize("changed", [{"own_scale": 0.5}, {"apparent_mm": (10.0, 90.0)}])
def test_settings_that_nothing_uses_make_no_other_run(changed: dict[str, object]) -> None:
    assert settings_that_count(SHAPE, replace(STAGE, **changed), ()) == settings_that_count(SHAPE, STAGE, ())  # type: ignore[arg-type]
    scaled = replace(STAGE, scales=(0.5, 4.0))
    assert settings_that_count(SHAPE, replace(scaled, **changed), ()) != settings_that_count(SHAPE, scaled, ())  # type: ignore[arg-type]


def test_what_is_said_not_to_count_is_left_out_and_all_else_counts() -> None:
    chosen, _ = settings_that_count(SHAPE, STAGE, ("steps",))
    assert set(asdict(STAGE)) - set(chosen) == {"steps", "scales", "own_scale", "apparent_mm"}


def test_what_changes_nothing_that_is_learnt_does_not_count() -> None:
    other = replace(SHAPE, offered=("liver",), keep_classes=True, start=None)
    assert settings_that_count(other, STAGE, ())[1] == settings_that_count(SHAPE, STAGE, ())[1]
