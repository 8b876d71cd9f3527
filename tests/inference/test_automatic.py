"""Labels on the scan's grid equal the slow answer: interpolate every logit everywhere, then decide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from prosect.case import Case, Preparation
from prosect.geometry import Grid
from prosect.inference.accumulate import Slab
from prosect.inference.automatic import Classes, NativePainter, NearestPainter, decide
from prosect.volume import Volume

VALUES = (7, 300, 12)


def case_of(shape: tuple[int, int, int], spacing: tuple[float, float, float], crop: float | None = None) -> Case:
    """Return a case of an LPS scan with content in its middle."""
    array = np.full(shape, -1000, dtype=np.float32)
    array[tuple(slice(n // 4, -(n // 4) or None) for n in shape)] = 100
    return Case.prepare(Volume(array, Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1]))), Preparation(
        crop_above=crop, crop_margin=1
    ))  # fmt: skip


def classes(tiers: tuple[int, ...] = (0, 0, 0), count: int = 3) -> Classes:
    """Return class vectors over four channels."""
    torch.manual_seed(2)
    return Classes(torch.randn(count, 4), VALUES[:count], tiers[:count])


def smooth_features(case: Case) -> torch.Tensor:
    """Return features (c i j k) on the network grid."""
    noise = np.random.default_rng(5).normal(size=(4, *case.grid.shape))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 1.2, 1.2, 1.2)).astype(np.float32))


def feed(painter: NativePainter | NearestPainter, features: torch.Tensor, axis: int, cuts: list[int]) -> np.ndarray:
    """Hand features over in slabs and return the labels."""
    planes = features.movedim(0, -1).movedim(axis, 0)
    for start, stop in zip([0, *cuts], [*cuts, planes.shape[0]], strict=True):
        if stop > start:
            painter.add(Slab(start, planes[start:stop].contiguous()))
    return painter.result()


def slow_decision(logits: np.ndarray, tiers: tuple[int, ...], values: tuple[int, ...] = VALUES) -> np.ndarray:
    """Return the value of the winner: highest positive tier first, then largest logit; a rival (0) leaves what is."""
    out = np.zeros(logits.shape[1:], dtype=np.uint16)
    for tier in sorted(set(tiers)):
        members = [n for n, t in enumerate(tiers) if t == tier]
        best = logits[members].max(axis=0)
        winner = np.array([values[n] for n in members])[logits[members].argmax(axis=0)]
        out = np.where((best > 0) & (winner > 0), winner, out)
    return out


def slow_labels(case: Case, features: torch.Tensor, chosen: Classes) -> np.ndarray:
    """Interpolate every logit at every voxel of the scan, then decide."""
    logits = torch.einsum("qc,cijk->qijk", chosen.vectors, features).numpy().astype(np.float64)
    index = np.indices(case.native_shape).reshape(3, -1)
    points = case.to_prepared[:3, :3] @ index + case.to_prepared[:3, 3:]
    at = np.stack([ndimage.map_coordinates(q, points, order=1, mode="nearest") for q in logits])
    size = np.asarray(case.grid.shape)[:, None]
    inside = ((points >= -0.5) & (points <= size - 0.5)).all(axis=0)
    labels = np.where(inside, slow_decision(at, chosen.tiers, chosen.values), 0).reshape(case.native_shape)
    return np.ascontiguousarray(case.order.inverse().apply(labels))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("tiers", [(0, 0, 0), (0, 1, -1)])
@pytest.mark.parametrize(
    ("shape", "spacing", "crop"),
    [((24, 22, 9), (0.8, 0.7, 3.1), None), ((14, 15, 16), (2.0, 2.2, 1.5), 0.0), ((9, 1, 12), (1.0, 1.0, 0.6), None)],
)
def test_native_labels_equal_the_slow_answer(
    axis: int,
    tiers: tuple[int, ...],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    crop: float | None,
) -> None:
    case, chosen = case_of(shape, spacing, crop), classes(tiers)
    features = smooth_features(case)
    size = case.grid.shape[axis]
    found = feed(NativePainter(case, axis, chosen, np.uint16), features, axis, sorted({min(1, size), size // 2}))
    expected = slow_labels(case, features, chosen)
    assert found.shape == shape
    assert len(np.unique(expected)) >= 3
    assert (found != expected).mean() <= 1e-3  # ties within rounding


def test_nearest_labels_take_the_nearest_network_voxel() -> None:
    case, chosen = case_of((15, 11, 10), (1.1, 2.0, 1.3)), classes()
    features = smooth_features(case)
    found = feed(NearestPainter(case, 0, chosen, np.uint16), features, 0, [3])
    labels = slow_decision(torch.einsum("qc,cijk->qijk", chosen.vectors, features).numpy(), chosen.tiers)
    np.testing.assert_array_equal(found, case.restore_nearest(labels))


def test_a_higher_tier_covers_and_a_lower_one_yields() -> None:
    logits = torch.tensor([[5.0, 5.0, -1.0, -1.0], [0.1, -0.1, -0.1, -0.1], [9.0, 9.0, 9.0, -9.0]])
    assert decide(logits, (0, 1, -1)).tolist() == [2, 1, 3, 0]
    assert decide(logits, (0, 0, 0)).tolist() == [3, 3, 3, 0]


def test_a_rival_wins_voxels_of_its_tier_and_leaves_the_body_around_it() -> None:
    logits = torch.tensor([[5.0, 1.0, 5.0, -1.0], [1.0, 5.0, 5.5, -1.0], [9.0, 9.0, -1.0, 9.0]])
    chosen = Classes(torch.eye(3), (7, 0, 9), (0, 0, -1))
    codes = decide(logits, chosen.tiers, chosen.values)
    assert chosen.labels(codes, np.uint16).tolist() == [7, 9, 0, 9]


@pytest.mark.parametrize("axis", [0, 2])
def test_native_labels_among_rivals_equal_the_slow_answer(axis: int) -> None:
    case = case_of((24, 22, 9), (0.8, 0.7, 3.1))
    torch.manual_seed(4)
    chosen = Classes(torch.randn(6, 4), (7, 0, 9, 0, 3, 0), (0, 0, -1, 0, 1, -1))
    features = smooth_features(case)
    found = feed(NativePainter(case, axis, chosen, np.uint16), features, axis, [2])
    expected = slow_labels(case, features, chosen)
    assert len(np.unique(expected)) == 4
    assert (found == expected).mean() > 0.9995, "but for ties of rounding"


def test_one_class_is_its_sign() -> None:
    assert decide(torch.tensor([[0.5, 0.0, -0.5]]), (0,)).tolist() == [1, 0, 0]
