"""VISTA3D's interactive branch as sessions use it."""

from __future__ import annotations

import warnings
from dataclasses import replace

from torch import Tensor

from prosect.case import Intensity, Preparation
from prosect.errors import CheckpointError, ProsectWarning
from prosect.inference.memory import refuse_exhaustion_of_click
from prosect.models.checks import not_hounsfield
from prosect.models.spec import ModelSpec, Profile
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.branches import Branches
from prosect.volume import Volume

__all__ = ["PointBranch", "click_preparation", "refuse_clicks", "warn_of_scaling"]

# What the official code of the CVPR 2025 challenge gives clicks to see, whatever the modality.
OTHER_MODALITIES = Intensity("percentile", 1.0, 99.0)


def refuse_clicks(network: Vista3D, spec: ModelSpec) -> None:
    """Refuse clicks where the weights cannot answer them.

    Raises:
        CheckpointError: There is no interactive branch, or it belongs to another encoder (`MODEL_NO_CLICKS`).
    """
    hint = "use official VISTA3D weights for CT (model vista3d)"
    if not network.architecture.interactive:
        raise CheckpointError(
            f"The model '{spec.name}' has no interactive branch, so it takes no clicks; {hint}.", code="MODEL_NO_CLICKS"
        )
    if spec.automatic_only:
        raise CheckpointError(
            f"The interactive branch of '{spec.name}' was trained with another encoder, so its answers to clicks "
            f"would mislead; {hint}.",
            code="MODEL_NO_CLICKS",
        )


def click_preparation(volume: Volume, spec: ModelSpec, profile: Profile) -> Preparation:
    """Return how a scan is prepared for clicks.

    It is not cropped to content, unlike for the sweep: a click may lie in the air. A scan that is not in the Hounsfield
    units that a model takes is scaled by its own percentiles.
    """
    prepared = replace(spec.preparation(profile), crop_above=None)
    return replace(prepared, intensity=OTHER_MODALITIES) if _scaled_anew(volume, spec, profile) else prepared


def warn_of_scaling(volume: Volume, spec: ModelSpec, profile: Profile) -> None:
    """Say that a scan is not what the model was trained on, and what is done about it."""
    doubt = _scaled_anew(volume, spec, profile)
    if doubt:
        text = f"{doubt[0].upper()}{doubt[1:]}; clicks see it scaled between its 1st and 99th percentile."
        warnings.warn(text, ProsectWarning, stacklevel=3)


def _scaled_anew(volume: Volume, spec: ModelSpec, profile: Profile) -> str:
    """Return why a scan cannot be shown in the model's window, or nothing; the official profiles show it so."""
    return not_hounsfield(volume, spec) if profile.rescales else ""


class PointBranch:
    """The click branch as a responder asks it, with memory that runs out refused by type.

    Args:
        branches: Those of a VISTA3D with an interactive branch.
    """

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self.sequential = branches.sequential

    @refuse_exhaustion_of_click()
    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on a patch (1 1 i j k) shares, float32."""
        return self._branches.interactive_features(image)

    @refuse_exhaustion_of_click()
    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return mask logits (q 1 i j k); see `Vista3D.point_logits`."""
        return self._branches.point_logits(features, points, labels, zero_shot, previous)
