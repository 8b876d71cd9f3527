"""A brush takes the voxels that a person sees under it, and no others."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.geometry import Grid
from prosect.server.brush import Stroke, rasterise
from prosect.server.view import view_of

GRID = Grid((20, 24, 10), np.array([[0, -1.5, 0, 30], [1, 0, 0, -5], [0, 0, 4, 0], [0, 0, 0, 1]], dtype=float))


def slow_twin(stroke: Stroke, grid: Grid) -> np.ndarray:
    """Every voxel of the scan against every segment of the path."""
    inside = np.zeros(grid.shape, dtype=bool)
    ends = [*stroke.path, stroke.path[-1]]
    for voxel in np.ndindex(*grid.shape):
        place = grid.to_world([voxel])[0]
        for begin, end in itertools.pairwise(ends):
            along = np.subtract(end, begin)
            share = np.clip((place - begin) @ along / max(along @ along, 1e-30), 0, 1)
            if np.linalg.norm(place - begin - share * along) <= stroke.radius_mm:
                inside[voxel] = True
    return inside


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 23), st.integers(0, 9)), min_size=1, max_size=4),
    st.floats(0.1, 8),
)
@settings(max_examples=15, deadline=None)
def test_a_brush_without_a_plane_takes_all_within_its_radius(path: list[tuple[int, int, int]], radius: float) -> None:
    points = GRID.to_world(np.asarray(path, dtype=float))
    stroke = Stroke("x", tuple(map(tuple, points.tolist())), radius, None)
    box, bits = rasterise(stroke, GRID, view_of(GRID))
    found = np.zeros(GRID.shape, dtype=bool)
    found[box.slices] = bits
    expected = slow_twin(stroke, GRID)
    for voxel in path:
        expected[voxel] = True
    np.testing.assert_array_equal(found, expected)


def test_in_a_plane_neighbouring_planes_stay_as_they_are() -> None:
    middle = tuple(GRID.to_world([[10.0, 12.0, 5.2]])[0].tolist())
    box, bits = rasterise(Stroke("x", (middle,), 5.0, axis=2), GRID, view_of(GRID))
    assert (box.start[2], box.stop[2]) == (5, 6)
    assert bits.sum() > 20


def test_a_brush_thinner_than_a_voxel_still_takes_the_voxel_under_it() -> None:
    place = tuple(GRID.to_world([[3.4, 4.4, 5.4]])[0].tolist())
    box, bits = rasterise(Stroke("x", (place,), 0.01, axis=0), GRID, view_of(GRID))
    (voxel,) = np.argwhere(bits) + box.start
    assert voxel.tolist() == [3, 4, 5]
