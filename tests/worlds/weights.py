"""Weights of networks so small that a test can afford them; random, so nothing is found but everything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prosect.checkpoints.files import write_weights
from prosect.networks.sam_med3d import Architecture as SamArchitecture
from prosect.networks.vista3d import Architecture, Vista3D, vista3d

__all__ = ["TINY_SAM", "tiny_vista3d", "write_vista3d"]

TINY_SAM = SamArchitecture(
    crop=32, patch=8, width=24, depth=2, heads=2, global_blocks=(1,), window=5, embedding=48, decoder_hidden=32
)


def tiny_vista3d(width: int = 8, **architecture: Any) -> Vista3D:
    """Return a small network with the same random weights each time, ready to infer."""
    torch.manual_seed(0)
    return vista3d(Architecture(width=width, blocks=(1, 1), **architecture)).eval()


def write_vista3d(path: Path, said: Mapping[str, Any] | None = None, **architecture: Any) -> Path:
    """Write such weights and return the path.

    Args:
        path: A `.safetensors` file.
        said: What the file says of its model beside the name, its patch and its spacing, or instead of them.
        architecture: As for `tiny_vista3d`.
    """
    preprocessing = {"patch": [16, 16, 16], "spacing_mm": [3.0, 3.0, 3.0]}
    metadata = {"model": "vista3d", "preprocessing": preprocessing, **(said or {})}
    return write_weights(path, tiny_vista3d(**architecture).state_dict(), metadata)
