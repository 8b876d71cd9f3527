"""Patches resampled one by one show what a scan made ready as a whole shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect.case import Case, Intensity, Placement, Preparation
from prosect.geometry import Grid
from prosect.inference.patch_images import PaddedImage, ResampledImage
from prosect.inference.windows import plan_windows
from prosect.volume import Volume
from worlds.orders import ORDERS, stored

PATCH = (16, 16, 16)
PLAIN = Intensity("window", -1000.0, 1000.0)
SHEARED = np.array([[1.4, 0.3, 0, 5], [0, 1.5, 0, -9], [0, 0.2, 2.0, 40], [0, 0, 0, 1.0]])


def scan(affine: np.ndarray | None = None, shape: tuple[int, int, int] = (50, 44, 30)) -> Volume:
    """Return a scan of noise."""
    grid = Grid(shape, np.diag([1.4, 1.5, 2.0, 1.0]) if affine is None else affine)
    return Volume(np.random.default_rng(1).normal(0, 300, shape).astype(np.float32), grid)


def resampled(volume: Volume, spacing_mm: float) -> tuple[ResampledImage, Placement]:
    """Return patches of a scan at a spacing."""
    placement = Placement.spaced(volume.grid, (spacing_mm,) * 3)
    plan = plan_windows(placement.grid.shape, PATCH, 0.25)
    return ResampledImage(volume.array, placement, plan, PLAIN, torch.device("cpu")), placement


@pytest.mark.parametrize("affine", [None, np.diag([-1.4, 1.5, 2.0, 1.0])])
@pytest.mark.parametrize("spacing", [0.9, 1.7, 2.5])
def test_a_patch_is_that_of_the_whole_scan(affine: np.ndarray | None, spacing: float) -> None:
    volume = scan(affine)
    case = Case.prepare(volume, Preparation((spacing,) * 3, PLAIN))
    plan = plan_windows(case.grid.shape, PATCH, 0.25)
    whole = PaddedImage(case, plan, "replicate")
    each, placement = resampled(volume, spacing)
    assert placement.grid == case.grid
    for start in ((0, 0, 0), (5, 3, 1), tuple(n - 16 for n in plan.padded)):
        expected, found = whole.patch(start), each.patch(start)  # type: ignore[arg-type]
        assert found.shape == (1, 1, *PATCH)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_a_sheared_scan_shows_the_same_too() -> None:
    volume = scan(SHEARED)
    case = Case.prepare(volume, Preparation((2.5,) * 3, PLAIN))
    plan = plan_windows(case.grid.shape, PATCH, 0.25)
    each, placement = resampled(volume, 2.5)
    assert placement.grid == case.grid
    torch.testing.assert_close(
        each.patch((4, 3, 2)), PaddedImage(case, plan, "replicate").patch((4, 3, 2)), atol=1e-4, rtol=0
    )


def test_a_coarse_patch_averages_what_one_voxel_spans() -> None:
    shape = (64, 64, 64)
    striped = np.zeros(shape, dtype=np.float32)
    striped[::2] = 1000
    volume = Volume(striped, Grid(shape, np.eye(4)))
    patch = resampled(volume, 4.0)[0].patch((0, 0, 0))
    inner = patch[0, 0, 1:-1]
    assert torch.allclose(inner, torch.full_like(inner, 0.75), atol=0.06), "every second voxel would be picked as 1"


def test_an_even_scan_stays_even_beyond_its_border() -> None:
    shape = (12, 12, 12)
    volume = Volume(np.full(shape, 500, dtype=np.float32), Grid(shape, np.eye(4)))
    patch = resampled(volume, 3.0)[0].patch((0, 0, 0))
    assert torch.allclose(patch, torch.full_like(patch, 0.75))


@pytest.mark.parametrize("order", ORDERS[:6], ids=str)
def test_the_order_of_storage_does_not_show(order: object) -> None:
    volume = scan()
    expected = resampled(volume, 3.1)[0].patch((0, 0, 0))
    found = resampled(stored(volume, order), 3.1)[0].patch((0, 0, 0))  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
