"""`prosect weights`: nothing is believed before it is checked, and nothing is fetched unless asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect.checkpoints import catalog, keeping
from prosect.networks.vista3d import Architecture, vista3d


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Random weights of a tiny network, saved as the official file is."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1, 1, 1, 1), interactive=False))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_the_list_names_models_licences_and_what_is_missing(run) -> None:
    status, out, err = run("weights", "list")
    assert (status, err) == (0, "")
    for word in (*catalog.CATALOG, "licence", "not on this machine"):
        assert word in out


def test_imported_weights_are_listed_and_verified(run, official, own_folder) -> None:
    status, out, err = run("weights", "import", official, "vista3d")
    assert (status, err) == (0, "")
    assert "width 8" in out
    assert str(own_folder) in run("weights", "list")[1]
    status, out, _ = run("weights", "verify", "vista3d")
    assert status == 0
    assert "vista3d: whole" in out


def test_damaged_weights_are_found(run, official, own_folder) -> None:
    run("weights", "import", official, "vista3d")
    file = next(own_folder.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    assert run("weights", "verify")[0] == 6
    status, out, err = run("weights", "verify", "vista3d")
    assert (status, out) == (6, "")
    assert "[MODEL_CORRUPT]" in err


def test_text_is_no_weights(run, tmp_path, own_folder) -> None:
    (tmp_path / "model.pt").write_text("not a model")
    status, _, err = run("weights", "import", tmp_path / "model.pt", "vista3d")
    assert status == 6
    assert err.count("\n") == 1
    assert not own_folder.exists()


def test_a_model_that_is_not_here_is_refused_with_what_to_do(run) -> None:
    status, _, err = run("weights", "verify", "vista3d")
    assert status == 6
    assert "prosect weights import" in err


def test_pull_takes_over_what_was_downloaded(run, official, own_folder, monkeypatch) -> None:
    honest = keeping.pull
    asked: list[str] = []

    def offline(url: str, target: Path) -> None:
        asked.append(url)
        target.write_bytes(official.read_bytes())

    monkeypatch.setattr(keeping, "pull", lambda name: honest(name, offline))
    status, out, _ = run("weights", "pull", "vista3d-ctmr")
    assert status == 0
    assert asked == [catalog.CATALOG["vista3d-ctmr"].url]
    assert out.index("licence") < out.index("kept as")
    assert (own_folder / "vista3d-ctmr.safetensors").exists()


def test_nothing_else_than_pull_fetches(run, official, scan_path, tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    for words in (["list"], ["import", official, "vista3d"], ["verify"]):
        assert run("weights", *words)[0] == 0
    assert run("segment", scan_path, "-m", "vista3d", "-rs", "liver", "-o", tmp_path / "o.nii.gz", "-d", "cpu")[0] == 0


def test_a_dry_run_of_a_real_model_states_its_memory(run, official) -> None:
    words = ["--phantom", "head-neck", "-w", official, "-d", "cpu", "-rs", "liver", "spleen"]
    status, out, err = run("segment", *words, "--dry-run")
    assert (status, err) == (0, "")
    assert "peak" in out
    assert "GiB" in out


def test_a_missing_device_is_exit_5(run, official, scan_path, tmp_path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    words = ["segment", scan_path, "-w", official, "-d", "cuda:7", "-o", tmp_path / "o.nii.gz"]
    status, _, err = run(*words)
    assert status == 5
    assert "[DEVICE_MISSING]" in err
    assert not (tmp_path / "o.nii.gz").exists()


def test_a_small_scan_goes_all_the_way(run, official, scan_path, tmp_path) -> None:
    words = ["segment", scan_path, "-w", official, "-d", "cpu", "-rs", "liver", "spleen", "-p"]
    status, out, err = run(*words, "-o", tmp_path / "o.nii.gz")
    assert (status, err) == (0, "")
    labels = prosect.read_labels(tmp_path / "o.nii.gz")
    assert labels.grid == prosect.read(scan_path).grid
    assert (tmp_path / "o_preview.png").exists()
    table = {line.split()[0] for line in out.splitlines() if line.startswith(("liver", "spleen"))}
    assert table == {labels.names[int(index)] for index in np.unique(labels.array) if index}, (
        "the table lists what the file holds"
    )


def test_a_misspelt_structure_is_exit_3_with_the_nearest(run, official, scan_path, tmp_path) -> None:
    status, _, err = run("segment", scan_path, "-w", official, "-rs", "livr", "-o", tmp_path / "o.nii.gz")
    assert status == 3
    assert "'liver'" in err
    assert not (tmp_path / "o.nii.gz").exists()


def test_weights_of_another_model_are_not_taken_under_a_false_name(run) -> None:
    shipped = Path(prosect.__file__).parent / "weights" / "prosect-small.safetensors"
    status, _, err = run("weights", "import", shipped, "vista3d")
    assert status == 6
    assert "MODEL_WRONG_NETWORK" in err
    assert "prosect-small" in err
