"""Into network space and back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from prosect.case import Case, Intensity, Preparation
from prosect.errors import PromptError
from prosect.geometry import AxisOrder, Grid
from prosect.resample import resample_affine, resample_separable, respaced_grid
from prosect.volume import Volume
from worlds.orders import ORDERS, stored
from worlds.scans import smooth_noise


def volume(shape: tuple[int, int, int] = (20, 17, 13), spacing: tuple[float, ...] = (1.1, 0.9, 2.3)) -> Volume:
    """Return a smooth random scan in RAS."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-12, 30, 7)
    return smooth_noise(shape, affine, mean=0, spread=400, sigma_vox=1)


def test_48_storage_orders_give_one_network_input_and_go_back_to_their_own() -> None:
    scan = volume()
    wanted = Case.prepare(scan, Preparation())
    labels = np.random.default_rng(1).integers(0, 5, wanted.grid.shape).astype(np.uint8)
    restored = wanted.restore_nearest(labels)
    for order in ORDERS:
        case = Case.prepare(stored(scan, order), Preparation())
        assert torch.equal(case.image, wanted.image)
        np.testing.assert_array_equal(case.restore_nearest(labels), order.apply(restored))


def test_at_equal_spacing_labels_come_back_bit_for_bit() -> None:
    scan = stored(volume(spacing=(1.5, 1.5, 1.5)), ORDERS[13])
    case = Case.prepare(scan, Preparation())
    labels = np.random.default_rng(1).integers(0, 300, case.grid.shape).astype(np.uint16)
    back = case.restore_nearest(labels)
    np.testing.assert_array_equal(case.order.apply(back), labels)


@pytest.mark.parametrize("reorient_first", [True, False])
@pytest.mark.parametrize("order", ORDERS[::7])
def test_a_point_keeps_its_place(reorient_first: bool, order: AxisOrder) -> None:
    scan = volume()
    scan.array[:] = -1000
    scan.array[11, 6, 8] = 1000
    turned = stored(scan, order)
    case = Case.prepare(turned, Preparation((1.0, 1.0, 1.0), reorient_first=reorient_first))
    world = scan.grid.to_world([[11, 6, 8]])
    found = np.argwhere(case.image[0, 0].numpy() == float(case.image.max()))[:1]
    assert np.abs(case.grid.to_world(found) - world).max() <= 1.2
    np.testing.assert_allclose(case.to_network(world), case.grid.to_voxel(world), atol=1e-9)
    index = np.argwhere(turned.array == turned.array.max())[0]
    in_order = np.argwhere(case.order.apply(turned.array) == turned.array.max())[0]
    np.testing.assert_allclose(
        case.to_prepared[:3, :3] @ in_order + case.to_prepared[:3, 3], case.to_network(world)[0], atol=1e-6
    )
    assert index.shape == (3,)


def test_a_sheared_scan_is_prepared_orthogonally_and_labelled_in_place() -> None:
    affine = np.array([[1.5, 0, 0.4, 3], [0, 1.5, 0, -4], [0, 0, 2.0, 10], [0, 0, 0, 1.0]])
    array = np.full((40, 36, 30), -1000, dtype=np.float32)
    array[22:30, 8:20, 6:22] = 500
    scan = Volume(array, Grid(array.shape, affine))
    case = Case.prepare(scan, Preparation())
    assert scan.grid.shear > 0.1
    assert case.grid.shear < 1e-9
    assert not case.is_separable
    back = case.restore_nearest((case.image[0, 0].numpy() > 0.4).astype(np.uint8))
    truth = array > 0
    assert 2 * (back.astype(bool) & truth).sum() / (back.sum() + truth.sum()) > 0.95


def test_cropping_keeps_content_and_fills_the_rest_with_background() -> None:
    scan = volume(shape=(60, 50, 40), spacing=(1.5, 1.5, 1.5))
    scan.array[:] = -1000
    scan.array[25:35, 20:30, 30:35] = 100
    case = Case.prepare(scan, Preparation(crop_above=0.0, crop_margin=3))
    assert case.grid.shape == (16, 16, 11)
    back = case.restore_nearest(np.ones(case.grid.shape, dtype=np.uint8))
    assert back[22:38, 17:33, 27:38].all()
    assert back.sum() == 16 * 16 * 11


def test_a_volume_without_content_is_kept_whole() -> None:
    scan = volume()
    scan.array[:] = -1000
    case = Case.prepare(scan, Preparation(crop_above=0.0))
    assert case.grid.shape == respaced_grid(scan.grid, (1.5, 1.5, 1.5)).shape
    assert not case.image.any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 3), (2, 130, 2), (1, 7, 1)])
