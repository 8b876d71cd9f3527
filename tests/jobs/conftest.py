"""A tiny random model on disk and a small scan, both made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect.checkpoints.files import write_weights
from prosect.geometry import Grid
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a random model of two structures."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False))
    metadata = {
        "model": "prosect-small",
        "vocabulary": "prosect",
        "classes": [1, 3],
        "preprocessing": {"spacing_mm": [3, 3, 3], "patch": [16, 16, 16]},
    }
    return write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", network.state_dict(), metadata)


@pytest.fixture
def scan_path(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(0, 300, (12, 10, 8)).astype(np.float32)
    return prosect.write(Volume(values, Grid(values.shape, np.diag([3.0, 3.0, 4.0, 1.0])), "CT"), tmp_path / "s.nii.gz")
