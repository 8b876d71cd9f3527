"""Augmentation stays in range, follows its generator alone and keeps what a network must learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prosect.training.augment import augment_intensities, remap_intensities

few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 10**6)


def image(seed: int = 0) -> Tensor:
    """Return a patch of two halves with a little texture."""
    patch = torch.full((1, 1, 8, 9, 10), 0.3)
    patch[:, :, 4:] = 0.7
    return patch + 0.02 * torch.randn(patch.shape, generator=torch.Generator().manual_seed(seed))


@few
@given(seeds)
def test_shape_type_and_range_stay(seed: int) -> None:
    for change in (augment_intensities, remap_intensities):
        found = change(image(), np.random.default_rng(seed))
        assert found.shape == image().shape
        assert found.dtype == torch.float32
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        assert bool(torch.isfinite(found).all())


@few
@given(seeds)
def test_one_generator_is_one_change_and_the_image_stays_as_it_was(seed: int) -> None:
    for change in (augment_intensities, remap_intensities):
        before = image()
        first = change(before, np.random.default_rng(seed))
        assert torch.equal(change(before, np.random.default_rng(seed)), first)
        assert torch.equal(before, image())


def test_changes_differ_from_draw_to_draw_and_often_there_is_none_of_a_kind() -> None:
    found = [augment_intensities(image(), np.random.default_rng(seed)) for seed in range(40)]
    untouched = sum(torch.equal(each, image()) for each in found)
    assert 2 <= untouched < 20, "about one in seven stays as it is"
    assert len({float(each.mean()) for each in found}) > 20


def test_the_brighter_half_stays_the_brighter_one() -> None:
    for seed in range(40):
        found = augment_intensities(image(), np.random.default_rng(seed))
        assert float(found[:, :, 5:].mean()) > float(found[:, :, :3].mean()) + 0.15


@few
@given(seeds)
def test_a_remapped_patch_is_a_function_of_the_intensity_alone(seed: int) -> None:
    plain = image().clamp(0, 1).flatten()
    found = remap_intensities(image(), np.random.default_rng(seed)).flatten()
    shuffled = torch.randperm(len(plain), generator=torch.Generator().manual_seed(0))
    other = remap_intensities(image().flatten()[shuffled].view(1, 1, 8, 9, 10), np.random.default_rng(seed)).flatten()
    torch.testing.assert_close(other, found[shuffled])


@few
@given(seeds)
def test_the_curve_is_continuous_and_piecewise_linear(seed: int) -> None:
    steps = torch.linspace(0, 1, 3361).view(1, 1, 1, 1, -1)
    heights = remap_intensities(steps, np.random.default_rng(seed)).flatten()
    slopes = heights.diff()
    bends = (slopes.diff().abs() > 1e-5).nonzero().flatten()
    # Seven knots at most leave five bends; each is seen in at most two second differences.
    assert len(bends) <= 2 * 5
    assert float(slopes.abs().max()) <= 6 / 3360 + 1e-4, "no jump"


def test_curves_rise_fall_and_do_neither() -> None:
    steps = torch.linspace(0, 1, 50).view(1, 1, 1, 1, -1)
    kinds = set()
    for seed in range(80):
        heights = remap_intensities(steps, np.random.default_rng(seed)).flatten()
        slopes = heights.diff()
        if bool((slopes >= 0).all()):
            kinds.add("rising")
        elif bool((slopes <= 0).all()):
            kinds.add("falling")
        else:
            kinds.add("neither")
    assert kinds == {"rising", "falling", "neither"}


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_even_patch_stays_even_but_for_noise(value: float) -> None:
    even = torch.full((1, 1, 6, 6, 6), value)
    for seed in range(20):
        assert float(remap_intensities(even, np.random.default_rng(seed)).std()) == pytest.approx(0, abs=1e-6)
        assert float(augment_intensities(even, np.random.default_rng(seed)).std()) <= 0.06
