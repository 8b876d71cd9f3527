"""Models that answer at once, for tests of what is made of answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

import prosect
from prosect import vocabulary

__all__ = ["LiverEverywhere"]


@dataclass
class LiverEverywhere:
    """Labels everything above 0 as liver."""

    vocabulary: vocabulary.Vocabulary = field(default_factory=lambda: vocabulary.load("vista3d-ct"))
    spec: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="fake", weights_sha256="0" * 64))

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def segment(self, volume, **_options):
        labels = (volume.array > 0).astype(np.uint8)
        about = {"model": "fake", "weights_sha256": "0" * 64, "classes": [1]}
        return prosect.LabelMap(labels, volume.grid, self.vocabulary, about)
