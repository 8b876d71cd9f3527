"""Resampling: the fast ways equal the textbook, and nothing moves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.geometry import Grid
from prosect.resample import SHEAR_TOLERANCE, linear_weights, resample_affine, resample_separable, respaced_grid
from reference import trilinear

SPACING = st.tuples(*[st.floats(0.4, 5)] * 3)
SHEARED = np.array([[1.1, 0.1, 0.3, 3], [0, 0.9, -0.2, -4], [0.1, 0, 2.1, 10], [0, 0, 0, 1.0]])


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """Return random values, the hardest thing to interpolate."""
    return np.random.default_rng(0).normal(0, 100, shape).astype(np.float32)


def orthogonal(shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int = 0) -> Grid:
    """Return a grid with random directions."""
    generator = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(generator.normal(size=(3, 3)))[0] * spacing
    affine[:3, 3] = generator.uniform(-300, 300, 3)
    return Grid(shape, affine)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), SPACING, SPACING, st.integers(0, 9))
def test_separable_resampling_equals_the_textbook(
    shape: tuple[int, int, int], old: tuple[float, float, float], new: tuple[float, float, float], seed: int
) -> None:
    grid, array = orthogonal(shape, old, seed), noise(shape)
    target = respaced_grid(grid, new)
    found = resample_separable(array, tuple(n / o for n, o in zip(new, old, strict=True)), target.shape).numpy()
    np.testing.assert_allclose(found, trilinear.resample(array, grid, target), atol=0.01)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(2, 9)] * 3), SPACING, SPACING, st.integers(0, 9))
def test_the_general_path_equals_the_separable_one_inside_an_orthogonal_scan(
    shape: tuple[int, int, int], old: tuple[float, float, float], new: tuple[float, float, float], seed: int
) -> None:
    grid, array = orthogonal(shape, old, seed), noise(shape)
    target = respaced_grid(grid, new)
    separable = resample_separable(array, tuple(n / o for n, o in zip(new, old, strict=True)), target.shape).numpy()
    general = resample_affine(array, np.linalg.solve(grid.affine, target.affine), target.shape).numpy()
    points = grid.to_voxel(target.to_world(trilinear.voxels_of(target)))
    inside = ((points >= 0) & (points <= np.asarray(shape) - 1)).all(axis=1).reshape(target.shape)
    assert inside.any()
    np.testing.assert_allclose(general[inside], separable[inside], atol=0.05)


def test_a_sheared_scan_equals_the_textbook_inside_and_is_air_outside() -> None:
    grid, array = Grid((9, 8, 7), SHEARED), noise((9, 8, 7))
    target = respaced_grid(grid, (0.8, 1.3, 1.5))
    found = resample_affine(array, np.linalg.solve(grid.affine, target.affine), target.shape).numpy()
    points = grid.to_voxel(target.to_world(trilinear.voxels_of(target))).reshape(*target.shape, 3)
    inside = ((points >= 0) & (points <= np.asarray(grid.shape) - 1)).all(axis=-1)
    outside = ((points <= -1) | (points >= np.asarray(grid.shape))).any(axis=-1)
    assert inside.sum() > 50
    assert outside.sum() > 50
    np.testing.assert_allclose(found[inside], trilinear.resample(array, grid, target)[inside], atol=0.05)
    np.testing.assert_allclose(found[outside], array.min(), atol=1e-4)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3), SPACING, SPACING, st.integers(0, 9))
def test_a_respaced_grid_keeps_its_first_voxel_and_directions_and_reaches_as_far(
    shape: tuple[int, int, int], old: tuple[float, float, float], new: tuple[float, float, float], seed: int
) -> None:
    grid = orthogonal(shape, old, seed)
    target = respaced_grid(grid, new)
    np.testing.assert_allclose(target.spacing_mm, new)
    np.testing.assert_allclose(target.affine[:3, 3], grid.affine[:3, 3])
    unit, wanted = target.affine[:3, :3] / target.spacing_mm, grid.affine[:3, :3] / grid.spacing_mm
    np.testing.assert_allclose(unit, wanted, atol=1e-12)
    missing = (np.asarray(shape) - 1) * old - (np.asarray(target.shape) - 1) * new
    assert (np.abs(missing) <= np.asarray(new) / 2 + 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.4, 0.4), min_size=9, max_size=9), st.tuples(*[st.integers(1, 40)] * 3), SPACING)
def test_a_sheared_grid_becomes_orthogonal_and_loses_no_corner(
    noise9: list[float], shape: tuple[int, int, int], new: tuple[float, float, float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] += np.reshape(noise9, (3, 3))
    if np.linalg.det(affine[:3, :3]) < 0.1:
        return
    grid = Grid(shape, affine)
    target = respaced_grid(grid, new)
    np.testing.assert_allclose(target.spacing_mm, new)
    if grid.shear > SHEAR_TOLERANCE:
        assert target.shear < 1e-9
        corners = target.to_voxel(grid.corners_ras())
        assert (corners >= -1e-6).all()
        assert (corners <= np.asarray(target.shape) - 1 + 2e-6).all()


def test_weights_stay_inside_and_blend_to_the_position() -> None:
    positions = np.array([-3.0, -0.2, 0.0, 0.25, 3.999, 4.0, 9.0])
    lower, upper, weight = linear_weights(positions, 5)
    assert lower.min() == 0
    assert upper.max() == 4
    np.testing.assert_allclose(lower + weight * (upper - lower), np.clip(positions, 0, 4), atol=1e-6)
    lower, upper, weight = linear_weights(positions, 1)
    assert (lower == 0).all()
    assert (upper == 0).all()


def test_an_array_that_must_not_be_written_is_read_without_complaint_and_left_alone() -> None:
    array = noise((4, 4, 4))
    array.setflags(write=False)
    before = array.copy()
    same = resample_separable(array, (1.0, 1.0, 1.0), (4, 4, 4)).numpy()
    np.testing.assert_array_equal(same, before)
    np.testing.assert_allclose(resample_affine(array, np.eye(4), (4, 4, 4)).numpy(), before, atol=1e-3)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("old", "new", "radius"),
    [
        ((1.0, 1.2, 0.9), (0.5, 0.5, 0.5), 12),
        ((0.7, 0.8, 5.0), (1.5, 1.5, 1.5), 30),
        ((1.1, 0.9, 1.3), (1.5, 1.5, 1.5), 12),
        ((1.0, 1.1, 1.2), (3.0, 3.0, 3.0), 20),
        ((1.5, 1.4, 1.6), (5.0, 5.0, 5.0), 30),
        ((5.0, 5.0, 5.0), (0.5, 5.0, 2.0), 30),
    ],
)
def test_a_sphere_keeps_its_centre_and_volume(
    old: tuple[float, float, float], new: tuple[float, float, float], radius: int
) -> None:
    shape = tuple(int(np.ceil((2 * radius + 14) / o)) + 4 for o in old)
    grid = Grid(shape, np.diag([*old, 1.0]))
    soft = 2 * max(*old, *new)  # of the border, in mm: a hard one aliases, whoever resamples it
    shifts, volumes = [], []
    for seed in range(4):
        centre = radius + 7 + np.random.default_rng(seed).uniform(-1, 1, 3) * old
        world = grid.to_world(trilinear.voxels_of(grid)).reshape(*shape, 3)
        distance = np.linalg.norm(world - centre, axis=-1)
        sphere = np.clip((radius - distance) / soft + 0.5, 0, 1).astype(np.float32)
        target = respaced_grid(grid, new)
        ratio = tuple(n / o for n, o in zip(new, old, strict=True))
        weight = resample_separable(sphere, ratio, target.shape).numpy().astype(np.float64).ravel()
        found = target.to_world((trilinear.voxels_of(target) * weight[:, None]).sum(axis=0) / weight.sum())
        shifts.append(found - centre)
        volumes.append(weight.sum() * target.voxel_volume_ml / (sphere.sum(dtype=float) * grid.voxel_volume_ml))
    assert np.abs(shifts).max() < 0.05, "within 0.05 mm"
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.02, "and to no side"
    np.testing.assert_allclose(volumes, 1, atol=0.01)


def test_how_the_scan_lies_in_memory_does_not_show_in_one_bit() -> None:
    array = np.random.default_rng(0).normal(0, 500, (13, 21, 34)).astype(np.float32)
    ratio, shape = (1.7, 0.6, 1.0), (8, 35, 34)
    expected = resample_separable(array, ratio, shape).numpy()
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            step = tuple(slice(None, None, flip) for flip in flips)
            back = np.argsort(axes)
            stored = np.ascontiguousarray(array[step].transpose(axes))
            seen = stored.transpose(back)[step]  # the same values, laid out otherwise
            assert (seen == array).all()
            np.testing.assert_array_equal(resample_separable(seen, ratio, shape).numpy(), expected)


def test_a_scan_that_must_not_be_written_is_resampled_all_the_same() -> None:
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    array.setflags(write=False)
    assert (resample_separable(array[::-1], (1.0, 1.0, 1.0), (3, 4, 5)).numpy() == array[::-1]).all()


def test_resampling_leaves_the_scan_as_it_was() -> None:
    array = np.random.default_rng(0).normal(0, 500, (6, 7, 8)).astype(np.float32)
    before = array.copy()
    resample_separable(array, (1.5, 1.0, 0.5), (4, 7, 15))
    np.testing.assert_array_equal(array, before)
