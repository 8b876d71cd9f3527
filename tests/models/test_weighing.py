"""A model that says how probable each structure is: labels follow from the probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.errors import CheckpointError
from prosect.inference.probabilities import Probabilities
from prosect.labelmap import LabelLayers
from prosect.models.model_set import set_of
from prosect.models.protocols import require_weighs
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.volume import Volume
from worlds.scans import smooth_noise
from worlds.weights import tiny_vista3d

# As near to a decision as rounding may fall to either side.
NEAR = 1e-4


def model_of(name: str = "prosect", **about: Any) -> Vista3DModel:
    """Return a random model whose classes disagree, and which leaves out no crumbs."""
    spec = ModelSpec("random", vocabulary.load("vista3d-ct"), spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16))
    chosen = replace(profile(name), **about)
    return Vista3DModel(tiny_vista3d(interactive=False), spec, chosen, torch.device("cpu"))


@pytest.fixture(scope="module")
def volume() -> Volume:
    return smooth_noise((26, 24, 12), np.diag([1.4, 1.5, 3.0, 1.0]))


def decide(found: Probabilities, tiers: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels that the rule of the guide makes of probabilities, and where they are clear (i j k)."""
    label = np.zeros(found.grid.shape, np.uint16)
    clear = np.ones(found.grid.shape, bool)
    for tier in sorted(set(tiers.values())):
        rows = [index for index in found.indices if tiers[index] == tier]
        stack = np.stack([found.array(index) for index in rows])
        order = np.sort(stack, axis=0)
        best = order[-1]
        clear &= np.abs(best - 0.5) > NEAR
        if len(rows) > 1:
            clear &= (best - order[-2] > NEAR) | (best < 0.5)
        wins = best > 0.5
        label[wins] = np.array(rows, np.uint16)[stack.argmax(axis=0)][wins]
    return label, clear


@pytest.mark.parametrize("name", ["prosect", "bundle"])
def test_the_most_probable_structure_is_the_label(volume: Volume, name: str) -> None:
    model = model_of(name, leaves_out_crumbs=False)
    labels, found = model.weigh(volume)
    np.testing.assert_array_equal(labels.flatten().array, model.segment(volume).array)
    assert found.grid == volume.grid
    assert list(found.indices) == labels.provenance["classes"]
    tiers = model.vocabulary.tiers(found.indices) if model.profile.tiers else [0] * len(found.indices)
    expected, clear = decide(found, dict(zip(found.indices, tiers, strict=True)))
    assert clear.mean() > 0.95
    assert len(np.unique(expected[clear])) > 3
    np.testing.assert_array_equal(labels.flatten().array[clear], expected[clear])


def test_layers_are_where_a_structure_is_more_probable_than_not(volume: Volume) -> None:
    labels, found = model_of(leaves_out_crumbs=False).weigh(volume, ["liver", "spleen"], overlap=True)
    assert isinstance(labels, LabelLayers)
    for index in found.indices:
        clear = np.abs(found.array(index) - 0.5) > NEAR
        np.testing.assert_array_equal(labels.own_mask(index)[clear], (found.array(index) > 0.5)[clear])


def test_of_several_models_each_structure_has_the_probability_of_its_owner(volume: Volume) -> None:
    one, other = model_of(leaves_out_crumbs=False), model_of(leaves_out_crumbs=False)
    both = set_of([one, other], [{"liver": 0.9, "spleen": 0.1}, {"liver": 0.1, "spleen": 0.9}])
    labels, found = both.weigh(volume, ["liver", "spleen"])
    np.testing.assert_array_equal(labels.flatten().array, both.segment(volume, ["liver", "spleen"]).flatten().array)
    _, own = one.weigh(volume, ["liver", "spleen"])
    for index in found.indices:
        np.testing.assert_array_equal(found.array(index), own.array(index))


def test_a_blank_scan_has_zeros(volume: Volume) -> None:
    blank = Volume(np.full(volume.grid.shape, -1000, np.float32), volume.grid, "CT")
    with pytest.warns(match="shows nothing"):
        labels, found = model_of().weigh(blank, ["liver"])
    assert (labels.present, found.array(1).any()) == ((), False)


def test_a_model_without_probabilities_is_refused_by_name() -> None:
    silent: Any = type("Silent", (), {"identity": {"model": "m"}})()
    with pytest.raises(CheckpointError, match="'m' gives no probabilities"):
        require_weighs(silent)
