"""From a volume to labels, with a small random network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import prosect
from prosect import vocabulary
from prosect.case import Intensity
from prosect.checkpoints.files import write_weights
from prosect.errors import (
    CancelledError,
    CheckpointError,
    FormatError,
    PromptError,
    ProsectWarning,
    ResourceError,
    VocabularyError,
)
from prosect.geometry import Grid
from prosect.inference.memory import attempts
from prosect.inference.one_piece import CRUMB
from prosect.models import device_named
from prosect.models import vista3d as module
from prosect.models.spec import PROFILES, ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Architecture, vista3d
from prosect.progress import cancel_when
from prosect.volume import Volume
from worlds.orders import ORDERS, stored
from worlds.scans import smooth_noise
from worlds.weights import tiny_vista3d, write_vista3d


@pytest.fixture(scope="module")
def model() -> Vista3DModel:
    """Return a random model whose classes disagree."""
    network = tiny_vista3d(interactive=False)
    spec = ModelSpec("random", vocabulary.load("vista3d-ct"), spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16))
    return Vista3DModel(network, spec, profile("prosect"), torch.device("cpu"))


def scan(shape: tuple[int, int, int] = (30, 26, 14)) -> Volume:
    """Return a smooth random scan in RAS."""
    return smooth_noise(shape, np.diag([1.4, 1.5, 3.0, 1.0]))


def test_labels_lie_on_the_scans_grid_and_carry_their_origin(model: Vista3DModel) -> None:
    volume = scan()
    labels = model.segment(volume)
    assert labels.grid == volume.grid
    assert labels.array.dtype == np.uint8
    assert len(labels.present) > 3
    assert set(labels.present) <= set(model.vocabulary.everything())
    assert labels.provenance["profile"] == "prosect"


def test_storage_orders_give_one_answer(model: Vista3DModel) -> None:
    volume = scan()
    expected = model.segment(volume).array
    assert len(ORDERS) == 48
    for order in ORDERS:
        np.testing.assert_array_equal(model.segment(stored(volume, order)).array, order.apply(expected))


@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 20, 3), (40, 2, 2), (17, 16, 33)])
@pytest.mark.parametrize("name", ["prosect", "bundle", "research"])
def test_every_size_is_segmented_under_every_profile(
    model: Vista3DModel, shape: tuple[int, int, int], name: str
) -> None:
    other = Vista3DModel(model.network, model.spec, profile(name), model.device)
    assert other.segment(scan(shape), ["liver", "spleen"]).array.shape == shape


def test_layers_equal_one_class_at_a_time(model: Vista3DModel) -> None:
    volume = scan()
    names = ["liver", "hepatic vessel", "aorta"]
    layers = model.segment(volume, names, overlap=True)
    assert layers.indices == (1, 25, 6)
    for name in names:
        alone = model.segment(volume, [name])
        np.testing.assert_array_equal(layers.mask(name), alone.array > 0)
    both = layers.mask("liver") & layers.mask("hepatic vessel")
    assert both.any(), "the example must overlap to mean anything"
    flat = model.segment(volume, names)
    assert (flat.array[both] == 25).all(), "a vessel stays visible inside its organ"


def test_classes_trained_against_one_another_compete_even_unasked(model: Vista3DModel) -> None:
    volume, names = scan(), ["liver", "spleen", "aorta"]
    spec = replace(model.spec, exclusive=(1, 3, 6, 14))
    rivals = replace(model, spec=spec, profile=replace(model.profile, tiers=False))
    everything = rivals.segment(volume, [*names, "left kidney"]).array
    assert (everything == 14).any(), "the example needs a winner that is not asked for"
    np.testing.assert_array_equal(rivals.segment(volume, names).array, np.where(everything == 14, 0, everything))
    layers = rivals.segment(volume, names, overlap=True)
    for name, index in zip(names, (1, 3, 6), strict=True):
        np.testing.assert_array_equal(layers.mask(name), everything == index)


def test_a_structure_far_larger_than_any_in_training_is_warned_of(model: Vista3DModel) -> None:
    volume = scan()
    found = model.segment(volume, ["liver", "spleen"])
    ml = float((found.array == 1).sum()) * volume.grid.voxel_volume_ml
    wary = replace(model, spec=replace(model.spec, largest_ml={1: ml / 3, 3: 1e6}))
    for overlap in (False, True):
        with pytest.warns(ProsectWarning, match=r"liver: .* implausible") as caught:
            notes = wary.segment(volume, ["liver", "spleen"], overlap=overlap).provenance["notes"]
        assert len([each for each in caught if "implausible" in str(each.message)]) == 1
        assert "liver" in notes[-1]  # type: ignore[index]
    usual = replace(model, spec=replace(model.spec, largest_ml={1: ml}))
    usual.segment(volume, ["liver"])


def test_a_group_expands_to_its_parts_and_says_so(model: Vista3DModel) -> None:
    labels = model.segment(scan(), ["kidney"])
    assert set(labels.present) <= {5, 14}
    assert labels.provenance["expansions"] == {"kidney": ["left kidney", "right kidney"]}


@pytest.mark.parametrize("classes", [["livr"], ["rectum"], [0], [999], []])
def test_what_it_does_not_know_is_refused_before_any_work(model: Vista3DModel, classes: list[str | int]) -> None:
    with pytest.raises(VocabularyError):
        model.segment(scan(), classes)


def test_a_run_that_does_not_fit_is_refused_with_the_numbers(
    model: Vista3DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="GiB are free") as caught:
        model.segment(scan())
    assert caught.value.exit_status == 5
    assert "windows" in str(model.plan(scan()))


def running(model: Vista3DModel, **changed: object) -> Vista3DModel:
    """Return the model with some of its branches exchanged."""
    other = replace(model)
    object.__setattr__(other, "branches", replace(model.branches, **changed))  # type: ignore[arg-type]
    return other


def test_out_of_memory_halves_the_batch_until_nothing_is_left(model: Vista3DModel) -> None:
    sizes: list[int] = []
    expected = model.segment(scan(), ["liver", "spleen"]).array

    def scarce(windows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(windows))
        if len(windows) > 1:
            raise torch.OutOfMemoryError("made up")
        return model.network.automatic_features(windows)

    other = running(model, automatic_features=scarce, first_batch=4)
    labels = other.segment(scan(), ["liver", "spleen"])
    np.testing.assert_array_equal(labels.array, expected)
    assert sizes[:2] == [4, 2]
    notes = labels.provenance["notes"]
    assert isinstance(notes, list)
    assert ["4 windows" in notes[-2], "2 windows" in notes[-1]] == [True, True]

    def none(windows: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("made up")

    with pytest.raises(ResourceError, match="one window at a time"):
        running(model, automatic_features=none).segment(scan(), ["liver"])


def test_on_a_gpu_blending_moves_to_the_processor_last() -> None:
    assert [(batch, where.type) for batch, where in attempts(4, torch.device("cuda"))] == [
        (4, "cuda"), (2, "cuda"), (1, "cuda"), (1, "cpu"),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")])
def test_memory_that_runs_out_after_all_is_a_typed_error(model: Vista3DModel, error: Exception) -> None:
    def fail(windows: torch.Tensor) -> torch.Tensor:
        raise error

    with pytest.raises(ResourceError) as caught:
        running(model, automatic_features=fail).segment(scan(), ["liver"])
    assert caught.value.code == "MEMORY_EXHAUSTED"


def test_other_failures_of_torch_are_not_called_a_lack_of_memory(model: Vista3DModel) -> None:
    def fail(windows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        running(model, automatic_features=fail).segment(scan(), ["liver"])


def weights_file(folder: Path, metadata: dict[str, object]) -> Path:
    """Write the weights of a small network."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False))
    return write_weights(folder / "model.safetensors", network.state_dict(), metadata)


