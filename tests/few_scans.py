"""Scans of two boxes, their labels, and a small random model to finetune on them."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import torch

import prosect
from prosect.checkpoints.files import write_weights
from prosect.geometry import Grid
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume

SHAPE = (18, 16, 14)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
LIVER, SPLEEN = 1, 3


def boxes(folder: Path, count: int = 3) -> tuple[Path, Path]:
    """Write scans with a bright box (1) and a dark one (2), and return the folders of scans and labels."""
    images, labels = folder / "images", folder / "labels"
    for place in (images, labels):
        place.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for n in range(count):
        values = np.zeros(SHAPE, dtype=np.uint8)
        values[2 : 8 + n % 2, 4:12, 3:10] = 1
        values[11:16, 4 + n % 2 : 12, 3:10] = 2
        hu = np.array([-100.0, 600.0, -700.0])[values] + generator.normal(0, 20, SHAPE)
        prosect.write(Volume(hu.astype(np.float32), GRID), images / f"p{n}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(values, GRID.affine), labels / f"p{n}.nii.gz")
    return images, labels


def random_weights(path: Path, click_head: str = "tokens", rows: int = 512) -> Path:
    """Write random weights of a small model that knows liver and spleen."""
    torch.manual_seed(0)
    network = vista3d(Architecture(8, (1, 1), rows, click_head=click_head))  # type: ignore[arg-type]
    described = {
        "model": "prosect-small",
        "vocabulary": "prosect",
        "classes": [LIVER, SPLEEN],
        "exclusive": [LIVER, SPLEEN],
        "preprocessing": {"patch": [12, 12, 12], "spacing_mm": [2.0, 2.0, 2.0]},
    }
    return write_weights(path, network.state_dict(), described)
