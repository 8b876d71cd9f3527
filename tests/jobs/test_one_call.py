"""`prosect.segment`: the job of the command line in one call."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect.cli.main import main
from prosect.errors import FormatError, UsageError
from prosect.labelmap import LabelLayers
from prosect.volume import Volume

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    array = np.full((24, 24, 24), -1000.0, np.float32)
    array[4:20, 4:20, 2:22] = 40.0
    return array


@pytest.fixture(scope="module")
def model() -> prosect.Finds:
    return prosect.require_finds(prosect.load("prosect-small", device="cpu"))


def test_a_path_a_scan_and_an_image_give_what_the_command_gives(
    tmp_path: Path, array: np.ndarray, model: prosect.Finds
) -> None:
    path = prosect.write(Volume.from_array(array, AFFINE), tmp_path / "ct.nii.gz")
    out = tmp_path / "out.nii.gz"
    assert main(["segment", str(path), "-o", str(out), "-m", "prosect-small", "-rs", "lung", "body", "-q"]) == 0
    expected = prosect.read_labels(out).array
    for scan in (path, str(path), prosect.read(path), nibabel.Nifti1Image(array, AFFINE)):
        labels = prosect.segment(scan, ["lung", "body"], model=model)
        np.testing.assert_array_equal(labels.array, expected)


def test_labels_tell_how_they_came_about(array: np.ndarray, model: prosect.Finds) -> None:
    labels = prosect.segment(Volume.from_array(array, AFFINE, "CT"), "lung", model=model)
    facts = labels.provenance["report"]
    assert labels.provenance["model"] == "prosect-small"
    assert set(facts) == {"warnings", "seconds", "files"}
    assert "segmenting" in facts["seconds"]


def test_layers_and_files_come_on_request(tmp_path: Path, array: np.ndarray, model: prosect.Finds) -> None:
    volume = Volume.from_array(array, AFFINE, "CT")
    labels = prosect.segment(volume, ["lung"], model=model, overlap=True, output=tmp_path / "masks")
    assert isinstance(labels, LabelLayers)
    assert (tmp_path / "masks" / "lung.nii.gz").exists()
    with pytest.raises(FormatError) as refused:
        prosect.segment(volume, ["lung"], model=model, overlap=True, output=tmp_path / "masks")
    assert refused.value.code == "OUTPUT_EXISTS"


def test_how_to_load_is_not_said_of_a_loaded_model(array: np.ndarray, model: prosect.Finds) -> None:
    for options in ({"weights": "a.pt"}, {"fast": True}):
        with pytest.raises(UsageError, match="leave them out"):
            prosect.segment(Volume.from_array(array, AFFINE), model=model, **options)


def test_the_names_of_the_package_are_its_public_names() -> None:
    assert dir(prosect) == sorted([*prosect.__all__, "__version__"])
