"""`prosect train` goes from a list of scans to a model with both branches, and goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import prosect
from prosect.cli.main import main

RECIPE = """
name = "boxes"
licence = "made up"

[[data]]
list = "list.json"

[shape]
width = 8
blocks = [1, 1]
click_head = "maps"
spacing_mm = 3
window = [16, 16, 16]
low = 0
high = 100

[defaults]
patch = [16, 16, 16]
steps = 4
learning_rate = 1e-3
bfloat16 = false

[stage.3_automatic]
augmentation = "official"
validate_every = 2
validate_on = 1

[stage.4_automatic_finetuning]
loss = "exclusive"
steps = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a recipe and four small scans of two boxes, one scan unlabelled but for supervoxels."""
    generator = np.random.default_rng(0)
    rows: dict[str, list[dict[str, object]]] = {"training": [], "validation": []}
    for n in range(4):
        labels = np.zeros((20, 18, 22), dtype=np.uint8)
        labels[3 + n : 9 + n, 3:12, 4:14] = 1
        labels[13:17, 3:12, 4 + n : 14] = 2
        image = labels * 40.0 + generator.normal(10, 3, labels.shape)
        regions = 1 + np.indices(labels.shape)[2] // 6
        for name, array in (("ct", image.astype(np.float32)), ("seg", labels), ("sv", regions.astype(np.int16))):
            nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / f"{name}{n}.nii.gz")
        row = {"name": f"c{n}", "image": f"ct{n}.nii.gz", "label": f"seg{n}.nii.gz", "label_sv": f"sv{n}.nii.gz"}
        rows["validation" if n == 3 else "training"].append(row)
    mapping = [[1, "liver"], [2, "+new organ"]]
    (tmp_path / "list.json").write_text(json.dumps({"dataset": "boxes", "label_mapping": mapping, **rows}))
    (tmp_path / "boxes.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder: Path, work: str, *more: str) -> int:
    return main(["train", str(folder / "boxes.toml"), "--work", str(folder / work), "-d", "cpu", *more])


def test_four_stages_make_a_model_that_segments_and_clicks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--tensorboard") == 0
    told = capsys.readouterr().out
    assert "validation" in told
    model = prosect.load(weights=folder / "run" / "boxes.safetensors")
    assert model.vocabulary["new organ"].supported
    volume = prosect.read(folder / "ct3.nii.gz")
    assert set(model.segment(volume).present) <= {1, model.vocabulary["new organ"].index}
    session = model.session(volume)
    session.click(tuple(volume.grid.to_world(np.array([[6.0, 6.0, 8.0]]))[0]), structure="liver")
    logs = [json.loads(line) for line in (folder / "run" / "3_automatic" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logs if row.get("event") == "validated"] == [2, 4]
    assert (folder / "run" / "3_automatic" / "validation.png").exists()
    assert list((folder / "run" / "tensorboard").rglob("events*"))


def test_a_frozen_encoder_stays_bit_for_bit_and_the_others_learn(folder: Path) -> None:
    assert train(folder, "run", "-q", "--stage", "2_interactive_finetuning", "3_automatic") == 0
    clicked, automatic = (
        torch.load(folder / "run" / stage / "state.pt", weights_only=True)
        for stage in ("2_interactive_finetuning", "3_automatic")
    )
    before, after = clicked["average"], automatic["network"]
    for part, learns in (("encoder", False), ("up_layers", False), ("up_layers_auto", True)):
        keys = [key for key in before if key.startswith(f"image_encoder.{part}.")]
        assert keys
        assert all(torch.equal(before[key], after[key]) for key in keys) != learns, part


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(folder: Path) -> None:
    assert train(folder, "whole", "-q") == 0
    assert train(folder, "cut", "-q", "--minutes", "1e-9") == 0
    assert not (folder / "cut" / "boxes.safetensors").exists()
    assert train(folder, "cut", "-q") == 0
    first, second = ((folder / work / "boxes.safetensors").read_bytes() for work in ("whole", "cut"))
    assert first == second


def test_a_dry_run_checks_and_trains_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "3 training scans, 1 for validation" in told
    assert "new organ" in told
    assert not (folder / "run" / "1_interactive").exists()


def test_a_list_with_a_bad_file_is_refused_before_the_first_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nib.save(nib.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4)), folder / "seg1.nii.gz")
    assert train(folder, "run") == 3
    assert "DATALIST_UNFIT" in capsys.readouterr().err
    assert not (folder / "run" / "1_interactive").exists()


def test_an_unknown_stage_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "--stage", "5") == 3
    assert "3_automatic" in capsys.readouterr().err


def test_more_steps_in_the_same_folder_are_another_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "run", "-q", "--steps", "1", "--stage", "1_interactive") == 0
    assert train(folder, "run", "-q", "--steps", "2", "--stage", "1_interactive") == 3
    assert "RESUME_OTHER_RUN" in capsys.readouterr().err
