"""Our repetition of the official merge against MONAI's own code, and where the paper's algorithm differs from it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.inference.merge import merge
from prosect.inference.merge_official import merge_official

pytest.importorskip("monai")
pytest.importorskip("skimage")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]


def official(logits: np.ndarray, answer: np.ndarray, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what MONAI's method makes of it."""
    from monai.networks.nets.vista3d import VISTA3D

    with np.testing.suppress_warnings():
        merged = VISTA3D.connected_components_combine(
            SimpleNamespace(NINF_VALUE=-9999),
            torch.from_numpy(logits.copy())[:, None],
            torch.from_numpy(answer.copy())[:, None],
            torch.from_numpy(points),
            torch.from_numpy(labels),
            torch.arange(len(logits)),
        )
    return merged[:, 0].numpy()


def example(seed: int, objects: int, nan: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of blobs, an answer that differs in places, and clicks."""
    rng = np.random.default_rng(seed)
    shape = (objects, 7, 6, 8)
    logits = rng.normal(rng.uniform(-1, 0.5), 1, shape).astype(np.float32)
    answer = np.where(rng.random(shape) < 0.4, logits, rng.normal(-0.3, 1, shape)).astype(np.float32)
    logits[rng.random(shape) < nan] = np.nan
    points = rng.uniform(0, np.array(shape[1:]) - 0.6, (objects, 3, 3))
    return logits, answer, points, rng.integers(-1, 4, (objects, 3))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([0.0, 0.2]))
def test_the_compatible_merge_is_the_official_one(seed: int, objects: int, nan: float) -> None:
    logits, answer, points, labels = example(seed, objects, nan)
    expected = official(logits, answer, points, labels)
    np.testing.assert_array_equal(merge_official(logits, answer, points, labels), expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_both_agree_where_clicks_hit_and_do_what_their_sign_says(seed: int, positive: bool) -> None:
    logits, answer, points, _ = example(seed, 1, 0.0)
    i, j, k = (int(n) for n in points[0, 0].round())
    # The mask is wrong where the user clicks, and the network's answer to the click is right.
    logits[0, i, j, k] = -1.0 if positive else 1.0
    answer[0, i, j, k] = 1.0 if positive else -1.0
    label = np.array([[int(positive)]])
    expected = official(logits, answer, points[:, :1].round(), label)[0] > 0
    clicks = [[(i, j, k)], []] if positive else [[], [(i, j, k)]]
    merged = merge(logits[0] > 0, answer[0] > 0, *clicks)
    assert merged[i, j, k] == positive
    np.testing.assert_array_equal(merged, expected)


def test_the_official_merge_leaks_between_objects_and_ours_cannot() -> None:
    logits = np.full((2, 3, 3, 5), -1.0, dtype=np.float32)
    answer = logits.copy()
    answer[0, 1, 1, 0] = answer[0, 1, 1, 4] = 1.0
    answer[1, 1, 1, 0:5] = 1.0
    points, labels = np.array([[[1.0, 1, 0]], [[0, 0, 0]]]), np.array([[1], [-1]])
    assert (official(logits, answer, points, labels)[0] > 0).sum() == 2
    assert merge(logits[0] > 0, answer[0] > 0, [(1, 1, 0)], []).sum() == 1


def test_the_official_merge_keeps_what_is_not_a_number() -> None:
    logits = np.full((1, 3, 3, 3), np.nan, dtype=np.float32)
    answer = np.ones_like(logits)
    assert np.isnan(merge_official(logits, answer, np.ones((1, 1, 3)), np.ones((1, 1), dtype=int))).all()
