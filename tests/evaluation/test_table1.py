"""The published way of counting is repeated, flattery included: clicks in every window, and an oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect import vocabulary
from prosect.case import Intensity
from prosect.data.labelled import LabelledScan
from prosect.evaluation.protocols import Rules
from prosect.evaluation.scores import Target
from prosect.evaluation.table1 import (
    auto_as_published,
    auto_point_as_published,
    point_as_published,
    windows_of,
)
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.models.spec import ModelSpec
from prosect.volume import Volume

WORDS = vocabulary.load("vista3d-ct")
ROI = (16, 16, 16)
LIVER, TUMOUR = Target(1, "liver", "liver"), Target(26, "hepatic tumor", "hepatic tumor")


@dataclass
class BallNetwork:
    """Automatically nothing; a positive click is answered by a ball of four voxels, a negative one by its hole."""

    asked: list[tuple[list[list[float]], list[int]]] = field(default_factory=list)

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return the image."""
        return image

    def automatic_features(self, image: Tensor) -> Tensor:
        """Return the image, brought to around 0."""
        return image - 0.5

    def class_vectors(self, classes: Any) -> Tensor:
        """Return one weight per class: each says yes where the image is bright."""
        return torch.ones(len(classes), 1)

    def point_logits(self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return distances from the clicks as logits."""
        assert not zero_shot.any()
        self.asked.append((points[0].tolist(), labels[0].tolist()))
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in features.shape[2:]), indexing="ij"), -1)
        distance = (voxels.reshape(-1, 1, 3) - points[0]).norm(dim=-1)
        yes = 4.1 - distance.where(labels[0] % 2 == 1, torch.tensor(99.0)).amin(1)
        no = distance.where(labels[0] % 2 == 0, torch.tensor(99.0)).amin(1) - 3
        return torch.minimum(yes, no).reshape(1, 1, *features.shape[2:])


@dataclass
class WindowModel:
    """What the published evaluation needs of a model."""

    network: BallNetwork = field(default_factory=BallNetwork)
    vocabulary: vocabulary.Vocabulary = WORDS
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    spec: ModelSpec = field(
        default_factory=lambda: ModelSpec("balls", WORDS, (2.0, 2.0, 2.0), ROI, Intensity("window", 0.0, 1.0))
    )


def scan_of(labels: np.ndarray, bright: np.ndarray | None = None, dataset: str = "Task09") -> LabelledScan:
    """Return a scan stored left to right with 2 mm voxels, as bright as its labels or as told."""
    grid = Grid(labels.shape, np.diag([-2.0, 2.0, 2.0, 1.0]))
    array = (labels > 0 if bright is None else bright).astype(np.float32)
    return LabelledScan("one", Volume(array, grid), LabelMap(labels, grid, WORDS), (1, 26), dataset)


def draws() -> np.random.Generator:
    """Return a generator."""
    return np.random.default_rng(0)


@pytest.fixture
def labels() -> np.ndarray:
    """Return a liver in a scan of one window."""
    labels = np.zeros((16, 16, 16), dtype=np.uint8)
    labels[3:11, 4:12, 4:12] = 1
    return labels


def test_truth_reaches_the_network_and_comes_back(labels: np.ndarray) -> None:
    windows = windows_of(scan_of(labels), WindowModel())
    truth = windows.truth(labels == 1)
    np.testing.assert_array_equal(truth, (labels == 1)[::-1], err_msg="the network's axes run to the right")
    np.testing.assert_array_equal(windows.restore(torch.from_numpy(truth).float()), labels == 1)


def test_each_window_that_shows_the_structure_is_clicked_once_in_its_middle(labels: np.ndarray) -> None:
    wide = np.pad(labels, [(0, 24), (0, 0), (0, 0)])
    model = WindowModel()
    point_as_published(scan_of(wide), model, [LIVER], Rules())
    windows = windows_of(scan_of(wide), model)
    truth = windows.truth(wide == 1)
    showing = [truth[place] for place, _ in windows if truth[place].any()]
    assert 1 < len(model.network.asked) == len(showing) < windows.plan.count
    for (points, kinds), seen in zip(model.network.asked, showing, strict=True):
        assert len(points) == 1
        assert kinds == [1]
        assert seen[tuple(int(n) for n in points[0])]


def test_an_ambiguous_structure_is_clicked_with_its_own_label(labels: np.ndarray) -> None:
    model = WindowModel()
    labels[labels == 1] = 26
    point_as_published(scan_of(labels), model, [TUMOUR], Rules())
    assert [kinds for _, kinds in model.network.asked] == [[3]]


def test_the_oracle_never_does_worse_than_the_automatic_result(labels: np.ndarray) -> None:
    model = WindowModel()
    for seed in range(6):
        bright = np.random.default_rng(seed).uniform(size=labels.shape) < np.where(labels == 1, 0.8, 0.03)
        scan = scan_of(labels, bright)
        (row,) = auto_point_as_published(scan, model, [LIVER], Rules(), np.random.default_rng(seed))
        dice = 2 * (bright & (labels == 1)).sum() / (bright.sum() + (labels == 1).sum())
        assert row.dice is not None
        assert row.dice >= dice - 1e-9
    assert len(model.network.asked) == 18, "three trials for each"


def test_the_oracle_removes_what_is_false_only_beside_something_true(labels: np.ndarray) -> None:
    bright = np.zeros(labels.shape, dtype=bool)
    bright[5:10, 5:10, 5:10] = True
    nothing, other = np.zeros_like(labels), np.zeros_like(labels)
    other[12:15, 12:15, 12:15] = 26
    for truth, kept in ((nothing, True), (other, False)):
        model = WindowModel()
        liver, _ = auto_point_as_published(scan_of(truth, bright), model, [LIVER, TUMOUR], Rules(), draws())
        assert (liver.found_ml > 0) == kept
        assert bool(model.network.asked) != kept


def test_in_two_sets_the_organ_is_counted_without_the_tumour(labels: np.ndarray) -> None:
    class Both:
        """Finds the tumour in the liver, and the liver around and through it."""

        vocabulary = WORDS

        def segment(self, volume: Volume, classes: Any = None, overlap: bool = False) -> Any:
            from prosect.labelmap import LabelLayers

            assert overlap
            whole, tumour = np.isin(labels, (1, 26)), labels == 26
            return LabelLayers(np.stack([whole, tumour]), (1, 26), volume.grid, WORDS)

    labels[5:8, 5:8, 5:8] = 26
    scan = scan_of(labels, dataset="Task03")
    assert [row.dice for row in auto_as_published(scan, Both(), [LIVER, TUMOUR], Rules())] == [1.0, 1.0]
    other = replace(scan, dataset="Task08")
    first, second = auto_as_published(other, Both(), [LIVER, TUMOUR], Rules())
    assert first.dice is not None
    assert first.dice < 1.0
    assert second.dice == 1.0
