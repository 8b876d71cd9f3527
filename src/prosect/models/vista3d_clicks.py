"""VISTA3D's interactive branch as sessions use it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from prosect.case import Case, Intensity, Placement, Preparation
from prosect.errors import CheckpointError, ProsectWarning
from prosect.inference.appearance import Appearance
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.lasting import Lasting
from prosect.inference.memory import refuse_exhaustion_of_click
from prosect.inference.patch_images import PaddedImage, ResampledImage
from prosect.inference.scale_choice import Known, LabelledPoint, ScaleRule, Views, find_scale
from prosect.inference.scales import Rescaled
from prosect.inference.windows import Shape, WindowPlan
from prosect.models.checks import not_hounsfield
from prosect.models.spec import ModelSpec, Profile, scaled_spacing
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.branches import Branches
from prosect.volume import Volume

__all__ = ["PointBranch", "answer_clicks", "click_preparation", "refuse_clicks", "warn_of_scaling"]

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


def answer_clicks(
    volume: Volume,
    spec: ModelSpec,
    profile: Profile,
    branch: PointBranch,
    device: torch.device,
    windows: Callable[[Shape], WindowPlan],
    kept: FeatureBudget | None = None,
) -> ClickResponder:
    """Return what answers clicks on a scan, at the model's working spacing and at multiples of it.

    Args:
        volume: The scan.
        spec: What the model was trained with.
        profile: How scans are prepared; the official profiles know one scale unless a person says a size.
        branch: The model's click branch.
        device: Where it runs.
        windows: Returns how a network grid is padded to hold a patch.
        kept: Memory for what is remembered; by default the one that the whole process shares.
    """
    case = Case.prepare(volume, click_preparation(volume, spec, profile))
    case = replace(case, image=case.image.to(device))
    plan = windows(case.grid.shape)
    rule, appearance, lasting = measured_rules(spec, profile)

    def rescaled(scale: float) -> ClickResponder:
        """Return what answers at another working spacing; intensities are scaled as at the model's own."""
        placement = Placement.spaced(volume.grid, scaled_spacing(spec, scale))
        there = windows(placement.grid.shape)
        image = ResampledImage(volume.array, placement, there, case.intensity, device)
        return ClickResponder(placement, branch, there, image, kept, None, appearance, lasting)

    def find(points: Sequence[LabelledPoint], zero_shot: bool) -> float:
        """Return the scale that clicks speak for."""
        assert rule is not None  # else this is not handed on
        at: dict[float, Views] = {scale: others.at(scale) for scale in rule.tried if scale != 1}
        at[1.0] = answering
        margin = rule.margin if not_hounsfield(volume, spec) else rule.margin_hu
        return find_scale(at, points, zero_shot, rule, margin, known)

    known: Known = {}
    others = Rescaled(spec.click_scales, rescaled, None if rule is None else find)
    whole = PaddedImage(case, plan, profile.padding)
    answering = ClickResponder(case, branch, plan, whole, kept, others, appearance, lasting)
    return answering


def measured_rules(spec: ModelSpec, profile: Profile) -> tuple[ScaleRule | None, Appearance | None, Lasting | None]:
    """Return what was measured for a model beside its network; nothing under the official profiles."""
    if not profile.rescales:
        return None, None, None
    return spec.click_scales.rule, spec.appearance, spec.lasting
