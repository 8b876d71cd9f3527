"""The display copy shows every voxel where it is, and a painted box is what the session holds."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.server.view import nifti_chunks, nifti_size, stored_type, view_of, window_of
from prosect.volume import Volume

AXES = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Grids of any storage order, a little oblique."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    axes, signs = draw(st.sampled_from(AXES)), draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, column] = sign * draw(st.floats(0.5, 5.0))
        affine[(axis + 1) % 3, column] = draw(st.floats(-0.1, 0.1))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    return Grid(shape, affine)


@st.composite
def boxes(draw: st.DrawFn, grid: Grid) -> Box:
    """Boxes inside a grid that hold a voxel."""
    start, stop = [], []
    for count in grid.shape:
        low = draw(st.integers(0, count - 1))
        start.append(low)
        stop.append(draw(st.integers(low + 1, count)))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_painting_a_box_gives_what_showing_the_whole_scan_gives(data: st.DataObject) -> None:
    grid = data.draw(grids())
    limit = data.draw(st.integers(2, 9))
    view = view_of(grid, max_axis=limit, max_voxels=data.draw(st.integers(8, 500)))
    labels = np.random.default_rng(0).integers(0, 5, grid.shape).astype(np.uint8)
    box = data.draw(boxes(grid))
    painted = np.full(view.shape, 99, dtype=np.uint8)
    painted[view.box(box).slices] = view.labels(labels[box.slices], box)
    inside = np.zeros(grid.shape, dtype=bool)
    inside[box.slices] = True
    shown_inside = view.array(inside)
    np.testing.assert_array_equal(painted[shown_inside], view.array(labels)[shown_inside])
    assert (painted[~shown_inside] == 99).all()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_voxel_of_the_display_copy_lies_where_the_scan_has_it(data: st.DataObject) -> None:
    grid = data.draw(grids())
    view = view_of(grid, max_axis=data.draw(st.integers(2, 9)))
    index = np.indices(grid.shape)
    shown = np.stack([view.array(axis) for axis in index], axis=-1).reshape(-1, 3)
    places = np.indices(view.shape).reshape(3, -1).T
    in_view = places @ view.affine_ras[:3, :3].T + view.affine_ras[:3, 3]
    np.testing.assert_allclose(in_view, grid.to_world(shown), atol=1e-9)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_the_display_copy_keeps_its_limits_and_its_axes_run_to_right_front_and_head(data: st.DataObject) -> None:
    view = view_of(data.draw(grids()), max_axis=4, max_voxels=30)
    assert max(view.shape) <= 4
    assert np.prod(view.shape) <= 30
    assert Grid(view.shape, view.affine_ras).orientation == "RAS"


def test_nibabel_reads_the_display_copy_with_its_values_and_places() -> None:
    affine = np.diag([-0.7, -0.7, 3.0, 1.0])
    affine[:3, 3] = (80.5, -12.25, 301.0)
    array = np.arange(5 * 6 * 20, dtype=np.float32).reshape(5, 6, 20) - 300
    volume = Volume(array, Grid(array.shape, affine), "CT")
    view = view_of(volume.grid)
    content = b"".join(nifti_chunks(volume, view, stored_type(volume, view)))
    image = nib.Nifti1Image.from_stream(io.BytesIO(content))
    assert len(content) == nifti_size(view, stored_type(volume, view))
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(image.dataobj), view.array(array))
    np.testing.assert_allclose(image.affine, view.affine_ras, atol=1e-4)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")


def test_intensities_that_are_no_whole_numbers_stay_as_they_are() -> None:
    array = np.random.default_rng(1).normal(0, 3, (4, 4, 4)).astype(np.float32)
    volume = Volume(array, Grid(array.shape, np.eye(4)))
    view = view_of(volume.grid)
    image = nib.Nifti1Image.from_stream(io.BytesIO(b"".join(nifti_chunks(volume, view, stored_type(volume, view)))))
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (-32768.0, True),
        (32767.0, True),
        (32768.0, False),
        (-32769.0, False),
        (65536.0, False),
        (0.5, False),
        (1e30, False),
    ],
)
def test_the_smaller_type_is_taken_only_where_every_value_fits(value: float, fits: bool) -> None:
    array = np.zeros((3, 4, 5), dtype=np.float32)
    array[1, 2, 4] = value
    volume = Volume(array, Grid(array.shape, np.eye(4)))
    assert stored_type(volume, view_of(volume.grid)) == (np.dtype("<i2") if fits else np.dtype("<f4"))


def test_a_ct_is_shown_as_soft_tissue_and_anything_else_as_its_values_lie() -> None:
    array = np.linspace(0, 1000, 1000, dtype=np.float32).reshape(10, 10, 10)
    grid = Grid(array.shape, np.eye(4))
    assert window_of(Volume(array, grid, "CT")) == (-160, 240)
    low, high = window_of(Volume(array, grid, "MR"))
    assert (low, high) == pytest.approx(tuple(np.percentile(array[array != 0], (1, 99))), rel=1e-6)
    assert window_of(Volume(np.zeros((3, 3, 3)), Grid((3, 3, 3), np.eye(4)))) == (0, 1)
