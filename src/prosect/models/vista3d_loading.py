"""From weights to a VISTA3D ready for use."""

from __future__ import annotations

import torch

from prosect.checkpoints.catalog import Entry
from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit import fit
from prosect.errors import CheckpointError
from prosect.models.metadata import spec_of
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel

__all__ = ["load"]


def load(base: Entry, weights: RawWeights, device: torch.device, profile_name: str) -> Vista3DModel:
    """Return a VISTA3D with these weights.

    Args:
        base: What the catalogue says of it; the weights may say otherwise.
        weights: Of any official layout.
        device: Where it runs.
        profile_name: One of `PROFILES`.

    Raises:
        CheckpointError: The weights are another network's, have no automatic branch, or state windows that the
            network cannot take (`MODEL_WRONG_NETWORK`).
        PromptError: The profile is unknown (`PROFILE_UNKNOWN`).
    """
    network, report = fit(weights)
    if not report.architecture.automatic:
        raise CheckpointError(
            "These weights have no automatic branch, so there is nothing to segment with.", code="MODEL_WRONG_NETWORK"
        )
    spec = spec_of(base, weights.metadata, report.sha256, report.architecture.classes)
    refuse_windows(spec, report.architecture.divisor)
    return Vista3DModel(network.to(device), spec, profile(profile_name), device)


def refuse_windows(spec: ModelSpec, divisor: int) -> None:
    """Refuse windows that are no multiples of what the network halves them by: engines fail on those.

    Raises:
        CheckpointError: There are some (`MODEL_WRONG_NETWORK`).
    """
    for word, shape in (("patch", spec.window), ("click_patch", spec.click_patch)):
        if shape is not None and any(count < 1 or count % divisor for count in shape):
            raise CheckpointError(
                f"These weights state `{word}` {list(shape)}, in voxels; this network needs a multiple of {divisor} "
                "along each axis. State the shape that it was trained with.",
                code="MODEL_WRONG_NETWORK",
            )
