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


def test_scans_that_cannot_be_hounsfield_units_are_doubted(hu: NDArray[np.float32]) -> None:
    zero_one = (hu - hu.min()) / (hu.max() - hu.min())
    generator = np.random.default_rng(0)
    mr = np.abs(hu)
    rings = generator.random(mr.shape) < 0.009  # as resampling leaves beside sharp edges
    mr[rings] = -250.0
    padded = np.abs(hu)
    padded[:4] = -3024.0  # padding alone is no air
    scaled = {"0..1": zero_one, "z": (hu - hu.mean()) / hu.std(), "SUV": zero_one * 9, "MR": mr, "padded": padded}
    for kind, array in scaled.items():
        with pytest.warns(ProsectWarning, match="Hounsfield"):
            assert len(unlike_training(scan(array.astype(np.float32)), SPEC)) == 1, kind


def test_crops_and_clipped_windows_of_a_ct_are_not_doubted(hu: NDArray[np.float32]) -> None:
    fat_and_muscle = np.random.default_rng(0).normal(60, 20, (20, 20, 20))
    fat_and_muscle[:3] -= 160
    bone = np.where(fat_and_muscle > 110, 900, fat_and_muscle)
    padded = hu.copy()
    padded[:4] = -3024.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (np.clip(hu, -125, 275), np.clip(hu, -160, 240), bone, padded):
            assert unlike_training(scan(array.astype(np.float32)), SPEC) == []


@pytest.mark.parametrize("modality", ["MR", "PT", "NM", "US", "XA"])
def test_every_modality_but_ct_is_told_to_models_of_ct(hu: NDArray[np.float32], modality: str) -> None:
    with pytest.warns(ProsectWarning, match=f"is {modality}"):
        assert len(unlike_training(scan(hu, modality), SPEC)) == 1
