"""SAM-Med3D as a model: every published layout loads, clicks go through sessions, and nothing is made up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect.checkpoints import catalog, keeping
from prosect.checkpoints.files import read_weights, write_weights
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d
from prosect.errors import CheckpointError, FormatError, PromptError, ResourceError, VocabularyError
from prosect.geometry import Grid
from prosect.inference.question import Question
from prosect.models import require_finds
from prosect.models import sam_med3d as sam_med3d_model
from prosect.models.sam_med3d import SamMed3DModel
from prosect.networks.sam_med3d import Architecture, SamMed3D, sam_med3d
from prosect.prompts import LabelledClick
from prosect.volume import Volume
from worlds.scans import smooth_noise
from worlds.weights import TINY_SAM


def network(**other: Any) -> SamMed3D:
    """Return a small random network."""
    torch.manual_seed(0)
    return sam_med3d(Architecture(**{**vars(TINY_SAM), **other})).eval()


def training_file(net: SamMed3D) -> dict[str, Any]:
    """Return what the official training saves."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=8e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [120, 180])
    args = argparse.Namespace(task_name="union_train", device=torch.device("cuda:0"), gpu_ids=[0, 1], lr=8e-4, rank=-1)
    return {
        "epoch": 3, "model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
        "lr_scheduler_state_dict": schedule.state_dict(), "losses": [1.5, 1.25], "dices": [0, 0],
        "best_loss": float("inf"), "best_dice": 0.0, "args": args, "used_datas": ["data/train/liver/ct_WORD"],
    }  # fmt: skip


