"""How a Segment Anything encoder runs on a device: decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from prosect.networks.sam.network import SamFeatures

__all__ = ["SliceBranch", "branch_of"]


@dataclass(frozen=True, eq=False)
class SliceBranch:
    """The encoder as a device runs it.

    Attributes:
        features: Maps normalised images (b 3 s s) to features (b c f f).
        batch: Most slices at a time; None for as many as there are.
        in_main_memory: Whether what the network holds over a slice counts against the computer's own memory.
    """

    features: Callable[[Tensor], Tensor]
    batch: int | None
    in_main_memory: bool


def branch_of(network: SamFeatures, device: torch.device) -> SliceBranch:
    """Return the encoder in the fastest way its device has.

    Args:
        network: In evaluation mode on `device`.
        device: Where it runs.
    """
    if device.type == "cuda":

        def mixed(images: Tensor) -> Tensor:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                features: Tensor = network(images)
            return features

        return SliceBranch(mixed, batch=None, in_main_memory=False)
    if device.type == "cpu":
        # A processor gains nothing from more than one slice at a time.
        return SliceBranch(network, batch=1, in_main_memory=True)
    return SliceBranch(network, batch=None, in_main_memory=False)
