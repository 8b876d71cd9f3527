"""Solids of living shape keep to their formulas: unions, growth, hills, tubes and sheets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prosect.phantom.organic import Blend, Bulk, Grown, Rough, along, bent_tube, curve, fan, nearby_depth, roughen
from prosect.phantom.shapes import Capsule, Ellipsoid, Shape

LEFT, RIGHT = Ellipsoid((-9.0, 0.0, 0.0), (12.0, 10.0, 8.0)), Ellipsoid((9.0, 2.0, 0.0), (11.0, 9.0, 10.0))


def depth(shape: Shape, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the depth of points (n 3)."""
    x, y, z = (np.ascontiguousarray(column, dtype=np.float32) for column in at.T)
    return np.asarray(shape.depth_mm(x, y, z), dtype=np.float64).reshape(len(at))


def points(count: int = 3000, reach: float = 30.0, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 3))


def test_a_hard_union_is_the_deeper_of_its_parts() -> None:
    at = points()
    expected = np.maximum(depth(LEFT, at), depth(RIGHT, at))
    np.testing.assert_allclose(depth(Blend((LEFT, RIGHT)), at), expected, atol=1e-4)


@pytest.mark.parametrize("soft_mm", [1.0, 5.0, 12.0])
def test_a_soft_union_fills_creases_by_at_most_a_quarter_and_nothing_else(soft_mm: float) -> None:
    at = points()
    first, second = depth(LEFT, at), depth(RIGHT, at)
    filled = depth(Blend((LEFT, RIGHT), soft_mm), at) - np.maximum(first, second)
    apart = np.abs(first - second)
    assert filled.min() >= -1e-4
    assert filled.max() <= soft_mm / 4 + 1e-4
    np.testing.assert_allclose(filled[apart > soft_mm], 0, atol=1e-4)
    assert filled[apart < soft_mm / 10].min() > 0.15 * soft_mm


def test_the_order_of_two_parts_does_not_matter() -> None:
    at = points()
    one, other = Blend((LEFT, RIGHT), 6.0), Blend((RIGHT, LEFT), 6.0)
    np.testing.assert_allclose(depth(one, at), depth(other, at), atol=1e-4)
    np.testing.assert_array_equal(one.bounds(), other.bounds())


def test_many_parts_are_as_deep_as_each_alone_wherever_that_matters() -> None:
    parts = tuple(Capsule((x, 0.0, 0.0), (x, 8.0, 5.0), 3.0, 2.0) for x in (-20.0, -8.0, 4.0, 16.0, 28.0))
    at = points(reach=60.0)
    every = np.max([depth(part, at) for part in parts], axis=0)
    found = depth(Blend(parts), at)
    near = every > -20
    np.testing.assert_allclose(found[near], every[near], atol=1e-3)
    assert bool((found[~near] < -19).all())


def test_far_from_a_shape_only_that_it_is_far_is_known() -> None:
    at = points(reach=90.0)
    x, y, z = (np.ascontiguousarray(column, dtype=np.float32) for column in at.T)
    known, true = np.asarray(nearby_depth(LEFT, x, y, z)), depth(LEFT, at)
    near = known > -22
    np.testing.assert_allclose(known[near], true[near], atol=1e-3)
    assert bool((true[~near] < 0).all())


@pytest.mark.parametrize("by_mm", [-3.0, 0.0, 4.5])
def test_a_grown_shape_is_deeper_by_what_it_grew_and_its_box_grows_along(by_mm: float) -> None:
    at = points()
    grown = Grown(LEFT, by_mm)
    np.testing.assert_allclose(depth(grown, at), depth(LEFT, at) + by_mm, atol=1e-4)
    np.testing.assert_allclose(np.diff(grown.bounds(), axis=0) - np.diff(LEFT.bounds(), axis=0), 2 * by_mm)


def test_hills_are_no_higher_than_they_are_said_and_average_out() -> None:
    rough = roughen(LEFT, np.random.default_rng(4), height_mm=1.5, length_mm=10.0)
    at = points(20000)
    hill = depth(rough, at) - depth(LEFT, at)
    most = sum(abs(wave[4]) for wave in rough.waves)
    assert np.abs(hill).max() <= most + 1e-3
    assert abs(hill.mean()) < 0.1
    assert hill.std() > 0.3
    assert roughen(LEFT, np.random.default_rng(4), 1.5, 10.0) == rough, "one seed is one surface, and a value"


