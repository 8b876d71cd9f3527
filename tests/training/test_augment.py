"""Changes of intensity leave a patch a patch: its shape, its range, and, where asked, the order of its intensities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.training.augment import augment_intensities, remap_intensities


class Scripted:
    """A generator that decides as it is told, and draws what lies in the middle of every range."""

    def __init__(self, decisions: Sequence[bool]) -> None:
        self.decisions = list(decisions)

    def random(self) -> float:
        return 0.0 if self.decisions.pop(0) else 1.0

    def uniform(self, low: float, high: float, count: int | None = None) -> Any:
        middle = (low + high) / 2
        return middle if count is None else np.full(count, middle)

    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> Any:
        return np.ones(shape, dtype=dtype)


def augmented(image: Tensor, *on: int) -> Tensor:
    """Return a patch with some of the five changes: scale, gamma, blur, low resolution, noise."""
    script: Any = Scripted([n in on for n in range(5)])
    return augment_intensities(image, script)


@pytest.fixture
def patch() -> Tensor:
    """Return a patch (1 1 i j k) of smooth values in [0, 1]."""
    rough = torch.from_numpy(np.random.default_rng(0).random((1, 1, 3, 3, 3), dtype=np.float32))
    return F.interpolate(rough, size=(12, 10, 8), mode="trilinear", align_corners=True)


def test_without_any_change_a_patch_is_only_kept_in_range() -> None:
    image = torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5]).view(1, 1, 5, 1, 1)
    assert augmented(image).flatten().tolist() == [0.0, 0.0, 0.25, 1.0, 1.0]


def test_the_middle_of_every_scale_is_no_change(patch: Tensor) -> None:
    torch.testing.assert_close(augmented(patch, 0), patch)


def test_a_gamma_keeps_black_white_and_the_order_between(patch: Tensor) -> None:
    ramp = torch.linspace(0, 1, 50).view(1, 1, 50, 1, 1)
    changed = augmented(ramp, 1).flatten()
    assert (float(changed[0]), float(changed[-1])) == (0.0, 1.0)
    assert bool((changed.diff() > 0).all())
    torch.testing.assert_close(changed, ramp.flatten() ** 1.05)


def test_a_blur_is_the_mean_of_27_voxels_and_keeps_what_is_even(patch: Tensor) -> None:
    blurred = augmented(patch, 2)
    assert float(blurred[0, 0, 5, 5, 5]) == pytest.approx(float(patch[0, 0, 4:7, 4:7, 4:7].mean()), rel=1e-5)
    even = torch.full_like(patch, 0.4)
    torch.testing.assert_close(augmented(even, 2), even)


def test_a_low_resolution_repeats_voxels_and_changes_no_size(patch: Tensor) -> None:
    coarse = augmented(patch, 3)
    assert coarse.shape == patch.shape
    values = len(torch.unique(coarse))
    assert values <= 9 * 7 * 6, "three quarters of the voxels along each axis"
    assert values < len(torch.unique(patch))


def test_noise_is_at_most_a_twentieth_of_the_range(patch: Tensor) -> None:
    noisy = augmented(patch * 0.5 + 0.2, 4)
    torch.testing.assert_close(noisy, patch * 0.5 + 0.225)


@pytest.mark.parametrize("seed", range(12))
def test_every_draw_keeps_shape_type_and_range_and_one_seed_is_one_result(patch: Tensor, seed: int) -> None:
    for change in (augment_intensities, remap_intensities):
        first, second = (change(patch, np.random.default_rng(seed)) for _ in range(2))
        assert torch.equal(first, second)
        assert (first.shape, first.dtype) == (patch.shape, torch.float32)
        assert (float(first.min()) >= 0, float(first.max()) <= 1) == (True, True)
        assert bool(torch.isfinite(first).all())


def test_seeds_differ_and_the_patch_itself_stays_as_it_is(patch: Tensor) -> None:
    before = patch.clone()
    drawn = [augment_intensities(patch, np.random.default_rng(seed)) for seed in range(8)]
    assert torch.equal(patch, before)
    different = sum(not torch.equal(a, b) for a, b in pairwise(drawn))
    assert different >= 6


def test_a_remapped_patch_is_read_off_a_curve_of_straight_pieces(patch: Tensor) -> None:
    """The slow twin reads the curve by numpy."""
    for seed in range(6):
        generator = np.random.default_rng(seed)
        knots = int(generator.integers(3, 8))
        heights = generator.uniform(0, 1, knots).astype(np.float32)
        expected = np.interp(patch.numpy(), np.linspace(0, 1, knots), heights)
        found = remap_intensities(patch, np.random.default_rng(seed)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_intensities_stay_equal_when_they_are_remapped() -> None:
    labels = torch.tensor([0.1, 0.1, 0.9, 0.9, 0.5]).view(1, 1, 5, 1, 1)
    for seed in range(20):
        a, b, c, d, _ = remap_intensities(labels, np.random.default_rng(seed)).flatten().tolist()
        assert (a, c) == (b, d)


def test_the_ends_of_the_range_are_the_ends_of_the_curve() -> None:
    ends = torch.tensor([-3.0, 0.0, 1.0, 7.0]).view(1, 1, 4, 1, 1)
    generator = np.random.default_rng(5)
    heights = generator.uniform(0, 1, int(generator.integers(3, 8)))
    found = remap_intensities(ends, np.random.default_rng(5)).flatten().tolist()
    generator = np.random.default_rng(5)
    heights = generator.uniform(0, 1, int(generator.integers(3, 8))).astype(np.float32)
    assert found == pytest.approx([heights[0], heights[0], heights[-1], heights[-1]], abs=1e-6)
