"""`prosect train` teaches a SAM-Med3D by recipe, and what it writes answers clicks."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import prosect
from prosect.cli.main import main
from prosect.errors import RecipeError
from prosect.models.sam_med3d import SamMed3DModel
from prosect.training.recipe_file import read_recipe
from prosect.training.sam_med3d import architecture_of

RECIPE = """
name = "chains"
licence = "made up"
stages = ["chained_from_nothing"]

[[data]]
list = "list.csv"
map = ["1=liver", "2=+new organ"]
fold = 0

[shape]
spacing_mm = 3
low = 0
high = 100

[sam_med3d]
crop = 16
token = 4
width = 24
depth = 2
heads = 2
global_blocks = [1]
attention = 3
embedding = 48
decoder_hidden = 32

[defaults]
patch = [16, 16, 16]
steps = 4
validate_every = 2
validate_on = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a recipe and three small scans of two boxes, one of them for validation."""
    rows = ["image,label,fold"]
    for n in range(3):
        labels = np.zeros((20, 18, 22), dtype=np.uint8)
        labels[3:9, 3:12, 4 + n : 14] = 1
        labels[13:17, 3:12, 4:14] = 2
        image = labels * 40.0 + 10
        for name, array in (("ct", image.astype(np.float32)), ("seg", labels)):
            nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / f"{name}{n}.nii.gz")
        rows.append(f"ct{n}.nii.gz,seg{n}.nii.gz,{int(n > 0)}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    (tmp_path / "chains.toml").write_text(RECIPE)
    return tmp_path


def train(folder: Path, work: str, *more: str) -> int:
    return main(["train", str(folder / "chains.toml"), "--work", str(folder / work), "-d", "cpu", *more])


def test_a_recipe_makes_a_model_that_answers_clicks(folder: Path) -> None:
    assert train(folder, "run", "-q") == 0
    model = prosect.load(weights=folder / "run" / "chains.safetensors", device="cpu")
    assert isinstance(model, SamMed3DModel)
    assert model.network.architecture == architecture_of(read_recipe(folder / "chains.toml"))
    assert (model.spec.name, model.spec.licence, model.spec.spacing_mm) == ("chains", "made up", (3.0, 3.0, 3.0))
    session = model.session(prosect.read(folder / "ct0.nii.gz"))
    session.click((6, 6, 8), structure="liver", space="voxel")
    state = torch.load(folder / "run" / "chained_from_nothing" / "state.pt", weights_only=True)
    assert state["step"] == 4


def test_a_stopped_training_of_chains_goes_on_to_the_same_weights(folder: Path) -> None:
    assert train(folder, "whole", "-q") == 0
    assert train(folder, "cut", "-q", "--minutes", "1e-9") == 0
    assert not (folder / "cut" / "chains.safetensors").exists()
    assert train(folder, "cut", "-q") == 0
    first, second = ((folder / work / "chains.safetensors").read_bytes() for work in ("whole", "cut"))
    assert first == second


def test_a_training_goes_on_from_weights_of_the_same_shape_and_of_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "run", "-q", "--steps", "1") == 0
    start = folder / "run" / "chains.safetensors"
    (folder / "chains.toml").write_text(RECIPE.replace("[shape]", f'[shape]\nstart = "{start}"'))
    assert train(folder, "more", "-q", "--steps", "1") == 0
    text = (folder / "chains.toml").read_text()
    (folder / "chains.toml").write_text(text.replace("decoder_hidden = 32", "decoder_hidden = 64"))
    assert train(folder, "other", "-q", "--steps", "1") == 3
    assert "differs from [sam_med3d] in decoder_hidden" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("patch = [16, 16, 16]", "patch = [24, 24, 24]", "crops of 16 voxels"),
        ("embedding = 48", "embedding = 50", "not a multiple of 48"),
        ("steps = 4", 'steps = 4\nbranch = "interactive"', 'must be "chained"'),
        ("steps = 4", 'steps = 4\ntrain = ["encoder", "automatic"]', "train names automatic"),
        ("steps = 4", "steps = 4\nunasked = true\nrounds = 2", "must be 3 or more"),
        ("crop = 16", "corp = 16", "nearest: crop"),
    ],
)
def test_what_does_not_go_together_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "chains.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError) as refused:
        architecture_of(read_recipe(folder / "chains.toml"))
    assert message in str(refused.value)
    assert refused.value.code == "RECIPE_INVALID"


def test_the_official_chain_is_what_a_recipe_without_stages_trains(folder: Path) -> None:
    (folder / "chains.toml").write_text(RECIPE.replace('stages = ["chained_from_nothing"]\n', ""))
    (stage,) = read_recipe(folder / "chains.toml").stages
    assert (stage.name, stage.branch, stage.rounds, stage.objects, stage.shares) == (
        "chained",
        "chained",
        11,
        1,
        (1, 0.1),
    )
