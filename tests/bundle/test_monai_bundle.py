"""An exported bundle is run by MONAI's own program, and labels what we label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect.bundle.inference import is_official_shape, network_config
from prosect.bundle.writing import export_bundle
from prosect.errors import OutputError
from prosect.models import Learns, require_learns
from prosect.networks.vista3d import Architecture, vista3d
from worlds.scans import noise
from worlds.weights import write_vista3d

pytest.importorskip("monai", reason="needs the extra `training`")
pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = [1, 3, 4, 5]
SAID = {"model": "prosect-small", "vocabulary": "prosect", "classes": CLASSES}
KEYS = (
    "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task",
    "description", "authors", "copyright", "network_data_format",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return random weights of a narrow network without a click head."""
    return write_vista3d(tmp_path_factory.mktemp("weights") / "tiny.safetensors", SAID, interactive=False)


def learner(weights: Path, profile: str = "prosect") -> Learns:
    return require_learns(prosect.load(weights=weights, device="cpu", profile=profile))


@pytest.fixture(scope="module")
def bundle(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an exported bundle."""
    folder = tmp_path_factory.mktemp("export") / "bundle"
    export_bundle(learner(weights), folder, weights)
    return folder


def scan(path: Path, seed: int = 0) -> Path:
    return prosect.write(noise((31, 26, 19), np.diag([-3.3, 2.9, 4.0, 1.0]), seed=seed, modality="CT"), path)


def run(bundle: Path, config: str, image: Path, out: Path, **changes: Any) -> np.ndarray[Any, Any]:
    """Run a bundle as `python -m monai.bundle run` does, and return the labels that it saved."""
    monai_bundle = pytest.importorskip("monai.bundle")
    pytest.importorskip("ignite", reason="MONAI's evaluator needs pytorch-ignite")
    monai_bundle.run(
        config_file=str(bundle / "configs" / config), bundle_root=str(bundle), output_dir=str(out),
        separate_folder=False, output_ext=".nii", **{"input_dict": {"image": str(image)}, **changes},
    )  # fmt: skip
    saved = next(out.glob("*.nii"))
    return np.asarray(prosect.read_labels(saved).array)


def test_monai_runs_it_with_the_voxels_of_the_official_profile(bundle: Path, weights: Path, tmp_path: Path) -> None:
    image = scan(tmp_path / "ct.nii.gz")
    theirs = run(bundle, "inference_official.json", image, tmp_path / "out")
    ours = prosect.require_finds(learner(weights, "bundle")).segment(prosect.read(image)).array
    assert len(np.unique(ours)) >= 3, "the comparison needs several classes to mean anything"
    assert theirs.shape == ours.shape
    assert (theirs == ours).mean() == 1.0


def test_a_prompt_by_name_and_index_is_kept_to(bundle: Path, weights: Path, tmp_path: Path) -> None:
    image = scan(tmp_path / "ct.nii.gz", seed=1)
    asked = {"image": str(image), "label_prompt": ["spleen", 1]}
    theirs = run(bundle, "inference_official.json", image, tmp_path / "out", input_dict=asked)
    ours = prosect.require_finds(learner(weights, "bundle")).segment(prosect.read(image), ["spleen", "liver"]).array
    assert set(np.unique(theirs)) <= {0, 1, 3}
    assert (theirs == ours).mean() == 1.0


def test_the_other_recipe_runs_too_and_keeps_the_grid(bundle: Path, tmp_path: Path) -> None:
    image = scan(tmp_path / "ct.nii.gz")
    theirs = run(bundle, "inference.json", image, tmp_path / "out")
    assert theirs.shape == prosect.read(image).array.shape
    assert set(np.unique(theirs)) <= {0, *CLASSES}


def test_as_weights_a_bundle_is_the_file_that_it_was_made_from(bundle: Path, weights: Path, tmp_path: Path) -> None:
    volume = prosect.read(scan(tmp_path / "ct.nii.gz"))
    first = prosect.require_finds(prosect.load(weights=weights, device="cpu")).segment(volume)
    again = prosect.require_finds(prosect.load(weights=bundle, device="cpu")).segment(volume)
    assert np.array_equal(first.array, again.array)
    assert (bundle / "models" / "model.safetensors").read_bytes() == weights.read_bytes()


def test_its_words_say_what_is_in_it(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert [key for key in KEYS if key not in metadata] == []
    assert metadata["task"].endswith("(classes only)")
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert channels["1"] == "liver"
    readme = (bundle / "docs" / "README.md").read_text()
    assert "Do not give `points`" in readme
    assert json.loads((bundle / "docs" / "labels.json").read_text())["3"] == "spleen"
    targets = json.dumps(json.loads((bundle / "configs" / "inference.json").read_text()))
    assert "scripts" not in targets
    assert not (bundle / "scripts").exists()


def test_the_published_shape_is_the_function_of_monai_and_fits_strictly() -> None:
    shape = Architecture(width=8)
    assert is_official_shape(shape)
    config = network_config(shape)
    assert config["_target_"].endswith("vista3d132")
    from monai.networks.nets.vista3d import vista3d132

    torch.manual_seed(0)
    theirs = vista3d132(encoder_embed_dim=config["encoder_embed_dim"], in_channels=config["in_channels"])
    state = {key: value for key, value in vista3d(shape).state_dict().items() if key != "prosect.format"}
    theirs.load_state_dict(state)


def test_a_folder_that_holds_something_is_refused(bundle: Path, weights: Path) -> None:
    with pytest.raises(OutputError) as refused:
        export_bundle(learner(weights), bundle)
    assert refused.value.code == "OUTPUT_EXISTS"
