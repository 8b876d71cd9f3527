"""Probabilities on the scan's voxels: those of interpolated logits, one structure at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from prosect.case import Case, Preparation
from prosect.geometry import Grid
from prosect.inference.accumulate import Slab
from prosect.inference.probabilities import Probabilities, ProbabilityPainter
from worlds.scans import smooth_noise


def painter(axis: int, linear: bool = True) -> tuple[Case, ProbabilityPainter, torch.Tensor]:
    """Return a case, a painter that has seen it whole, and the logits (q i j k) it saw."""
    volume = smooth_noise((13, 12, 9), np.diag([1.5, 1.4, 3.0, 1.0]))
    case = Case.prepare(volume, Preparation(spacing_mm=(2.0, 2.0, 2.0)))
    generator = torch.Generator().manual_seed(3)
    features = torch.randn((*case.grid.shape, 4), generator=generator)
    vectors = torch.randn((2, 4), generator=generator)
    taker = ProbabilityPainter(case, axis, vectors, (5, 9), linear)
    turned = features.movedim(axis, 0)
    for start in range(0, turned.shape[0], 3):
        taker.add(Slab(start, turned[start : start + 3]))
    return case, taker, (features @ vectors.T).movedim(3, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_they_are_the_sigmoid_of_interpolated_logits(axis: int) -> None:
    case, taker, logits = painter(axis)
    found = taker.result()
    assert (found.indices, found.grid) == ((5, 9), case.native)
    mesh = np.meshgrid(*(case.native_positions(each) for each in range(3)), indexing="ij")
    for index, row in zip((5, 9), logits.numpy(), strict=True):
        slow = ndimage.map_coordinates(row.astype(np.float64), mesh, order=1, mode="nearest")
        expected = 1 / (1 + np.exp(-slow))
        assert found.array(index).dtype == np.float32
        inside = case.order.apply(found.array(index)) != 0
        assert inside.mean() > 0.5
        np.testing.assert_allclose(case.order.apply(found.array(index))[inside], expected[inside], atol=1e-5)


def test_without_interpolation_they_are_those_of_the_nearest_voxel() -> None:
    case, taker, logits = painter(2, linear=False)
    expected = case.restore_nearest(logits[1].sigmoid().numpy())
    np.testing.assert_allclose(taker.result().array(9), expected, atol=1e-6)


def test_a_scan_that_shows_nothing_has_zeros() -> None:
    nothing = Probabilities.zero((1, 2), Grid((2, 3, 4), np.eye(4)))
    assert (nothing.indices, nothing.array(2).shape, nothing.array(1).any()) == ((1, 2), (2, 3, 4), False)
