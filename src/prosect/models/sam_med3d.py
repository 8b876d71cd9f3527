"""SAM-Med3D ready for use: the one file where its network meets inference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from prosect.case import Case, Intensity, Preparation
from prosect.checkpoints.catalog import Entry
from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d
from prosect.errors import PromptError
from prosect.inference.crops import CropResponder, CropRules
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.memory import refuse_exhaustion_of_click
from prosect.inference.scales import ClickScales, Rescaled
from prosect.models.metadata import preprocessing_of
from prosect.models.shown import ShownModel
from prosect.models.spec import ModelSpec, scaled_spacing
from prosect.networks.sam_med3d import SamMed3D
from prosect.session import Session
from prosect.vocabulary import Vocabulary
from prosect.vocabulary import load as load_vocabulary
from prosect.volume import Volume

__all__ = ["CLICK_PROFILES", "ClickProfile", "SamMed3DModel", "click_profile", "load"]

# It follows a target from crop to crop, so finer grids of whole scans, which need much memory, are left out.
SCALES = ClickScales(lowest=1.0, highest=8.0, extents_mm=(1.0, 300.0))


@dataclass(frozen=True)
class ClickProfile:
    """How SAM-Med3D is asked.

    Attributes:
        name: `prosect` (as the weights were trained) or `research` (as the official inference does).
        clamp_ct: Whether CT is clipped to [-1000, 1000] HU, as in training. official: its inference leaves that out.
        rules: What is normalised, which clicks are shown, whether the crop follows the target.
    """

    name: str = "prosect"
    clamp_ct: bool = True
    rules: CropRules = field(default_factory=CropRules)

    def __str__(self) -> str:
        """Return the name, and what differs from the profile of that name."""
        base = CLICK_PROFILES[self.name]
        ours, theirs = ({"clamp_ct": p.clamp_ct, **vars(p.rules)} for p in (self, base))
        changed = []
        for key, value in ours.items():
            if theirs[key] != value:
                changed.append(f"{key}={value}")
        if changed:
            return f"{self.name} with {', '.join(changed)}"
        return self.name


CLICK_PROFILES: dict[str, ClickProfile] = {
    "prosect": ClickProfile(),
    "research": ClickProfile("research", clamp_ct=False, rules=CropRules(prompts="all", extend=False)),
}


def click_profile(name: str) -> ClickProfile:
    """Return a profile by name.

    Raises:
        PromptError: There is no such profile for this model (`PROFILE_UNKNOWN`).
    """
    if name not in CLICK_PROFILES:
        known = ", ".join(CLICK_PROFILES)
        raise PromptError(f"SAM-Med3D has no profile '{name}'; choose one of {known}.", code="PROFILE_UNKNOWN")
    return CLICK_PROFILES[name]


class _Branch:
    """The network as a responder asks it, with memory that runs out refused by type."""

    def __init__(self, network: SamMed3D) -> None:
        self.blank, self.upsample = network.blank, network.upsample
        self._network = network

    @refuse_exhaustion_of_click()
    def embed(self, image: Tensor) -> Tensor:
        """Return what every click on a crop shares, float32; on a GPU it is made in mixed bfloat16."""
        kind = image.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
            features = self._network.embed(image)
        return features.float()

    @refuse_exhaustion_of_click()
    def refine(self, features: Tensor, points: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
        """Return the answer to clicks; see `SamMed3D.refine`."""
        return self._network.refine(features, points, labels, previous)


@dataclass(frozen=True, eq=False, repr=False)
class SamMed3DModel(ShownModel):
    """A loaded SAM-Med3D: clicks become masks of anything, in CT, MR and other scans.

    Attributes:
        network: The network, in evaluation mode on `device`.
        spec: What it was trained with.
        profile: How it is asked.
        device: Where the network runs.
    """

    network: SamMed3D
    spec: ModelSpec
    profile: ClickProfile
    device: torch.device

    @property
    def vocabulary(self) -> Vocabulary:
        """Structures known by name; every one is an object of its own to this model."""
        return self.spec.vocabulary

    @property
    def identity(self) -> dict[str, str]:
        """What decides its answers."""
        return {"model": self.spec.name, "weights_sha256": self.spec.weights_sha256, "profile": str(self.profile)}

    def with_switches(
        self,
        *,
        clamp_ct: bool | None = None,
        normalise: Literal["crop", "scan"] | None = None,
        prompts: Literal["newest", "all"] | None = None,
        extend: bool | None = None,
    ) -> SamMed3DModel:
        """Return the model with some switches set otherwise than its profile does; see `ClickProfile`, `CropRules`.

        A session made so is resumed with the same model: `prosect.resume(path, volume, model=...)`.
        """
        asked = {"normalise": normalise, "prompts": prompts, "extend": extend}
        rules = replace(self.profile.rules, **{key: value for key, value in asked.items() if value is not None})  # type: ignore[arg-type]
        clamped = self.profile.clamp_ct if clamp_ct is None else clamp_ct
        return replace(self, profile=replace(self.profile, clamp_ct=clamped, rules=rules))

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session in which a person makes structures by clicks.

        Args:
            volume: The scan.
            options: See `Session`: `overlap`, `near_miss_mm`, `compat`, `journal`, `clock`.
        """
        return Session(volume, self, **options)

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> CropResponder:
        """Return what answers clicks on a scan.

        Args:
            volume: The scan.
            kept: Memory for what is remembered; by default the one that the whole process shares.
        """
        clamp = self.profile.clamp_ct and volume.is_ct
        if clamp:
            intensity = self.spec.intensity
        else:
            intensity = Intensity("clip", -torch.inf, torch.inf)
        preparation = Preparation(self.spec.spacing_mm, intensity, crop_above=None)
        others = Rescaled(self.spec.click_scales, lambda scale: self._at(scale, volume, preparation, kept))
        return self._answering(volume, preparation, kept, others)

    def _at(self, scale: float, volume: Volume, preparation: Preparation, kept: FeatureBudget | None) -> CropResponder:
        """Return what answers clicks at another working spacing."""
        rescaled = replace(preparation, spacing_mm=scaled_spacing(self.spec, scale))
        return self._answering(volume, rescaled, kept, None)

    def _answering(
        self,
        volume: Volume,
        preparation: Preparation,
        kept: FeatureBudget | None,
        others: Rescaled[CropResponder] | None,
    ) -> CropResponder:
        """Return what answers clicks on a scan prepared so."""
        case = Case.prepare(volume, preparation)
        case = replace(case, image=case.image.to(self.device))
        size = self.network.architecture.crop
        return CropResponder(case, _Branch(self.network), size, self.profile.rules, kept, others)


def load(base: Entry, weights: RawWeights, device: torch.device, profile_name: str) -> SamMed3DModel:
    """Return a SAM-Med3D with these weights; it knows structures by name, but none as a class.

    Args:
        base: What the catalogue says of it; the weights may say otherwise.
        weights: Official ones, or of the same network in another size.
        device: Where it runs.
        profile_name: One of `CLICK_PROFILES`.

    Raises:
        CheckpointError: The weights are another network's (`MODEL_WRONG_NETWORK`).
        PromptError: The profile is unknown (`PROFILE_UNKNOWN`).
    """
    chosen = click_profile(profile_name)
    network, report = fit_sam_med3d(weights)
    metadata = weights.metadata
    words = load_vocabulary(str(metadata.get("vocabulary", base.vocabulary))).restrict((), base.no_classes)
    crop = report.architecture.crop
    spec = ModelSpec(
        name=str(metadata.get("model", base.name)),
        vocabulary=words,
        window=(crop, crop, crop),
        licence=str(metadata.get("licence", base.licence)),
        weights_sha256=report.sha256,
        click_scales=SCALES,
        **preprocessing_of(base, metadata),
    )
    return SamMed3DModel(network.to(device), spec, chosen, device)
