"""Laws of grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import GeometryError
from prosect.geometry import AxisOrder, Grid
from worlds.orders import ORDERS


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Draw a grid: any orientation, spacing 0.1 to 10 mm, shear up to a fifth, origin within a metre."""
    number = st.floats(-1, 1, allow_nan=False)
    noise = np.array(draw(st.lists(number, min_size=9, max_size=9))).reshape(3, 3)
    axes = np.linalg.qr(noise + 2 * np.eye(3))[0]
    shear = np.eye(3) + 0.2 * np.triu(noise, 1)
    spacing = np.array(draw(st.lists(st.floats(0.1, 10), min_size=3, max_size=3)))
    affine = np.eye(4)
    affine[:3, :3] = axes @ shear * spacing
    affine[:3, 3] = draw(st.lists(st.floats(-1000, 1000), min_size=3, max_size=3))
    shape = draw(st.tuples(*[st.integers(1, 130)] * 3))
    return Grid(shape, affine)


@settings(max_examples=200, deadline=None)
@given(grids())
def test_world_and_voxel_are_inverse(grid: Grid) -> None:
    corners = list(itertools.product(*[(0, n - 1) for n in grid.shape]))
    np.testing.assert_allclose(grid.to_voxel(grid.to_world(corners)), corners, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(grids(), st.sampled_from(ORDERS))
def test_reordering_moves_no_voxel(grid: Grid, order: AxisOrder) -> None:
    reordered = grid.reorder(order)
    index = np.indices(grid.shape, dtype=np.float32)[:, :: max(1, grid.shape[0] // 4)]
    labels = np.arange(grid.voxel_count).reshape(grid.shape)
    there = order.apply(labels)
    for probe in (0, grid.voxel_count // 3, grid.voxel_count - 1):
        old = np.argwhere(labels == probe)
        new = np.argwhere(there == probe)
        np.testing.assert_allclose(grid.to_world(old), reordered.to_world(new), atol=1e-6)
    np.testing.assert_array_equal(order.inverse().apply(there), labels)
    assert index.shape[0] == 3


@settings(max_examples=100, deadline=None)
@given(grids())
def test_ras_order_leaves_every_axis_nearest_to_its_direction(grid: Grid) -> None:
    reordered = grid.reorder(grid.to_ras())
    assert (np.diag(reordered.affine[:3, :3]) > 0).all()
    assert reordered.to_ras().is_identity


@pytest.mark.parametrize("order", ORDERS)
def test_orientation_names_the_axes(order: AxisOrder) -> None:
    ras = Grid((3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0]))
    name = ras.reorder(order).orientation
    expected = "".join(("LPI" if flip else "RAS")[axis] for axis, flip in zip(order.axes, order.flips, strict=True))
    assert name == expected


def test_crop_keeps_world_positions_and_may_pad() -> None:
    grid = Grid((10, 12, 14), np.diag([2.0, -3.0, 1.5, 1.0]))
    crop = grid.crop((-2, 3, 4), (5, 13, 9))
    assert crop.shape == (7, 10, 5)
    np.testing.assert_allclose(crop.to_world([[2, 0, 0]]), grid.to_world([[0, 3, 4]]))


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.diag([1.0, 1.0, 0.0, 1.0]),
        np.diag([1.0, 1.0, np.nan, 1.0]),
        np.diag([1.0, 1e-9, 1.0, 1.0]),
        np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.diag([1.0, 1.0, 1.0, 2.0]),
        np.eye(3),
    ],
)
def test_an_affine_that_places_nothing_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError) as caught:
        Grid((2, 2, 2), affine)
    assert caught.value.exit_status == 3


def test_the_border_of_the_scan_is_half_a_voxel_out() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    points = [[-0.5, 0, 0], [-0.51, 0, 0], [3.49, 0, 0], [3.5, 0, 0], [np.nan, 0, 0]]
    assert grid.contains(points).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LPI", "RAI", "SAR", "PIR", "IRP"])
def test_the_orientation_names_where_each_axis_points(axes: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(axes):
        row = next(row for row, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, axis] = 2.0 if letter in "RAS" else -2.0
    assert Grid((4, 5, 6), affine).orientation == axes
