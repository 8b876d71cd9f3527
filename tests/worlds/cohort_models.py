"""A model for cohorts that answers at once, and that some scans kill or hold up: their brightest voxel says how."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import prosect
from prosect import vocabulary
from prosect.geometry import Grid
from prosect.volume import Volume

__all__ = ["HANG", "POISON", "FatefulModel", "load_fateful", "write_fateful"]

POISON, HANG = 3000, 2900
STEP_S = 0.02


@dataclass
class FatefulModel:
    """Labels everything above 0 as liver, unless the scan is one of those that end or hold up its process."""

    vocabulary: vocabulary.Vocabulary = field(default_factory=lambda: vocabulary.load("vista3d-ct"))
    spec: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="fake", weights_sha256="0" * 64))

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def segment(self, volume: Volume, **_options: Any) -> prosect.LabelMap:
        time.sleep(STEP_S)
        brightest = int(volume.array.max())
        if brightest == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if brightest == HANG:
            time.sleep(3600)
        labels = (volume.array > 0).astype(np.uint8)
        about = {"model": "fake", "weights_sha256": "0" * 64, "classes": [1]}
        return prosect.LabelMap(labels, volume.grid, self.vocabulary, about)


def load_fateful(_job: object) -> FatefulModel:
    """Return the model, in whatever process."""
    return FatefulModel()


def write_fateful(path: Path, seed: int, brightest: int = 1000) -> Path:
    """Write a tiny scan of noise with one brightest voxel."""
    values = np.random.default_rng(seed).integers(-500, 500, (6, 5, 4)).astype(np.float32)
    values[0, 0, 0] = brightest
    path.parent.mkdir(parents=True, exist_ok=True)
    return prosect.write(Volume(values, Grid((6, 5, 4), np.diag([3.0, 3.0, 4.0, 1.0])), "CT"), path)
