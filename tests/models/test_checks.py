"""Scans that are not what a model was trained on are warned of, and one that shows nothing gives nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from prosect.case import Intensity
from prosect.errors import ProsectWarning
from prosect.geometry import Grid
from prosect.models.checks import unlike_training
from prosect.models.spec import ModelSpec
from prosect.phantom import torso
from prosect.vocabulary import load
from prosect.volume import Source, Volume

SPEC = ModelSpec("made", load("vista3d-ct"))


def scan(array: NDArray[np.float32], modality: str | None = None) -> Volume:
    grid = Grid((array.shape[0], array.shape[1], array.shape[2]), np.diag([4.0, 4.0, 4.0, 1.0]))
    return Volume(array.astype(np.float32), grid, modality, Source(name="made", format="made"))


@pytest.fixture(scope="module")
def hu() -> NDArray[np.float32]:
    return torso(np.random.default_rng(0), (6.0, 6.0, 6.0))[0].array


def test_a_ct_in_hounsfield_units_is_not_doubted(hu: NDArray[np.float32]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert unlike_training(scan(hu), SPEC) == []
        organ = np.random.default_rng(0).normal(60, 25, (12, 12, 12))
        assert unlike_training(scan(organ.astype(np.float32)), SPEC) == []


@pytest.mark.parametrize("change", ["offset", "eight bits", "scaled", "magnitude"])
def test_other_intensities_are_doubted(hu: NDArray[np.float32], change: str) -> None:
    changed = {
        "offset": hu + 1024,
        "eight bits": np.clip((hu + 160) / 400 * 255, 0, 255).round(),
        "scaled": hu * 1e6,
        "magnitude": np.abs(hu),
    }[change]
    with pytest.warns(ProsectWarning, match="Hounsfield"):
        assert len(unlike_training(scan(changed), SPEC)) == 1


def test_mr_is_doubted_by_models_of_hounsfield_units_alone(hu: NDArray[np.float32]) -> None:
    with pytest.warns(ProsectWarning, match="is MR"):
        assert len(unlike_training(scan(hu, "MR"), SPEC)) == 1
    any_scan = ModelSpec("made", load("vista3d-ct"), intensity=Intensity("percentile", 0.5, 99.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert unlike_training(scan(np.abs(hu), "MR"), any_scan) == []


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_spacings_in_other_units_are_doubted(hu: NDArray[np.float32], factor: float) -> None:
    volume = scan(hu)
    affine = volume.grid.affine.copy()
    affine[:3] *= factor
    other = Volume(hu, Grid(volume.grid.shape, affine), "CT", volume.source)
    with pytest.warns(ProsectWarning, match="hardly in millimetres"):
        assert len(unlike_training(other, SPEC)) == 1