def test_a_file_says_what_it_was_trained_with(tmp_path: Path) -> None:
    metadata: dict[str, object] = {
        "model": "prosect-small",
        "vocabulary": "prosect",
        "classes": [1, 347],
        "preprocessing": {"spacing_mm": [3, 3, 4], "patch": [16, 16, 8]},
    }
    loaded = prosect.load(weights=weights_file(tmp_path, metadata), device="cpu")
    assert loaded.spec.spacing_mm == (3, 3, 4)
    assert loaded.spec.window == (16, 16, 8)
    assert loaded.vocabulary.everything() == (1, 347)
    with pytest.raises(VocabularyError, match="official VISTA3D weights"):
        loaded.segment(scan(), ["spleen"])


@pytest.mark.parametrize("shape", [{"patch": [16, 15, 16]}, {"patch": [16, 16, 16], "click_patch": [7, 8, 8]}])
def test_windows_that_the_network_cannot_take_are_refused(tmp_path: Path, shape: dict[str, list[int]]) -> None:
    path = write_vista3d(tmp_path / "odd.safetensors", {"preprocessing": {**shape, "spacing_mm": [2.0, 2.0, 2.0]}})
    with pytest.raises(CheckpointError, match=r"needs a multiple of 2 along each axis") as refused:
        prosect.load(weights=path, device="cpu")
    assert refused.value.code == "MODEL_WRONG_NETWORK"