def test_tiny_scans_go_there_and_back(shape: tuple[int, int, int]) -> None:
    scan = Volume(np.ones(shape, dtype=np.float32), Grid(shape, np.diag([3.0, 1.0, 0.4, 1.0])))
    case = Case.prepare(scan, Preparation())
    assert case.restore_nearest(np.ones(case.grid.shape, dtype=np.uint8)).shape == shape


def test_intensities_are_windowed_or_taken_by_percentile() -> None:
    values = torch.tensor([-2000.0, -963.8247715525971, 44.9268531659, 1053.678477684517, 3000.0])
    torch.testing.assert_close(Intensity().scale(values.clone()), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    ramp = torch.arange(101.0)
    scaled = Intensity("percentile", 1, 99).scale(ramp.clone())
    torch.testing.assert_close(scaled, ((ramp - 1) / 98).clamp(0, 1))
    assert not Intensity("percentile", 1, 99).scale(torch.full((4,), 7.0)).any()


@pytest.mark.parametrize("point", [(-13.0, 30, 7), (1e9, 0, 0), (np.nan, 0, 0)])
def test_a_point_outside_the_scan_is_refused_with_its_bounds(point: tuple[float, ...]) -> None:
    case = Case.prepare(volume(), Preparation())
    with pytest.raises(PromptError, match=r"\(19, 16, 12\)"):
        case.to_network(np.array([point]))


@pytest.mark.parametrize("spacing", [(0.5, 3.0, 1.5), (5.0, 0.9, 2.3), (1.1, 0.9, 2.3)])
def test_separable_resampling_equals_trilinear_interpolation_point_by_point(
    spacing: tuple[float, float, float],
) -> None:
    scan = volume()
    grid = respaced_grid(scan.grid, spacing)
    ratio = tuple(n / o for n, o in zip(spacing, scan.grid.spacing_mm, strict=True))
    found = resample_separable(scan.array, ratio, grid.shape).numpy()
    points = scan.grid.to_voxel(grid.to_world(np.indices(grid.shape).reshape(3, -1).T)).T
    expected = ndimage.map_coordinates(scan.array, points, order=1, mode="nearest").reshape(grid.shape)
    np.testing.assert_allclose(found, expected, atol=2e-2)
    inside = ((points.T >= 0) & (np.asarray(scan.grid.shape) - 1 >= points.T)).all(axis=1).reshape(grid.shape)
    matrix = np.linalg.solve(scan.grid.affine, grid.affine)
    general = resample_affine(scan.array, matrix, grid.shape).numpy()
    np.testing.assert_allclose(general[inside], expected[inside], atol=0.1)


@pytest.mark.parametrize("spacing", [0.7, 1.5, 2.0])
def test_resampling_does_not_move_a_sphere(spacing: float) -> None:
    grid = Grid((50, 50, 50), np.diag([1.0, 1.2, 0.9, 1.0]))
    world = grid.to_world(np.indices(grid.shape).reshape(3, -1).T).reshape(*grid.shape, 3)
    distance = np.linalg.norm(world - (25.3, 28.1, 22.7), axis=-1)
    sphere = (100 * np.clip(13 - distance, 0, 1)).astype(np.float32)
    case = Case.prepare(Volume(sphere, grid), Preparation((spacing,) * 3, Intensity("window", 0, 100)))
    weight = case.image[0, 0].numpy().astype(np.float64)
    index = np.indices(case.grid.shape).reshape(3, -1).T
    centre = case.grid.to_world((index * weight.reshape(-1, 1)).sum(axis=0) / weight.sum())
    np.testing.assert_allclose(centre, (25.3, 28.1, 22.7), atol=0.05)


@pytest.mark.parametrize("reorient_first", [True, False])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_the_shape_of_a_case_is_known_before_the_scan_is_prepared(axes: tuple[int, ...], reorient_first: bool) -> None:
    order = AxisOrder(axes, (True, False, True))  # type: ignore[arg-type]
    grid = Grid((9, 11, 6), np.diag([0.8, 1.3, 2.9, 1.0]))
    scan_grid = grid.reorder(order)
    volume = Volume(np.zeros(scan_grid.shape, dtype=np.float32), scan_grid)
    preparation = Preparation((1.0, 1.5, 2.0), reorient_first=reorient_first)
    assert Case.shape_for(volume.grid, preparation) == Case.prepare(volume, preparation).grid.shape
