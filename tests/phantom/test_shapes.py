"""Solids: inside is positive, depth is in millimetres, bounds hold everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.phantom.shapes import Both, Box, Capsule, Ellipsoid, HalfSpace, Loft, Shape, Without, tube

TURNED = Ellipsoid((3.0, -8.0, 5.0), (20.0, 9.0, 14.0), turn_z=35.0, turn_y=-20.0)
TAPERED = Capsule((-10.0, 4.0, 0.0), (22.0, -6.0, 15.0), 9.0, 4.0)
STACK = Loft(((-20, 0, 0, 18, 12), (5, 4, -3, 22, 15), (25, 0, 0, 10, 8)), 2.5)
SOLIDS: list[Shape] = [TURNED, TAPERED, STACK, Box((-5, -9, 2), (14, 7, 21))]
SOLIDS += [Both(TURNED, HalfSpace((0, 0, 1), 4)), Without(STACK, TURNED)]


def cube(half: float, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = np.arange(-half, half + step / 2, step)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    return x, y, z


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda s: type(s).__name__)
def test_bounds_hold_every_inner_point(solid: Shape) -> None:
    x, y, z = cube(40, 1.0)
    inside = np.argwhere(solid.depth_mm(x, y, z) > 0) - 40.0
    low, high = solid.bounds()
    assert len(inside)
    assert (inside >= low - 1e-6).all()
    assert (inside <= high + 1e-6).all()


def test_ellipsoid_volume_is_the_formula() -> None:
    x, y, z = cube(28, 0.5)
    counted = (TURNED.depth_mm(x, y, z) > 0).sum() * 0.5**3 / 1000
    assert counted == pytest.approx(TURNED.volume_ml, rel=2e-3)


@given(st.floats(0, 360), st.floats(-89, 89), st.floats(-1.0, 1.0))
@settings(deadline=None, max_examples=60)
def test_depth_near_an_ellipsoid_is_in_millimetres(around: float, up: float, step: float) -> None:
    """Moving `step` mm along the outward normal from the surface changes the depth by that much."""
    a, b = np.deg2rad(around), np.deg2rad(up)
    radii = np.asarray(TURNED.radii_mm)
    unit = np.array([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)])
    normal = unit / radii / np.linalg.norm(unit / radii)
    point = TURNED.axes() @ (unit * radii - step * normal) + TURNED.center
    depth = TURNED.depth_mm(*[np.full((1, 1, 1), v) for v in point]).item()
    assert depth == pytest.approx(step, abs=0.15)


def test_capsule_depth_on_its_axis_is_its_radius() -> None:
    for part in (0.0, 0.5, 1.0):
        point = np.array(TAPERED.start) * (1 - part) + np.array(TAPERED.stop) * part
        depth = TAPERED.depth_mm(*[np.full((1, 1, 1), v) for v in point]).item()
        assert depth == pytest.approx(9.0 - 5.0 * part, abs=1e-4)


def test_an_ellipsoid_is_deep_at_its_middle() -> None:
    middle = [np.full((1, 1, 1), v) for v in TURNED.center]
    assert TURNED.depth_mm(*middle).item() > 5


def test_a_shrunk_loft_lies_inside() -> None:
    x, y, z = cube(30, 1.5)
    outer, inner = STACK.depth_mm(x, y, z) > 0, STACK.shrunk(3).depth_mm(x, y, z) > 0
    assert inner.any()
    assert not (inner & ~outer).any()
    assert inner.sum() < outer.sum()


def test_a_tube_joins_its_points_without_gaps() -> None:
    points = [(0.0, 0.0, 0.0), (10.0, 0.0, 5.0), (10.0, 20.0, 5.0)]
    rods = tube(points, (3, 4, 2))
    assert [rod.start for rod in rods] == points[:2]
    assert [rod.stop for rod in rods] == points[1:]
    assert [rod.stop_radius_mm for rod in rods] == [4.0, 2.0]
