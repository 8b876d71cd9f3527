"""Baselines answer clicks as their definitions say, through the sessions of models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prosect.evaluation.baselines import BASELINES, RADIUS_MM, ball, baseline_named, box_around, grown_region
from prosect.geometry import Grid
from prosect.models.protocols import TakesClicks, require_clicks
from prosect.volume import Volume

SHEARED = np.array([[2.0, 0.5, 0.0, -30.0], [0.0, 3.0, 0.0, 10.0], [0.0, 0.2, 1.5, 5.0], [0.0, 0.0, 0.0, 1.0]])
PLAIN = np.diag([2.0, 2.0, 2.0, 1.0])


def volume_of(array: np.ndarray, affine: np.ndarray = PLAIN) -> Volume:
    """Return a scan."""
    return Volume(array.astype(np.float32), Grid(array.shape, affine), "CT")  # type: ignore[arg-type]


@pytest.mark.parametrize("affine", [PLAIN, SHEARED])
def test_a_ball_has_seventeen_millilitres_whatever_the_voxels(affine: np.ndarray) -> None:
    volume = volume_of(np.zeros((40, 40, 40)), affine)
    mask = ball(volume, tuple(volume.grid.to_world([[20.0, 20.0, 20.0]])[0]))
    expected = 4 / 3 * math.pi * RADIUS_MM**3 / 1000
    assert mask.sum() * volume.grid.voxel_volume_ml == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("affine", [PLAIN, SHEARED])
def test_the_box_of_a_ball_leaves_nothing_of_it_out(affine: np.ndarray) -> None:
    grid = Grid((30, 30, 30), affine)
    centre = tuple(grid.to_world([[15.0, 14.0, 16.0]])[0])
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    inside = np.linalg.norm(grid.to_world(index) - centre, axis=-1) <= 12.0
    box = box_around(grid, centre, 12.0)
    kept = np.zeros_like(inside)
    kept[box.slices] = True
    assert not (inside & ~kept).any()
    assert box.size < inside.size


def test_a_region_is_what_has_like_intensity_and_hangs_together() -> None:
    array = np.full((30, 30, 30), -1000.0)
    array[5:15, 5:15, 5:15] = 50.0
    array[20:25, 20:25, 20:25] = 50.0  # alike, and apart
    array[15:18, 5:15, 5:15] = 400.0  # beside it, and unlike
    volume = volume_of(array)
    mask = grown_region(volume, tuple(volume.grid.to_world([[10.0, 10.0, 10.0]])[0]))
    expected = np.zeros_like(mask)
    expected[5:15, 5:15, 5:15] = True
    assert (mask == expected).all()


def test_a_region_does_not_grow_beyond_its_reach() -> None:
    volume = volume_of(np.zeros((200, 4, 4)))
    mask = grown_region(volume, tuple(volume.grid.to_world([[10.0, 2.0, 2.0]])[0]))
    assert mask[:80].all()
    assert not mask[86:].any()


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_a_baseline_is_clicked_like_a_model(name: str) -> None:
    array = np.full((40, 40, 40), -1000.0)
    array[8:32, 8:32, 8:32] = 50.0
    volume = volume_of(array)
    model = baseline_named(name)
    assert isinstance(model, TakesClicks)
    session = require_clicks(model).session(volume)
    centre = volume.grid.to_world([[20.0, 20.0, 20.0]])[0]
    session.click(centre, structure="thing")
    first = session.mask("thing").copy()
    assert first[20, 20, 20]
    session.undo()
    assert not session.mask("thing").any()


def test_a_negative_click_takes_away_what_is_nearer_to_it() -> None:
    volume = volume_of(np.zeros((40, 40, 40)))
    session = baseline_named("ball").session(volume)
    session.click(volume.grid.to_world([[20.0, 20.0, 20.0]])[0], structure="thing")
    edge = volume.grid.to_world([[26.0, 20.0, 20.0]])[0]
    before = session.mask("thing").sum()
    session.click(edge, positive=False, structure="thing")
    after = session.mask("thing")
    # Half-way between the clicks, 6 mm from each, is where the object ends.
    assert after[23, 20, 20]
    assert not after[24:, 20, 20].any()
    assert 0 < after.sum() < before
