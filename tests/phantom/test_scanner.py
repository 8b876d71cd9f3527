"""Sampling an anatomy: what is painted, where it may be painted, and that shortcuts change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.phantom import scanner
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.culling import depth_near_surface
from prosect.phantom.grain import random_grain
from prosect.phantom.scanner import AIR_HU, covering_grid, render, scan_noise
from prosect.phantom.shapes import Box, Capsule, Ellipsoid, Shape
from prosect.phantom.smoothing import smooth

LIVER, SPLEEN = 1, 3
VALUES = {"liver": LIVER, "spleen": SPLEEN}
BALL = Ellipsoid((0.0, 0.0, 0.0), (12.0, 12.0, 12.0))
INNER = Ellipsoid((2.0, 0.0, 0.0), (5.0, 5.0, 5.0))


def cube(half_mm: float, spacing_mm: float = 1.0) -> Grid:
    """Return a grid around the origin."""
    return covering_grid((-half_mm,) * 3, (half_mm,) * 3, (spacing_mm,) * 3, None)


def points(grid: Grid) -> tuple[NDArray[np.float64], ...]:
    """Return the coordinates R, A, S of every voxel, each an array (i j k)."""
    world = grid.to_world(np.argwhere(np.ones(grid.shape, dtype=bool))).reshape(*grid.shape, 3)
    return world[..., 0], world[..., 1], world[..., 2]


def painted(*parts: Part, grid: Grid | None = None) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return Hounsfield units and labels of an anatomy of these parts."""
    return render(Anatomy(parts), grid or cube(16.0), VALUES)


def test_a_covering_grid_reaches_both_ends_and_lies_in_the_middle() -> None:
    grid = covering_grid((-10.0, 0.0, 5.0), (10.0, 9.0, 6.0), (3.0, 2.0, 5.0), None)
    assert grid.shape == (7, 5, 1)
    assert grid.spacing_mm == pytest.approx((3.0, 2.0, 5.0))
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    np.testing.assert_allclose(middle, (0.0, 4.5, 5.5))
    fixed = covering_grid((-10.0, 0.0, 5.0), (10.0, 9.0, 6.0), (3.0, 2.0, 5.0), (4, 4, 4))
    assert fixed.shape == (4, 4, 4)
    np.testing.assert_allclose(fixed.to_world((1.5, 1.5, 1.5)), (0.0, 4.5, 5.5))


def test_a_later_part_covers_an_earlier_one_in_image_and_labels() -> None:
    hu, labels = painted(Part("liver", 60.0, (BALL,)), Part("spleen", -50.0, (INNER,)))
    x, y, z = points(cube(16.0))
    inside = INNER.depth_mm(x, y, z)
    assert (labels[inside > 0] == SPLEEN).all()
    assert (labels[(inside < 0) & (BALL.depth_mm(x, y, z) > 0)] == LIVER).all()
    np.testing.assert_allclose(hu[inside > 1], -50.0, atol=1e-3)
    np.testing.assert_allclose(hu[BALL.depth_mm(x, y, z) < -1], AIR_HU)


def test_a_part_stays_within_what_it_may_cover() -> None:
    rod = Capsule((0.0, 0.0, -16.0), (0.0, 0.0, 16.0), 3.0, 3.0)
    hu, labels = painted(Part("liver", 60.0, (BALL,)), Part("spleen", 200.0, (rod,), over=("liver",)))
    free_hu, free_labels = painted(Part("liver", 60.0, (BALL,)), Part("spleen", 200.0, (rod,)))
    x, y, z = points(cube(16.0))
    outside = BALL.depth_mm(x, y, z) < 0
    assert (free_labels[outside] == SPLEEN).any(), "the rod is longer than the ball"
    assert not (labels[outside] == SPLEEN).any()
    np.testing.assert_array_equal(labels[~outside], free_labels[~outside])
    assert float(np.abs(hu - free_hu)[outside].max()) > 500


