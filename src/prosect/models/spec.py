"""What a model was trained with, and the profiles under which it can be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from prosect.case import Intensity, Preparation
from prosect.checkpoints.model_facts import ModelFacts
from prosect.errors import PromptError
from prosect.inference.accumulate import Padding
from prosect.inference.appearance import Appearance
from prosect.inference.automatic import Interpolation
from prosect.inference.lasting import Lasting
from prosect.inference.scales import ClickScales
from prosect.inference.windows import Blending
from prosect.vocabulary import Vocabulary

__all__ = ["PROFILES", "ModelSpec", "Profile", "ProfileName", "preparation_for", "profile", "scaled_spacing"]

ProfileName = Literal["prosect", "bundle", "research"]


@dataclass(frozen=True)
class Profile:
    """How a scan is prepared, swept and restored.

    Attributes:
        name: `prosect` (ours), `bundle` or `research` (effective behaviour of the official code).
        overlap: Share of a window repeated by the next.
        blending: Weights of a window's voxels.
        padding: How a scan smaller than a window is extended.
        fit_windows: Shrink windows to a small scan instead of padding the scan to the window.
        interpolation: `linear` interpolates logits to the scan's grid, `nearest` copies labels.
        tiers: Whether nested classes keep their place in a flat map; False is the official argmax of raw logits.
        preparation: Order of steps; spacing and intensity come from the model.
        crops_percentiles: Whether a scan scaled by its own percentiles is cropped to content too. Those of a cropped
            scan are others, so what lies outside the crop would change the answer.
        rescales: Whether clicks see a scan that is not in the model's units scaled by its own percentiles.
        leaves_out_crumbs: Whether crumbs beside a structure that is one piece in everybody are left out.
        follows_air: Whether the outline of what is filled with air follows the air of a CT, where the model says so.
        withholds: Whether structures that cannot be in a scan are taken out, where facts of the model are known.
    """

    name: ProfileName
    overlap: float
    blending: Blending
    padding: Padding
    fit_windows: bool
    interpolation: Interpolation
    tiers: bool
    preparation: Preparation
    crops_percentiles: bool = False
    rescales: bool = False
    leaves_out_crumbs: bool = False
    follows_air: bool = False
    withholds: bool = False


PROFILES: dict[str, Profile] = {
    "prosect": Profile(
        "prosect", 0.25, "gaussian", "replicate", True, "linear", True,
        Preparation(reorient_first=True, crop_above=0.0),
        rescales=True,
        leaves_out_crumbs=True,
        follows_air=True,
        withholds=True,
    ),
    # official: the bundle's configured overlap (0.3) and blending never reach its sliding window; these values do.
    "bundle": Profile(
        "bundle", 0.25, "constant", "replicate", False, "nearest", False,
        Preparation(reorient_first=False, crop_above=0.0),
        crops_percentiles=True,
    ),
    "research": Profile(
        "research", 0.625, "gaussian", "constant", False, "nearest", False,
        Preparation(reorient_first=True, crop_above=None, scale_first=True),
    ),
}  # fmt: skip


def profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        PromptError: There is no such profile.
    """
    if name not in PROFILES:
        raise PromptError(f"There is no profile '{name}'; choose one of {', '.join(PROFILES)}.", code="PROFILE_UNKNOWN")
    return PROFILES[name]


@dataclass(frozen=True)
class ModelSpec:
    """What a model was trained with.

    Attributes:
        name: Name shown to people.
        vocabulary: Its structures; those it was not trained for are marked unsupported.
        spacing_mm: Working spacing.
        window: Shape of a window of the automatic sweep.
        least_window: The smallest that answers as well; a scan that needs several windows may take smaller ones down to
            this. None: only `window` itself, as for official weights.
        intensity: Scaling to [0, 1].
        everything: Name of the vocabulary's list that is segmented when no class is named.
        exclusive: Classes that were trained against one another: a voxel belongs to the strongest of them, whichever
            were asked for. They may be classes too weak to be shown. Empty for official weights, where a class is
            whatever its own prompt says.
        largest_ml: Largest volume of a class in the training scans; a result of twice that is warned of.
        licence: Licence of the weights.
        weights_sha256: Hash of the weights file.
        automatic_only: Its interactive branch, where it has one, must not be offered.
        click_patch: Shape of a patch that answers clicks; by default that of a window.
        base: Model of the catalogue that it was finetuned from; empty where it is one of those.
        facts: What training scans say of its structures; empty for weights of which nothing is known.
        one_piece: Classes that were one piece in the training scans; crumbs of a result are left out. Empty for
            official weights.
        air_filled: Classes whose outline follows the air of a CT, such as lung. Empty for official weights.
        click_scales: Working spacings at which clicks may be answered.
        appearance: How much intensities count beside the network where something is clicked; None: not at all.
        lasting: How much lasts of the answers before the last click; None: nothing.
        found_by_others: Classes that models beside it find, too. What it withholds of them may be shown by another, so
            it does not say it.
        speaks_first: Whether, of several models, it is the one that says which regions a scan does not show, of classes
            that others find, too.
        label_values: Label value in files by class, where it is not the class itself: those of the scans that a
            finetuned model learnt from.
        fast: Whether `spacing_mm` is coarser than what it was trained at.
    """

    name: str
    vocabulary: Vocabulary
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    window: tuple[int, int, int] = (128, 128, 128)
    intensity: Intensity = field(default_factory=Intensity)
    everything: str | None = None
    exclusive: tuple[int, ...] = ()
    largest_ml: Mapping[int, float] = field(default_factory=dict)
    licence: str = ""
    weights_sha256: str = ""
    automatic_only: bool = False
    click_patch: tuple[int, int, int] | None = None
    least_window: tuple[int, int, int] | None = None
    base: str = ""
    one_piece: tuple[int, ...] = ()
    air_filled: tuple[int, ...] = ()
    click_scales: ClickScales = field(default_factory=ClickScales)
    appearance: Appearance | None = None
    lasting: Lasting | None = None
    facts: ModelFacts = field(default_factory=ModelFacts)
    found_by_others: tuple[int, ...] = ()
    speaks_first: bool = True
    label_values: Mapping[int, int] = field(default_factory=dict)
    fast: bool = False

    def preparation(self, chosen: Profile) -> Preparation:
        """Return how a volume is prepared for this model under a profile."""
        return preparation_for(chosen, self.spacing_mm, self.intensity)


def preparation_for(chosen: Profile, spacing_mm: tuple[float, float, float], intensity: Intensity) -> Preparation:
    """Return how a volume is prepared under a profile; training asks this too, so that both see a scan alike."""
    # Outside a window of intensities there is air to cut away; percentiles are taken of the whole scan.
    crops = intensity.kind == "window" or chosen.crops_percentiles
    crop = None
    if crops:
        crop = chosen.preparation.crop_above
    return replace(chosen.preparation, spacing_mm=spacing_mm, intensity=intensity, crop_above=crop)


def scaled_spacing(spec: ModelSpec, scale: float) -> tuple[float, float, float]:
    """Return the working spacing in mm at a scale."""
    a, b, c = spec.spacing_mm
    return a * scale, b * scale, c * scale
