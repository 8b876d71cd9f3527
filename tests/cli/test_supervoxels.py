"""`prosect supervoxels`: one scan in, one label file out, and nothing at all on refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.supervoxels.sv_scans import torso

import prosect
from prosect.networks.sam import SamFeatures, VitVariant
from worlds.refusals import names, refused_command

SMALL = VitVariant(dim=16, heads=2, windows=(3, 8), hidden=32, side=8, patch=16, out_channels=16)


@pytest.fixture
def torso_path(tmp_path: Path) -> Path:
    """Return a small CT on disk; NIfTI does not say that it is one, its values do."""
    return prosect.write(torso(), tmp_path / "ct.nii.gz")


@pytest.fixture
def sam_path(tmp_path: Path) -> Path:
    """Return random weights of a tiny network under the official keys."""
    torch.manual_seed(0)
    torch.save(SamFeatures(SMALL).state_dict(), tmp_path / "sam.pth")
    return tmp_path / "sam.pth"


@pytest.mark.parametrize("encoder", ["intensity", "features"])
def test_a_scan_becomes_supervoxels_on_its_grid(run, torso_path, tmp_path, encoder) -> None:
    status, out, err = run(
        "supervoxels", torso_path, "-o", tmp_path / "sv.nii.gz", "--encoder", encoder, "--segments", 30
    )
    assert (status, err) == (0, "")
    labels = prosect.read_labels(tmp_path / "sv.nii.gz")
    assert labels.grid == prosect.read(torso_path).grid
    count = len(np.unique(labels.array)) - 1
    assert f"{count} supervoxels by {encoder}" in out
    assert "2.00 x 2.00 x 2.50 mm" in out
    assert str(tmp_path / "sv.nii.gz") in out


def test_official_weights_come_from_a_file(run, torso_path, sam_path, tmp_path) -> None:
    words = ["--encoder", "sam-vit-b", "-w", sam_path, "--segments", 20, "-p"]
    status, out, err = run("supervoxels", torso_path, "-o", tmp_path / "sv.nrrd", *words)
    assert (status, err) == (0, "")
    assert "supervoxels by sam-vit-b" in out
    assert (tmp_path / "sv_preview.png").read_bytes().startswith(b"\x89PNG")
    assert prosect.read_labels(tmp_path / "sv.nrrd").names[1] == "supervoxel 1"


@pytest.mark.parametrize("encoder", ["sam-vit-h", "mobile-sam", "features", "intensity"])
def test_a_dry_run_states_grid_and_memory_without_weights(run, torso_path, tmp_path, encoder) -> None:
    before = names(tmp_path)
    status, out, err = run("supervoxels", torso_path, "--encoder", encoder, "--dry-run")
    assert (status, err) == (0, "")
    assert "working grid 26 x 22 x 18 of 2.00 x 2.00 x 2.50 mm" in out
    assert "peak" in out
    assert names(tmp_path) == before


def test_quiet_prints_nothing(run, torso_path, tmp_path) -> None:
    words = ["-o", tmp_path / "sv.nii.gz", "--encoder", "intensity", "-q"]
    assert run("supervoxels", torso_path, *words) == (0, "", "")


class TestRefusals:
    """Each ends with one line, its own exit code and no file."""

    def refused(self, run, tmp_path, status: int, code: str, *words: object) -> None:
        refused_command(run, tmp_path, code, "supervoxels", *words, status=status)

    def test_an_existing_output(self, run, torso_path, tmp_path) -> None:
        (tmp_path / "o.nii.gz").write_bytes(b"precious")
        self.refused(run, tmp_path, 3, "OUTPUT_EXISTS", torso_path, "-o", tmp_path / "o.nii.gz")

    def test_the_input_itself(self, run, torso_path, tmp_path) -> None:
        self.refused(run, tmp_path, 3, "OUTPUT_IS_INPUT", torso_path, "-o", torso_path, "--overwrite")

    @pytest.mark.parametrize("name", ["folder", "o.jpg"])
    def test_what_is_no_label_file(self, run, torso_path, tmp_path, name) -> None:
        self.refused(run, tmp_path, 3, "OUTPUT_FORMAT_UNKNOWN", torso_path, "-o", tmp_path / name)

    def test_weights_that_are_not_here(self, run, torso_path, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "none"))
        words = torso_path, "-o", tmp_path / "o.nii.gz", "--encoder", "sam-vit-h"
        self.refused(run, tmp_path, 6, "MODEL_NOT_INSTALLED", *words)

    def test_weights_of_another_network(self, run, torso_path, sam_path, tmp_path) -> None:
        words = torso_path, "-o", tmp_path / "o.nii.gz", "--encoder", "features", "-w", sam_path
        self.refused(run, tmp_path, 6, "MODEL_WRONG_NETWORK", *words)

    def test_weights_for_what_has_none(self, run, torso_path, sam_path, tmp_path) -> None:
        words = torso_path, "-o", tmp_path / "o.nii.gz", "--encoder", "intensity", "-w", sam_path
        self.refused(run, tmp_path, 3, "ENCODER_UNKNOWN", *words)

    def test_a_scan_that_is_not_there(self, run, tmp_path) -> None:
        self.refused(run, tmp_path, 3, "INPUT_NOT_FOUND", tmp_path / "no.nii.gz", "-o", tmp_path / "o.nii.gz")


@pytest.mark.parametrize(
    "words",
    [
        ["a.nii"],
        ["-o", "b.nii"],
        ["a.nii", "-o", "b.nii", "--encoder", "sam"],
        ["a.nii", "-o", "b.nii", "--segments", "0"],
        ["a.nii", "-o", "b.nii", "--segments", "many"],
        ["a.nii", "-o", "b.nii", "-d", "tpu"],
    ],
)
def test_wrong_usage_is_exit_2(run, words) -> None:
    status, out, err = run("supervoxels", *words)
    assert (status, out) == (2, "")
    assert "usage:" in err


def test_the_encoders_that_can_be_typed_are_those_there_are() -> None:
    from prosect.cli.arguments import supervoxels as arguments
    from prosect.supervoxels import ENCODERS

    assert arguments.ENCODERS == ENCODERS