def test_edges_are_shared_in_proportion() -> None:
    wall = Box((0.0, -20.0, -20.0), (20.0, 20.0, 20.0))
    grid = Grid((5, 1, 1), np.array([[1.0, 0, 0, -2.25], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    hu, labels = painted(Part("liver", 0.0, (wall,)), grid=grid)
    # Voxel centres at -2.25 .. 1.75: the middle one reaches from -0.75 to 0.25 mm, so a quarter of it is wall.
    assert hu[2, 0, 0] == pytest.approx(AIR_HU * 0.75, abs=1.0)
    np.testing.assert_allclose(hu[[0, 1], 0, 0], AIR_HU)
    np.testing.assert_allclose(hu[[3, 4], 0, 0], 0.0, atol=1e-3)
    assert labels[:, 0, 0].tolist() == [0, 0, 0, LIVER, LIVER]


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (Part("liver", 60.0, (BALL,)), Part("spleen", -50.0, (INNER,), over=("liver",)))
    whole = painted(*parts)
    monkeypatch.setattr(scanner, "SLAB_VOXELS", 33 * 33 * 3)
    sliced = painted(*parts)
    for first, second in zip(whole, sliced, strict=True):
        np.testing.assert_array_equal(first, second)


SHAPES: list[Shape] = [
    BALL,
    Ellipsoid((3.0, -4.0, 1.0), (14.0, 6.0, 9.0), turn_z=30.0, turn_y=-20.0),
    Capsule((-9.0, 0.0, -8.0), (9.0, 3.0, 8.0), 2.0, 5.0),
    Box((-7.0, -2.0, -11.0), (3.0, 9.0, 12.0)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
@pytest.mark.parametrize("edge_mm", [0.5, 2.0])
def test_culling_keeps_every_sign_and_every_depth_near_the_surface(shape: Shape, edge_mm: float) -> None:
    x, y, z = points(cube(16.0))
    slow, fast = shape.depth_mm(x, y, z), depth_near_surface(shape, x, y, z, edge_mm)
    np.testing.assert_array_equal(slow >= 0, fast >= 0)
    near = np.abs(slow) <= edge_mm
    assert near.any()
    np.testing.assert_allclose(fast[near], slow[near], atol=1e-4)
    assert (np.abs(fast) > 100).mean() > 0.05, "far voxels are not worked out, or the test shows nothing"


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([(0.6, 0.6, 0.6), (2.0, 0.0, 1.0), (0.0, 3.0, 0.1)]))
def test_smoothing_is_the_sum_over_a_gaussian(seed: int, sigma_vox: tuple[float, float, float]) -> None:
    array = np.random.default_rng(seed).normal(size=(7, 6, 5)).astype(np.float32)
    expected = array.astype(np.float64)
    for axis, sigma in enumerate(sigma_vox):
        if sigma < 0.15:
            continue
        radius = max(1, round(3 * sigma))
        steps = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (steps / sigma) ** 2)
        moved = np.zeros_like(expected)
        for step, weight in zip(steps, weights / weights.sum(), strict=True):
            places = np.clip(np.arange(array.shape[axis]) + step, 0, array.shape[axis] - 1)
            moved += weight * np.take(expected, places, axis=axis)
        expected = moved
    np.testing.assert_allclose(smooth(array, sigma_vox), expected, atol=1e-5)


def test_a_grain_has_unit_variance_is_fixed_to_the_body_and_repeats() -> None:
    grain = random_grain(np.random.default_rng(0), 4.0)
    period = 4.0 * len(grain.values)
    rng = np.random.default_rng(1)
    x, y, z = rng.uniform(-300, 300, (3, 40, 40, 20))
    values = grain(x, y, z)
    assert values.mean() == pytest.approx(0, abs=0.1)
    assert values.std() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(grain(x + period, y, z - 2 * period), values, atol=2e-3)
    np.testing.assert_array_equal(grain(x, y, z), values)


def test_noise_is_correlated_within_slices_and_not_between_them() -> None:
    grid = Grid((64, 64, 64), np.eye(4))
    noise = scan_noise(np.random.default_rng(0), grid, 20.0)
    assert noise.std() == pytest.approx(20.0, rel=0.03)
    correlations = []
    for axis in range(3):
        near = np.roll(noise, 1, axis)
        correlations.append(float((noise * near).mean() / noise.var()))
    # The weights 1 2 1 over the root of 6: neighbours share (1*2 + 2*1) / 6 of their variance.
    np.testing.assert_allclose(correlations, [2 / 3, 2 / 3, 0.0], atol=0.02)