def test_a_hill_is_the_sine_of_its_wave() -> None:
    wave = (0.3, -0.2, 0.1, 0.7, 2.0)
    at = points(500)
    expected = depth(LEFT, at) + 2.0 * np.sin(at @ np.array(wave[:3]) + wave[3])
    np.testing.assert_allclose(depth(Rough(LEFT, (wave,)), at), expected, atol=1e-3)


@pytest.mark.parametrize("power", [2.0, 3.0, 6.0])
def test_the_surface_of_a_bulk_is_where_the_powers_add_up_to_one(power: float) -> None:
    bulk = Bulk((3.0, -2.0, 1.0), (14.0, 9.0, 6.0), (20.0, -35.0, 50.0), power)
    at = points(4000, 16.0, 2)
    own = (at - np.array(bulk.center)) @ bulk.axes() / np.array(bulk.radii_mm)
    inside = (np.abs(own) ** power).sum(axis=1) < 1
    clear = np.abs((np.abs(own) ** power).sum(axis=1) - 1) > 1e-3
    assert bool(((depth(bulk, at) > 0) == inside)[clear].all())
    assert inside.mean() > 0.02


def test_a_fuller_bulk_holds_the_leaner_one() -> None:
    at = points(reach=12.0)
    lean, full = (Bulk((0.0, 0.0, 0.0), (10.0, 8.0, 6.0), (10.0, 20.0, 30.0), power) for power in (2.0, 5.0))
    assert bool((depth(full, at)[depth(lean, at) > 0] > 0).all())
    assert (depth(full, at) > 0).sum() > (depth(lean, at) > 0).sum()


@pytest.mark.parametrize("radii_mm", [3.0, [3.0] * 4], ids=["one radius", "a radius each"])
def test_a_bent_tube_holds_its_line_and_no_point_far_from_it(radii_mm: float | list[float]) -> None:
    line = [(0.0, 0.0, 0.0), (10.0, 5.0, 2.0), (20.0, -3.0, 8.0), (30.0, 0.0, 0.0)]
    tube = Blend(bent_tube(line, radii_mm))
    np.testing.assert_allclose(depth(tube, np.array(line)), 3.0, atol=1e-3)
    smooth = curve(np.array(line), 40)
    at = points(1500, 35.0)
    apart = np.linalg.norm(at[:, None] - smooth[None], axis=2).min(axis=1)
    found = depth(tube, at)
    assert bool((found[apart > 4.5] < 0).all())
    assert bool((found[apart < 1.5] > 0).all())


def test_radii_of_a_tube_never_swing_below_what_a_network_could_see() -> None:
    rods = bent_tube([(0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (10.0, 0.0, 0.0), (15.0, 0.0, 0.0)], [5.0, 0.3, 0.3, 5.0])
    assert min(min(rod.start_radius_mm, rod.stop_radius_mm) for rod in rods) >= 0.3


@pytest.mark.parametrize("count", [2, 5, 17])
def test_places_along_a_line_are_evenly_apart_and_reach_both_ends(count: int) -> None:
    line = [(0.0, 0.0, 0.0), (30.0, 0.0, 0.0)]
    np.testing.assert_allclose(along(line, count)[:, 0], np.linspace(0, 30, count))
    bent = [(0.0, 0.0, 0.0), (10.0, 12.0, 0.0), (25.0, 5.0, 6.0)]
    placed = along(bent, count)
    np.testing.assert_allclose(placed[[0, -1]], np.array(bent)[[0, -1]], atol=1e-9)
    steps = np.linalg.norm(np.diff(placed, axis=0), axis=1)
    assert steps.max() - steps.min() < 0.25 * steps.max()


def test_a_fan_is_a_sheet_of_as_many_rods_between_its_lines() -> None:
    start, stop = [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0)], [(0.0, 30.0, 0.0), (40.0, 30.0, 0.0)]
    sheet = fan(start, stop, (2.0, 3.0), 6)
    assert len(sheet.shapes) == 6
    between = np.stack([np.linspace(1, 19, 30), np.full(30, 0.5), np.zeros(30)], axis=1)
    assert bool((depth(sheet, between) > 0).all()), "no gap between neighbours"
    ends = np.array([[0.0, 0.0, 0.0], [20.0, 0.0, 0.0], [0.0, 30.0, 0.0], [40.0, 30.0, 0.0]])
    assert depth(sheet, ends).min() >= 2.0 - 1e-3