def test_plain_weights_are_taken_for_the_official_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(vista3d(Architecture(width=8, blocks=(1, 1))).state_dict(), tmp_path / "model.pt")
    loaded = prosect.load("vista3d", weights=tmp_path / "model.pt", device="cpu", profile="bundle")
    assert len(loaded.vocabulary.everything(loaded.spec.everything)) == 117
    assert loaded.spec.window == (128, 128, 128)


def test_unknown_profiles_and_devices_are_refused(tmp_path: Path) -> None:
    path = weights_file(tmp_path, {"model": "vista3d"})
    with pytest.raises(PromptError, match="bundle"):
        prosect.load(weights=path, profile="fast")
    with pytest.raises(ResourceError):
        prosect.load(weights=path, device="cuda:9")
    with pytest.raises(ResourceError):
        prosect.load(weights=path, device="abacus")


@pytest.mark.parametrize("value", [0.0, -1024.0, 3000.0])
@pytest.mark.parametrize("profile", ["prosect", "bundle", "research"])
def test_a_constant_scan_has_no_organs_and_is_warned_of(model: Vista3DModel, value: float, profile: str) -> None:
    empty = replace(scan(), array=np.full(scan().array.shape, value, dtype=np.float32))
    either = replace(model, profile=PROFILES[profile])
    for overlap in (False, True):
        with pytest.warns(ProsectWarning, match="shows nothing"):
            labels = either.segment(empty, ["liver", "spleen"], overlap=overlap)
        assert not any(labels.mask(name).any() for name in ("liver", "spleen"))
        assert labels.grid == empty.grid
        assert "shows nothing" in labels.provenance["notes"][-1]  # type: ignore[index]


@pytest.mark.parametrize("thing", ["scan.nii.gz", None, np.zeros((4, 4, 4))])
def test_what_is_no_volume_is_refused_with_what_to_do(model: Vista3DModel, thing: object) -> None:
    for call in (model.segment, model.session):
        with pytest.raises(FormatError, match=r"prosect\.read"):
            call(thing)  # type: ignore[arg-type]


def test_a_device_can_be_given_as_torch_has_it() -> None:
    assert device_named(torch.device("cpu")) == torch.device("cpu")  # type: ignore[arg-type]


