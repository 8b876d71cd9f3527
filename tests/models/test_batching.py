"""Scans segmented at once by a model that shares batches get the labels of each by itself."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.errors import CheckpointError, ResourceError
from prosect.models.batching import share_batches
from prosect.models.protocols import require_batches
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.volume import Volume
from worlds.batching import as_on_a_gpu, sweep_in_groups
from worlds.scans import smooth_noise
from worlds.weights import tiny_vista3d

# On the network's grid: three of one window to a handful, and one that is smaller than a window.
SHAPES = [(23, 22, 12), (30, 22, 11), (30, 26, 14), (12, 10, 5)]


@pytest.fixture(scope="module")
def model() -> Vista3DModel:
    """Return a random model whose classes disagree."""
    spec = ModelSpec("random", vocabulary.load("vista3d-ct"), spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16))
    return Vista3DModel(tiny_vista3d(interactive=False), spec, profile("prosect"), torch.device("cpu"))


def scans() -> list[Volume]:
    return [smooth_noise(shape, np.diag([1.4, 1.5, 3.0, 1.0])) for shape in SHAPES]


def test_labels_are_those_of_each_scan_alone_in_fewer_calls(
    model: Vista3DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_in_groups(monkeypatch, len(SHAPES))
    alone, calls_alone = as_on_a_gpu(model, 4)
    expected = [alone.segment(volume).array for volume in scans()]
    assert any(array.any() for array in expected)
    counted, calls = as_on_a_gpu(model, 4)
    together = counted.batching()
    found: dict[int, np.ndarray] = {}

    def body(number: int, volume: Volume) -> None:
        found[number] = together.segment(volume).array

    threads = [threading.Thread(target=body, args=pair, daemon=True) for pair in enumerate(scans())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, array in enumerate(expected):
        np.testing.assert_array_equal(found[number], array)
    assert set(calls) == {1, 4}, "a batch has one size"
    assert calls.count(1) == 1, "but for the window that cannot be shared"
    assert len(calls) < len(calls_alone)
    # The same labels as one window after another gives them.
    for number, volume in enumerate(scans()):
        np.testing.assert_array_equal(model.segment(volume).array, found[number])


def test_a_processor_has_nothing_to_share(model: Vista3DModel) -> None:
    with pytest.raises(ResourceError) as refused:
        model.batching()
    assert refused.value.code == "BATCH_OF_ONE"
    assert "--batch-scans" in str(refused.value)


def test_a_model_that_answers_for_one_scan_at_a_time_is_refused() -> None:
    with pytest.raises(CheckpointError) as refused:
        require_batches(SimpleNamespace(identity={"model": "clicks"}))  # type: ignore[arg-type]
    assert refused.value.code == "MODEL_WRONG_NETWORK"


def test_sharing_leaves_the_model_itself_as_it_was(model: Vista3DModel) -> None:
    before, _ = as_on_a_gpu(model, 2)
    after = before.batching()
    assert after.branches.interactive_features is before.branches.interactive_features
    assert before.branches.automatic_features is not after.branches.automatic_features
    assert after.identity == before.identity


def test_what_is_kept_between_windows_is_still_given_back(model: Vista3DModel) -> None:
    returned: list[str] = []
    branches = replace(model.branches, first_batch=2, release=lambda: returned.append("memory"))
    share_batches(branches, (16, 16, 16), model.device).release()
    assert returned == ["memory"]