def saved(path: Path, content: Any) -> Path:
    """Return the path of a torch file."""
    torch.save(content, path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file as the official ones are."""
    return saved(tmp_path / "sam_med3d_turbo.pth", {"model_state_dict": network().state_dict()})


@pytest.fixture
def model(weights: Path) -> SamMed3DModel:
    """Return a small random model."""
    return prosect.load("sam-med3d", weights=weights, device="cpu")


def scan(shape: tuple[int, int, int] = (36, 40, 22), modality: str | None = "CT") -> Volume:
    """Return a smooth random scan, stored left to right."""
    return smooth_noise(shape, mean=0, spread=2000, sigma_vox=1.2, modality=modality)


@pytest.mark.parametrize("style", ["bare", "model_state_dict", "state_dict", "module.", "training", "half", "boxes"])
def test_every_published_layout_loads_to_the_same_network(tmp_path: Path, style: str) -> None:
    net = network(box_embeddings=style == "boxes")
    state = dict(net.state_dict())
    content = {
        "bare": state,
        "model_state_dict": {"model_state_dict": state},
        "state_dict": {"state_dict": state},
        "module.": {"model_state_dict": {f"module.{k}": v for k, v in state.items()}},
        "training": training_file(net),
        "half": {k: v.half() for k, v in state.items()},
        "boxes": {"model_state_dict": state},
    }[style]
    found, report = fit_sam_med3d(read_weights(saved(tmp_path / "w.pth", content)))
    assert found.architecture == net.architecture
    for key, value in found.state_dict().items():
        assert torch.equal(value, state[key].half().float() if style == "half" else state[key]), key
    assert ("box" in str(report)) == (style == "boxes")
    assert str(report).startswith("SAM-Med3D: crop 32, patch 8, width 24, 2 blocks")


@pytest.mark.parametrize(
    "other",
    [{}, {"global_blocks": (), "window": 3}, {"global_blocks": (0, 1), "window": 4}, {"depth": 3, "positions": "fixed"},
     {"crop": 48, "heads": 3, "embedding": 96, "decoder_hidden": 16}],
)  # fmt: skip
def test_the_architecture_is_read_from_the_shapes(tmp_path: Path, other: dict[str, Any]) -> None:
    net = network(**other)
    said = {"architecture": {"positions": net.architecture.positions}}
    path = write_weights(tmp_path / "w.safetensors", dict(net.state_dict()), said)
    assert fit_sam_med3d(read_weights(path))[0].architecture == net.architecture


class Runs:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("ran",)


def test_a_training_file_that_could_run_code_stays_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = training_file(network())
    content["args"].callback = Runs()
    with pytest.raises(CheckpointError) as caught:
        read_weights(saved(tmp_path / "w.pth", content))
    assert caught.value.code == "MODEL_UNSAFE"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("mask_decoder.iou_token.weight"), "1 tensors are missing.*complete SAM-Med3D"),
        (lambda s: s.update({"image_encoder.more": torch.zeros(1)}), "1 tensors are left over"),
        (lambda s: s.update({"mask_decoder.iou_token.weight": torch.zeros(2, 48)}), "wrong shape"),
        (lambda s: s.pop("image_encoder.pos_embed"), "missing or misshapen"),
        (lambda s: s.update({"image_encoder.blocks.1.attn.rel_pos_d": torch.zeros(3, 12)}), "several sizes"),
        (lambda s: s.update({"image_encoder.patch_embed.proj.weight": torch.zeros(8, 3, 16, 16)}), "SAM-Med3D weights"),
        (lambda s: s.clear() or s.update(a=torch.zeros(1)), "an unknown network"),
    ],
)
def test_weights_that_are_not_whole_are_refused(tmp_path: Path, change: Any, words: str) -> None:
    state = dict(network(window=3).state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=words) as caught:
        prosect.load("sam-med3d", weights=saved(tmp_path / "w.pth", state), device="cpu")
    assert (caught.value.code, caught.value.exit_status) == ("MODEL_WRONG_NETWORK", 6)


def test_weights_are_recognised_without_a_name_and_not_taken_for_others(weights: Path, tmp_path: Path) -> None:
    assert isinstance(prosect.load(weights=weights, device="cpu"), SamMed3DModel)
    with pytest.raises(CheckpointError, match="SAM-Med3D"):
        prosect.load("vista3d", weights=weights, device="cpu")
    assert catalog.entry("sam-med3d").url.startswith("https://huggingface.co/")


def test_imported_weights_are_found_by_name(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "store"))
    keeping.import_weights(weights, "sam-med3d")
    assert prosect.load("sam-med3d", device="cpu").network.architecture == TINY_SAM


def test_a_session_works_as_with_any_model(model: SamMed3DModel, tmp_path: Path) -> None:
    volume = scan()
    session = model.session(volume, journal=tmp_path / "journal")
    change = session.click((18, 20, 11), structure="my lesion", space="voxel")
    assert change.added == session.mask("my lesion").sum()
    assert session.click((19, 22, 12), structure="liver", space="voxel").structure == "liver"
    session.click((17, 20, 11), False, "my lesion", space="voxel")
    before = session.labels.array
    session.undo()
    session.redo()
    np.testing.assert_array_equal(session.labels.array, before)
    assert session.labels.grid == volume.grid
    path = session.save(tmp_path / "case.prosect.json")
    for recompute in (False, True):
        again = prosect.resume(path, volume, model=model, recompute=recompute)
        np.testing.assert_array_equal(again.labels.array, before)
    resumed = prosect.resume(tmp_path / "journal", volume, model=model)
    np.testing.assert_array_equal(resumed.labels.array, before)
    for each in (session, resumed):
        each.click((19, 18, 12), structure="my lesion", space="voxel")
        each.undo()
        each.redo()
    np.testing.assert_array_equal(resumed.labels.array, session.labels.array)
    session.suggest("my lesion")
    session.clear("liver")
    assert not session.mask("liver").any()


def test_a_session_is_resumed_from_its_file_alone(weights: Path, model: SamMed3DModel, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    session = model.session(scan())
    session.click((18, 20, 11), structure="a", space="voxel")
    session.save(path)
    again = prosect.resume(path, scan(), weights=weights, device="cpu")
    np.testing.assert_array_equal(again.mask("a"), session.mask("a"))
    other = model.with_switches(prompts="all").session(scan())
    other.click((18, 20, 11), structure="a", space="voxel")
    other.save(path)
    with pytest.raises(PromptError, match="with prompts=all"):
        prosect.resume(path, scan(), weights=weights, device="cpu")
    assert prosect.resume(path, scan(), model=model.with_switches(prompts="all")).mask("a").any()
    with pytest.raises(FormatError) as caught:
        prosect.resume(path, scan(), model=model)
    assert caught.value.code == "SESSION_OTHER"


def test_the_first_click_is_the_networks_own_answer(model: SamMed3DModel) -> None:
    volume = Volume(scan((40, 40, 40)).array, Grid((40, 40, 40), np.diag([1.5, 1.5, 1.5, 1.0])), "CT")
    answers = model.with_switches(extend=False).responder(volume)
    position = tuple(volume.grid.to_world((20, 22, 19)).tolist())
    start = answers.place(position, [])
    assert start == (4, 6, 3)
    crop = torch.from_numpy(volume.array.clip(-1000, 1000)[4:36, 6:38, 3:35].copy())[None, None]
    inside = crop[crop > 0]
    image = (crop - inside.mean()) / inside.std()
    with torch.no_grad():
        expected = model.network(image, torch.tensor([[[16.0, 16, 16]]]), torch.tensor([[1]]))[0, 0] > 0
    _, yes = answers.propose(Question((LabelledClick(position, 1, start),), True), answers.box(start))
    assert (yes == expected.numpy()).mean() > 0.9999
    assert 0 < expected.float().mean() < 1


@pytest.mark.parametrize(
    ("modality", "lowest", "expected"),
    [("CT", 0.0, True), ("MR", -1000.0, False), (None, -1000.0, True), (None, 0.0, False)],
)
def test_ct_is_known_by_its_tag_or_its_air(modality: str | None, lowest: float, expected: bool) -> None:
    array = np.full((4, 4, 4), lowest, dtype=np.float32)
    assert Volume(array, Grid((4, 4, 4), np.eye(4)), modality).is_ct is expected


def test_both_switches_of_preparation_change_the_answer(model: SamMed3DModel) -> None:
    volume = Volume(2 * scan().array, scan().grid)
    assert (volume.array > 1000).mean() > 0.01
    changed = [{"clamp_ct": False}, {"normalise": "scan"}]
    images = []
    for switches in ({}, *changed):
        answers = model.with_switches(**switches).responder(volume)  # type: ignore[arg-type]
        images.append(answers._image((2, 4, 3)))
    assert not torch.allclose(images[0], images[1])
    assert not torch.allclose(images[0], images[2])
    assert str(model.with_switches(clamp_ct=False).profile) == "prosect with clamp_ct=False"
    assert str(model.profile) == "prosect"


def test_nothing_is_segmented_without_a_click(model: SamMed3DModel) -> None:
    volume = scan()
    with pytest.raises(CheckpointError, match="click") as caught:
        require_finds(model)
    assert (caught.value.code, caught.value.exit_status) == ("MODEL_NO_AUTOMATIC", 6)
    with pytest.raises(VocabularyError, match="no classes") as refused:
        model.session(volume).segment(["liver"])
    assert refused.value.code == "STRUCTURE_UNSUPPORTED"


@pytest.mark.parametrize("name", ["bundle", "other"])
def test_profiles_it_does_not_have_are_refused(weights: Path, name: str) -> None:
    with pytest.raises(PromptError, match="profile") as caught:
        prosect.load("sam-med3d", weights=weights, device="cpu", profile=name)
    assert caught.value.code == "PROFILE_UNKNOWN"


def test_the_research_profile_is_the_official_inference(weights: Path) -> None:
    profile = prosect.load("sam-med3d", weights=weights, device="cpu", profile="research").profile
    assert (profile.clamp_ct, profile.rules.prompts, profile.rules.extend) == (False, "all", False)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (35, 39, 21), (-0.5, 14.2, 21.49)])
@pytest.mark.parametrize("value", [None, -1000.0, 0.0, 55.0])
def test_clicks_on_the_border_and_in_even_scans_are_answered(
    model: SamMed3DModel, voxel: tuple[float, ...], value: float | None
) -> None:
    volume = scan()
    if value is not None:
        volume = Volume(np.full_like(volume.array, value), volume.grid)
    session = model.with_switches(extend=False).session(volume)
    change = session.click(voxel, structure="object", space="voxel")
    mask = session.mask("object")
    assert mask.sum() == mask[change.box.slices].sum() == change.added > 0
    crop_mm = 32 * 1.5  # a crop of 32 voxels around the click, wherever in the scan that is
    reach = np.abs(volume.grid.to_world(np.argwhere(mask)) - volume.grid.to_world(voxel)).max(axis=0)
    assert (reach <= crop_mm).all()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError()])
@pytest.mark.parametrize("step", ["embed", "refine"])
def test_a_click_without_memory_is_refused_and_changes_nothing(
    model: SamMed3DModel, monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    session = model.session(scan())
    session.click((18, 20, 11), structure="object", space="voxel")
    before = session.mask("object")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(SamMed3D, step, fail)
        with pytest.raises(ResourceError):
            session.click((2, 2, 2), structure="another", space="voxel")
    np.testing.assert_array_equal(session.mask("object"), before)
    assert session.structures == ("object",)


def test_no_structure_is_listed_as_one_that_it_can_segment(capsys: pytest.CaptureFixture[str]) -> None:
    from prosect.cli.main import main

    assert main(["labels", "sam-med3d"]) == 0
    assert "0 structures can be segmented" in capsys.readouterr().out


def test_the_command_line_clicks(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from prosect.cli.main import main

    prosect.write(scan(), tmp_path / "ct.nii.gz")
    common = ["-m", "sam-med3d", "-w", weights, "-d", "cpu"]
    words = ["click", tmp_path / "ct.nii.gz", "-o", tmp_path / "out.nii.gz", "--structure", "liver", *common]
    assert main([str(w) for w in (*words, "--at", "18,20,11", "--at", "17,20,11-", "--space", "voxel")]) == 0
    assert prosect.read_labels(tmp_path / "out.nii.gz").names[1] == "liver"
    words = ["segment", tmp_path / "ct.nii.gz", "-o", tmp_path / "organs.nii.gz", *common]
    assert main([str(w) for w in words]) == 6
    assert "MODEL_NO_AUTOMATIC" in capsys.readouterr().err
    assert not (tmp_path / "organs.nii.gz").exists()


@pytest.mark.parametrize(("device", "low"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_a_crop_is_encoded_in_bfloat16_on_a_gpu_alone(device: str, low: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU has run it: the image only says that it lies on one."""
    asked = []

    class Mixed:
        def __init__(self, kind: str, **options: Any) -> None:
            asked.append((kind, options))

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    class Image:
        def __init__(self) -> None:
            self.device = torch.device(device)

    class Encoder:
        blank = upsample = None

        def embed(self, image: Image) -> torch.Tensor:
            return torch.ones(2, dtype=torch.bfloat16)

    monkeypatch.setattr(torch, "autocast", Mixed)
    features = sam_med3d_model._Branch(Encoder()).embed(Image())  # type: ignore[arg-type]
    assert asked == [(device, {"dtype": torch.bfloat16, "enabled": low})]
    assert features.dtype == torch.float32, "what is kept of a crop is as it was"
