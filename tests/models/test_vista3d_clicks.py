"""Clicks with a small random network: the fixed surface, the refusals, and the bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect import vocabulary
from prosect.case import Intensity
from prosect.checkpoints.files import write_weights
from prosect.errors import CheckpointError, FormatError, ProsectWarning, ResourceError
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.models.vista3d_clicks import click_preparation
from prosect.networks.vista3d import Architecture, vista3d
from prosect.session import Session
from prosect.volume import Volume
from worlds.scans import smooth_noise
from worlds.weights import tiny_vista3d


def random_model(name: str = "prosect", width: int = 8, **architecture: bool) -> Vista3DModel:
    """Return a random model."""
    network = tiny_vista3d(width, **architecture)
    spec = ModelSpec("random", vocabulary.load("vista3d-ct"), spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16))
    return Vista3DModel(network, spec, profile(name), torch.device("cpu"))


def scan(shape: tuple[int, int, int] = (36, 30, 20)) -> Volume:
    """Return a smooth random scan, stored left to right."""
    return smooth_noise(shape)


def proposed(model: Vista3DModel, volume: Volume, voxel: tuple[float, float, float], name: str) -> np.ndarray:
    """Return the mask of an object after one click."""
    session = model.session(volume)
    session.click(voxel, structure=name, space="voxel")
    return session.mask(name)


@pytest.mark.parametrize("name", ["prosect", "bundle", "research"])
def test_the_fixed_surface_works_under_every_profile(name: str, tmp_path: Path) -> None:
    model, volume = random_model(name), scan()
    session = model.session(volume)
    session.segment(["liver"])
    position = tuple(volume.grid.to_world((18.0, 15.0, 10.0)))
    change = session.click(position, positive=True, structure="liver")
    session.click((5, 5, 5), structure="my lesion", space="voxel")
    session.undo()
    session.redo()
    assert change.seconds >= 0
    assert session.labels.grid == volume.grid
    assert session.mask("liver").dtype == bool
    session.suggest()
    path = session.save(tmp_path / "case.prosect.json")
    again = prosect.resume(path, volume, model=model)
    np.testing.assert_array_equal(again.labels.array, session.labels.array)
    recomputed = prosect.resume(path, volume, model=model, recompute=True)
    np.testing.assert_array_equal(recomputed.labels.array, session.labels.array)
    session.clear("liver")
    assert not session.mask("liver").any()


def test_zero_shot_and_supported_tokens_answer_differently() -> None:
    model, volume = random_model(), scan()
    masks = [proposed(model, volume, (18, 15, 10), name) for name in ("liver", "something else", "trachea")]
    assert all(mask.any() for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 3


def test_storage_orders_give_one_mask() -> None:
    model, volume = random_model(), scan()
    expected = proposed(model, volume, (12, 20, 7), "object")
    order = volume.grid.to_ras()
    stored = Volume(order.apply(volume.array).copy(), volume.grid.reorder(order))
    voxel = stored.grid.to_voxel(volume.grid.to_world((12, 20, 7)))
    np.testing.assert_array_equal(proposed(model, stored, tuple(voxel), "object"), order.apply(expected))


@pytest.mark.parametrize("voxel", [(0, 0, 0), (35, 29, 19), (-0.5, 14.2, 19.49), (0, 29, 3.5)])
def test_clicks_on_the_border_and_in_the_air_are_answered(voxel: tuple[float, float, float]) -> None:
    volume = scan()
    array = np.full_like(volume.array, -1000.0)
    array[12:24, 10:20, 8:14] = volume.array[12:24, 10:20, 8:14]
    session = random_model().session(Volume(array, volume.grid))
    change = session.click(voxel, structure="object", space="voxel")
    mask = session.mask("object")
    assert mask.sum() == mask[change.box.slices].sum() == change.added > 0
    patch_mm = 16 * 2.0  # a patch of 16 voxels around the click, wherever in the scan that is
    reach = np.abs(volume.grid.to_world(np.argwhere(mask)) - volume.grid.to_world(voxel)).max(axis=0)
    assert (reach <= patch_mm).all()


def test_the_processor_arrangement_gives_the_same_session() -> None:
    fast = random_model(width=32)
    slow = replace(fast, engine="modules")
    assert fast.branches.maps_alive < slow.branches.maps_alive
    a, b = (proposed(model, scan(), (18, 15, 10), "object") for model in (fast, slow))
    assert (a != b).mean() < 1e-3
    assert a.any()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("DefaultCPUAllocator")])
@pytest.mark.parametrize("step", ["interactive_features", "point_logits"])
def test_a_click_without_memory_is_refused_and_changes_nothing(error: Exception, step: str) -> None:
    model = random_model()
    session = model.session(scan())
    session.click((18, 15, 10), structure="object", space="voxel")
    before = session.mask("object")

    def fail(*_: object) -> None:
        raise error

    working = getattr(model.branches, step)
    object.__setattr__(model.branches, step, fail)
    with pytest.raises(ResourceError) as caught:
        session.click((2, 2, 2), structure="another", space="voxel")
    object.__setattr__(model.branches, step, working)
    assert caught.value.exit_status == 5
    np.testing.assert_array_equal(session.mask("object"), before)
    assert session.click((2, 2, 2), structure="another", space="voxel").added > 0
    assert session.vocabulary["another"].index == 134


def test_a_model_without_an_interactive_branch_says_so() -> None:
    with pytest.raises(CheckpointError, match="no interactive branch") as caught:
        random_model(interactive=False).session(scan())
    assert (caught.value.code, caught.value.exit_status) == ("MODEL_NO_CLICKS", 6)


def test_a_model_whose_point_head_belongs_to_another_encoder_refuses_clicks() -> None:
    model = random_model()
    other = Vista3DModel(
        model.network, ModelSpec("ct and mr", model.vocabulary, automatic_only=True), model.profile, model.device
    )
    with pytest.raises(CheckpointError, match="another encoder"):
        other.session(scan())


def test_a_session_is_resumed_from_its_file_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8))
    weights = tmp_path / "model.safetensors"
    write_weights(weights, dict(network.state_dict()), {"model": "vista3d", "preprocessing": {"patch": [32, 32, 32]}})
    volume, journal = scan(), tmp_path / "journal"
    session = prosect.load("vista3d", weights=weights, device="cpu").session(
        volume, journal=journal, overlap="take", undo_bytes=5 * 2**20
    )
    session.click((18, 15, 10), structure="object", space="voxel")
    again = prosect.resume(journal, volume, weights=weights, device="cpu")
    assert isinstance(again, Session)
    assert again.header["undo_bytes"] == session.header["undo_bytes"] == 5 * 2**20, "what undo may keep stays as it was"
    np.testing.assert_array_equal(again.mask("object"), session.mask("object"))
    again.click((3, 3, 3), structure="object", space="voxel")
    third = prosect.resume(journal, volume, weights=weights, device="cpu")
    np.testing.assert_array_equal(third.mask("object"), again.mask("object"))
    with pytest.raises(FormatError, match="SHA-256"):
        prosect.resume(journal, scan((36, 30, 21)), weights=weights, device="cpu")
    network.point_head.mask_tokens.weight.data += 1
    write_weights(weights, dict(network.state_dict()), {"model": "vista3d"})
    with pytest.raises(CheckpointError, match="give the same file"):
        prosect.resume(journal, volume, weights=weights, device="cpu")


def test_clicks_have_a_patch_of_their_own_where_the_weights_say_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "model.safetensors"
    said = {"patch": [32, 32, 32], "click_patch": [16, 16, 16], "spacing_mm": [2, 2, 2]}
    write_weights(weights, vista3d(Architecture(width=8)).state_dict(), {"model": "vista3d", "preprocessing": said})
    model = prosect.load(weights=weights, device="cpu")
    volume = scan((60, 60, 40))
    assert model.responder(volume)._plan.window == (16, 16, 16)
    assert model._windows((60, 60, 40)).window == (32, 32, 32)


@pytest.mark.parametrize(
    ("name", "fitted"), [("prosect-small", 64), ("prosect-torso", 48), ("vista3d", 64)], ids=lambda value: str(value)
)
def test_a_sweep_takes_smaller_windows_only_where_those_were_measured(tmp_path: Path, name: str, fitted: int) -> None:
    weights = tmp_path / "model.safetensors"
    said = {"patch": [64, 64, 64], "click_patch": [64, 64, 64], "spacing_mm": [2, 2, 2]}
    metadata = {"model": name, "vocabulary": "prosect", "preprocessing": said}
    write_weights(weights, vista3d(Architecture(width=8, blocks=(1, 1, 1, 1, 1))).state_dict(), metadata)
    model = prosect.load(weights=weights, device="cpu")
    assert model._windows((76, 92, 60)).window == (fitted, 64, 64)
    assert model._click_windows((76, 92, 60)).window == (64, 64, 64), "the patch of clicks stays as it was taught"


@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (7.0, 900.0)])
def test_an_mr_is_scaled_by_its_own_percentiles_and_that_is_said(slope: float, inter: float) -> None:
    model, ct = random_model(), replace(scan(), array=scan().array - 600)  # air and fat, as a CT has them
    mr = replace(ct, array=(slope * ct.array + inter).astype(np.float32), modality="MR")
    with pytest.warns(ProsectWarning, match="1st and 99th percentile"):
        session = model.session(mr)
    seen = click_preparation(mr, model.spec, model.profile)
    assert seen.intensity == Intensity("percentile", 1.0, 99.0)
    assert click_preparation(ct, model.spec, model.profile).intensity == model.spec.intensity
    assert click_preparation(mr, model.spec, profile("bundle")).intensity == model.spec.intensity
    session.click((18, 15, 10), structure="thing", space="voxel")
    with pytest.warns(ProsectWarning, match="MR"):
        other = proposed(model, replace(ct, modality="MR"), (18, 15, 10), "thing")
    assert (session.mask("thing") != other).mean() < 1e-3
