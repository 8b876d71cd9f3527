"""Windows cover the volume; the slab sweep equals blending the whole volume at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prosect.inference.accumulate import pad_volume, sweep
from prosect.inference.windows import WindowPlan, blend_weights, fit_window, plan_windows

SHAPES = st.tuples(*[st.integers(1, 23)] * 3)
WINDOWS = st.tuples(*[st.sampled_from([4, 6, 8])] * 3)


def slow_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return window starts as the specification words them: step until the end is reached, shift the last back."""
    if size <= window:
        return [0]
    step, starts = int(window * (1 - overlap)), [0]
    while starts[-1] + window < size:
        starts.append(starts[-1] + step)
    starts[-1] = size - window
    return starts


@settings(max_examples=100, deadline=None)
@given(SHAPES, WINDOWS, st.sampled_from([0.0, 0.25, 0.5, 0.625]))
def test_windows_are_placed_as_specified_and_cover_everything(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    plan = plan_windows(shape, window, overlap)
    for axis in range(3):
        assert list(plan.starts[axis]) == slow_starts(plan.padded[axis], window[axis], overlap)
        covered = {p for s in plan.starts[axis] for p in range(s, s + window[axis])}
        assert covered == set(range(plan.padded[axis]))
        assert plan.pad_before[axis] + plan.shape[axis] + plan.pad_after[axis] == plan.padded[axis]


@pytest.mark.parametrize(
    ("shape", "overlap", "count"),
    [
        ((333, 333, 603), 0.25, 96),
        ((512, 512, 512), 0.25, 125),
        ((512, 512, 768), 0.625, 1215),
        ((333, 333, 603), 0.5, 225),
    ],
)
def test_published_window_counts(shape: tuple[int, int, int], overlap: float, count: int) -> None:
    assert plan_windows(shape, (128, 128, 128), overlap).count == count


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(1, 300)] * 3), st.sampled_from([0.0, 0.25, 0.5, 0.625]))
def test_a_fitted_window_is_no_larger_and_needs_no_more_of_them(shape: tuple[int, int, int], overlap: float) -> None:
    window, least = (64, 64, 64), (48, 48, 32)
    fitted = fit_window(shape, window, least, 16, overlap)
    before, now = plan_windows(shape, window, overlap), plan_windows(shape, fitted, overlap)
    for axis in range(3):
        assert fitted[axis] % 16 == 0
        assert len(now.starts[axis]) <= len(before.starts[axis])
        if shape[axis] > window[axis]:
            assert least[axis] <= fitted[axis] <= window[axis]
        else:
            assert fitted[axis] - 16 < max(shape[axis], 32) <= max(fitted[axis], 32)


@pytest.mark.parametrize(
    ("size", "fitted"), [(10, 32), (33, 48), (64, 64), (65, 48), (84, 48), (85, 64), (112, 64), (113, 48), (121, 64)]
)
def test_a_volume_that_needs_several_windows_takes_the_smallest_that_do(size: int, fitted: int) -> None:
    assert fit_window((size,) * 3, (64,) * 3, (48,) * 3, 16, 0.25) == (fitted,) * 3
    whole = (64 if size > 64 else fitted,) * 3
    assert fit_window((size,) * 3, (64,) * 3, (64,) * 3, 16, 0.25) == whole, (
        "a network that knows no other keeps its own"
    )


def features(windows: Tensor) -> Tensor:
    """Return three feature channels that depend on the whole window, so that overlaps disagree."""
    mean = windows.mean(dim=(2, 3, 4), keepdim=True)
    return torch.cat([windows, windows * mean, mean.expand_as(windows) - windows.flip(2)], dim=1)


def blended_at_once(image: Tensor, plan: WindowPlan, blending: str, padding: str) -> Tensor:
    """Return features (c i j k) blended in two arrays of the whole volume."""
    image = pad_volume(image, plan, padding)
    total, weight = torch.zeros(3, *plan.padded), torch.zeros(plan.padded)
    weights = blend_weights(plan.window, blending)
    for i in plan.starts[0]:
        for j in plan.starts[1]:
            for k in plan.starts[2]:
                box = tuple(slice(s, s + n) for s, n in zip((i, j, k), plan.window, strict=True))
                total[(slice(None), *box)] += weights * features(image[(slice(None), slice(None), *box)])[0]
                weight[box] += weights
    inner = tuple(slice(p, p + n) for p, n in zip(plan.pad_before, plan.shape, strict=True))
    return (total / weight)[(slice(None), *inner)]


@settings(max_examples=60, deadline=None)
@given(
    SHAPES,
    WINDOWS,
    st.sampled_from([0.25, 0.5]),
    st.sampled_from(["constant", "gaussian"]),
    st.sampled_from(["constant", "replicate"]),
    st.sampled_from([1, 3]),
)
def test_the_slab_sweep_equals_blending_everything_at_once(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float, blending: str, padding: str, batch: int
) -> None:
    plan = plan_windows(shape, window, overlap)
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, *shape), dtype=np.float32))
    expected = blended_at_once(image, plan, blending, padding)
    found = torch.full((3, *shape), torch.nan)
    planes = found.movedim(plan.sweep_axis + 1, 0)
    following = 0
    for slab in sweep(image, plan, features, 3, blending=blending, padding=padding, batch=batch):
        assert slab.start == following, "slabs follow one another without gap or repetition"
        following += slab.features.shape[0]
        planes[slab.start : following] = slab.features.movedim(-1, 1)
    assert following == shape[plan.sweep_axis]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_windows_of_pure_air_are_evaluated_once() -> None:
    image = torch.zeros(1, 1, 8, 8, 40)
    image[..., 38:] = 1
    calls: list[int] = []

    def counted(windows: Tensor) -> Tensor:
        calls.append(len(windows))
        return features(windows)

    plan = plan_windows((8, 8, 40), (8, 8, 8), 0.0)
    assert plan.count == 5
    list(sweep(image, plan, counted, 3))
    assert sum(calls) == 2


def test_gaussian_weights_peak_in_the_middle_and_never_vanish() -> None:
    weights = blend_weights((8, 6, 4), "gaussian")
    assert weights.shape == (8, 6, 4)
    assert float(weights.min()) >= 1e-3
    assert weights[3, 2, 1] == weights.max() == weights[4, 3, 2]
    torch.testing.assert_close(weights, weights.flip(0, 1, 2))