def test_crumbs_of_what_is_one_piece_in_everybody_are_left_out_and_told_of(model: Vista3DModel) -> None:
    volume = scan()
    before = model.segment(volume)
    sizes = {i: np.bincount(ndimage.label(before.mask(i), np.ones((3, 3, 3)))[0].ravel())[1:] for i in before.present}
    scattered = max(sizes, key=lambda i: int((sizes[i] < CRUMB * sizes[i].max()).sum()))
    single = replace(model, spec=replace(model.spec, one_piece=(scattered,)))
    after = single.segment(volume)
    left = np.bincount(ndimage.label(after.mask(scattered), np.ones((3, 3, 3)))[0].ravel())[1:]
    assert len(left) < len(sizes[scattered])
    assert left.min() >= CRUMB * left.max()
    np.testing.assert_array_equal(after.array[~before.mask(scattered)], before.array[~before.mask(scattered)])
    notes = " ".join(map(str, after.provenance["notes"]))  # type: ignore[call-overload]
    assert f"{model.vocabulary[scattered].name}: it is one piece in everybody" in notes
    official = replace(single, profile=profile("research"))
    expected = replace(model, profile=profile("research")).segment(volume)
    np.testing.assert_array_equal(official.segment(volume).array, expected.array)


def test_the_outline_of_what_is_filled_with_air_follows_it_and_is_told_of(model: Vista3DModel) -> None:
    array = scan().array.copy()
    array[:, :, ::3] = -900
    volume = replace(scan(), array=array)
    before = model.segment(volume)
    largest = max(before.present, key=lambda index: int(before.mask(index).sum()))
    filled = replace(model, spec=replace(model.spec, air_filled=(largest,)))
    after = filled.segment(volume)
    assert (after.array != before.array).any()
    notes = " ".join(map(str, after.provenance["notes"]))  # type: ignore[call-overload]
    assert f"{model.vocabulary[largest].name}: its outline follows the air of the scan (" in notes
    official = replace(filled, profile=profile("research"))
    expected = replace(model, profile=profile("research")).segment(volume)
    np.testing.assert_array_equal(official.segment(volume).array, expected.array)
    with pytest.warns(ProsectWarning, match="MR"):
        other = filled.segment(replace(volume, modality="MR"))
    assert "follows the air" not in str(other.provenance["notes"])


def test_every_window_is_told_with_the_total(model: Vista3DModel) -> None:
    told: list[tuple[int, int]] = []
    labels = model.segment(scan(), ["liver"], watch=lambda done, total: told.append((done, total)))
    total = labels.provenance["windows"]
    assert told == [(done, total) for done in range(1, len(told) + 1)]
    assert len(told) == total > 1


def test_a_sweep_ends_where_it_is_cancelled_and_the_next_is_whole(model: Vista3DModel) -> None:
    expected = model.segment(scan(), ["liver"]).array
    told: list[int] = []
    watch = cancel_when(lambda: len(told) == 2, lambda done, _: told.append(done))
    with pytest.raises(CancelledError):
        model.segment(scan(), ["liver"], watch=watch)
    assert told == [1, 2]
    np.testing.assert_array_equal(model.segment(scan(), ["liver"]).array, expected)


def test_memory_of_maps_is_given_back_however_a_sweep_ends(model: Vista3DModel) -> None:
    returned: list[str] = []
    watched = replace(model)
    object.__setattr__(watched, "branches", replace(watched.branches, release=lambda: returned.append("back")))
    watched.segment(scan(), ["liver"])
    assert len(returned) == 1
    with pytest.raises(CancelledError):
        watched.segment(scan(), ["liver"], watch=cancel_when(lambda: True))
    assert len(returned) == 2
    _, _, slabs = watched.features(scan())
    next(slabs)
    assert len(returned) == 2, "the next slab needs the same memory"
    del slabs
    assert len(returned) == 3


def test_the_plan_counts_the_copy_that_percentiles_are_taken_from(model: Vista3DModel) -> None:
    percentiles = replace(model.spec, intensity=Intensity("percentile", 1.0, 99.0))
    sheared = np.diag([2.0, 2.0, 2.0, 1.0])
    sheared[0, 2] = 0.5  # no axis can be resampled by itself, so nothing larger hides the copy
    grid = Grid((200, 200, 200), sheared)
    planned = []
    for each in (model, replace(model, spec=percentiles)):
        planned.append(each.plan(grid).parts["preparing"])
    assert planned[1] > planned[0]
