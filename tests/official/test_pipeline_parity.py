"""Our label maps against an independent run of the official pipeline on the same weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

import prosect
from prosect import vocabulary
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Architecture, vista3d

pytest.importorskip("monai")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]

CLASSES = [1, 3, 5, 14, 6, 22, 121]
SPACING = (2.0, 2.0, 2.0)
PATCH = (48, 48, 32)
ORIENTATIONS = {
    "ras": np.diag([2.9, 3.1, 2.3, 1.0]),
    "lps": np.diag([-2.9, -3.1, 2.3, 1.0]),
    "sagittal": np.array([[0, 0, 2.3, -7], [3.1, 0, 0, 11], [0, -2.9, 0, 5], [0, 0, 0, 1.0]]),
}


def write_scan(folder: Path, affine: np.ndarray) -> Path:
    """Write a smooth random scan with air around it."""
    generator = np.random.default_rng(3)
    coarse = torch.from_numpy(generator.normal(40, 300, (1, 1, 8, 8, 8)))
    array = torch.nn.functional.interpolate(coarse, size=(44, 39, 42), mode="trilinear")[0, 0].numpy()
    array[:6] = -1000
    path = folder / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), affine), path)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["bundle", "research"])
def test_label_maps_equal_those_of_the_official_pipeline(tmp_path: Path, orientation: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tests.official import monai_pipeline
    path = write_scan(tmp_path, ORIENTATIONS[orientation])
    official_net = monai_pipeline.network(seed=5, width=16)
    official = monai_pipeline.run(official_net, path, CLASSES, name, SPACING, PATCH)
    ours_net = vista3d(Architecture(width=16)).eval()
    ours_net.load_state_dict(official_net.state_dict())
    spec = ModelSpec("test", vocabulary.load("vista3d-ct"), spacing_mm=SPACING, window=PATCH)
    model = Vista3DModel(ours_net, spec, profile(name), torch.device("cpu"))
    ours = model.segment(prosect.read(path), CLASSES).array
    assert ours.shape == official.shape
    assert len(np.unique(official)) >= 4, "the comparison needs several classes to mean anything"
    assert (ours == official).mean() >= 0.9999
