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

NAMES = (
    "bundle_root", "image_key", "output_dir", "output_ext", "output_dtype", "output_postfix", "separate_folder",
    "input_dict", "everything_labels", "metadata", "labels_dict", "subclass", "resample_spacing", "sw_batch_size",
    "patch_size", "device", "network_def", "network", "preprocessing", "dataset", "dataloader", "inferer",
    "postprocessing", "handlers", "evaluator", "initialize", "run",
)  # fmt: skip
FILES = (
    "LICENSE", "configs/metadata.json", "configs/inference.json", "configs/inference_official.json",
    "configs/batch_inference.json", "configs/logging.conf", "models/model.pt", "docs/README.md", "docs/labels.json",
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
    assert "`points` are refused" in readme
    assert json.loads((bundle / "docs" / "labels.json").read_text())["3"] == "spleen"
    targets = json.dumps(json.loads((bundle / "configs" / "inference.json").read_text()))
    assert "scripts" not in targets
    assert not (bundle / "scripts").exists()


def test_it_has_every_file_and_every_name_that_other_programs_override(bundle: Path) -> None:
    found = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert set(FILES) <= found
    for name in ("inference.json", "inference_official.json"):
        config = json.loads((bundle / "configs" / name).read_text())
        assert [key for key in NAMES if key not in config] == []
    batch = json.loads((bundle / "configs" / "batch_inference.json").read_text())
    assert {"input_dir", "input_suffix"} <= set(batch)


def test_clicks_are_refused_and_never_passed_over(bundle: Path) -> None:
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    first = config["preprocessing"]["transforms"][0]["func"]
    refuse = eval(first.removeprefix("$"))
    assert refuse({"image": "ct.nii.gz"}) == {"image": "ct.nii.gz"}
    with pytest.raises(ValueError, match="classes only"):
        refuse({"image": "ct.nii.gz", "points": [[1, 2, 3]]})


def test_its_weights_are_plain_float32_tensors_under_the_official_names(bundle: Path) -> None:
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}
    assert "prosect.format" not in state


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
