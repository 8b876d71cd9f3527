"""The working grid: never finer than the scan, never more cells than allowed, and the same however it is stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sv_scans import ORDERS, torso

from prosect.geometry import Grid
from prosect.resample import respaced_grid
from prosect.supervoxels.working import CELLS, Working, working_spacing
from prosect.volume import Volume
from worlds.orders import stored


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 600)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 8)] * 3),
    cells=st.integers(1, 10**6),
)
def test_the_grid_has_no_more_cells_than_allowed_and_is_as_fine_as_it_can(shape, spacing, cells) -> None:
    grid = Grid(shape, np.diag([*spacing, 1.0]))
    found = working_spacing(grid, cells)
    assert respaced_grid(grid, found).voxel_count <= cells
    assert all(new >= old - 1e-9 for new, old in zip(found, grid.spacing_mm, strict=True))
    if found == grid.spacing_mm:
        return
    shared = {mm for mm, own in zip(found, grid.spacing_mm, strict=True) if mm != own}
    assert len(shared) == 1
    finer = tuple(max(own, shared_mm - 0.011) for own in grid.spacing_mm for shared_mm in shared)
    assert respaced_grid(grid, finer).voxel_count > cells


def test_a_small_scan_keeps_its_voxels() -> None:
    working = Working.of(torso())
    assert working.shape == torso().grid.shape
    assert working_spacing(torso().grid) == torso().grid.spacing_mm


def test_a_whole_torso_has_the_stated_cells() -> None:
    grid = Grid((512, 512, 300), np.diag([0.8, 0.8, 1.0, 1.0]))
    spacing = working_spacing(grid)
    assert spacing == pytest.approx((2.3, 2.3, 2.3), abs=0.02)
    assert 0.97 * CELLS < respaced_grid(grid, spacing).voxel_count <= CELLS


@pytest.mark.parametrize("order", ORDERS)
def test_the_grid_does_not_depend_on_how_the_scan_is_stored(order) -> None:
    one, other = Working.of(torso(), 3000), Working.of(stored(torso(), order), 3000)
    assert one.shape == other.shape
    assert np.allclose(one.grid.affine, other.grid.affine)
    assert np.array_equal(one.case.image, other.case.image)


def test_another_scan_is_seen_in_a_window_of_its_own() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(500, 100, (20, 20, 20)).astype(np.float32)
    array[0, 0, 0] = 30000
    volume = Volume(array, Grid(array.shape, np.eye(4)))
    twice = Volume(array * 2 + 7, volume.grid)
    image = Working.of(volume).case.image
    assert 0.4 < float(image.mean()) < 0.6
    assert np.allclose(Working.of(twice).case.image, image, atol=1e-5)
