"""How a recipe's stages train a VISTA3D: which parameters are a part, and what the loss of a stage is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect.labelmap import extent
from prosect.networks.vista3d import Vista3D
from prosect.training.augment import Augmentation, augment_intensities
from prosect.training.extra import load_extra
from prosect.training.losses import clicked_loss, published_loss
from prosect.training.objectives.automatic import AutomaticObjective, ClassTeaching, Prompted
from prosect.training.objectives.both import BothBranches
from prosect.training.objectives.cached import CachedFeatures
from prosect.training.objectives.interactive import Clickable, ClickRules, InteractiveObjective, Teaching
from prosect.training.recipe import Part, Recipe, Stage
from prosect.training.scans import Numbering
from prosect.training.stream import PatchStream
from prosect.training.targets import SamplerRules

__all__ = ["mixed_is_sound", "objective_of", "parts_of"]

PARTS: tuple[Part, ...] = ("encoder", "automatic", "class_vectors", "interactive")
OFFICIAL_AUGMENTATION = "prosect.training.augment_official"


def parts_of(network: Vista3D) -> dict[Part, list[torch.nn.Parameter]]:
    """Return the parameters of a network by the part that stages name; the class vectors are a part of a part."""
    modules = network.parts()
    if network.architecture.automatic:
        modules["class_vectors"] = network.class_vector_modules()
    parts: dict[Part, list[torch.nn.Parameter]] = {}
    for name in PARTS:
        if name in modules:
            parts[name] = parameters_of(modules[name])
    return parts


def parameters_of(modules: Iterable[torch.nn.Module]) -> list[torch.nn.Parameter]:
    """Return the parameters of several modules, in their order."""
    found: list[torch.nn.Parameter] = []
    for module in modules:
        found += module.parameters()
    return found


def mixed_is_sound(network: Vista3D, device: str, patch: Sequence[int]) -> bool:
    """Return whether bfloat16 gives right gradients for patches of this shape.

    On processors (oneDNN, torch 2.13) the weight gradient of a 3x3x3 convolution with stride 1 over maps of two voxels
    along the first axis reads memory that nobody wrote: some steps are not finite, others are wrong.

    Args:
        network: To be trained; parameters that do not learn need no gradient.
        device: Where the network is trained.
        patch: Voxels of a patch.
    """
    return not device.startswith("cpu") or patch[0] >= 3 * network.coarsest_trained


def objective_of(
    recipe: Recipe,
    numbering: Numbering,
    stage: Stage,
    network: Vista3D,
    stream: PatchStream,
    generator: np.random.Generator,
) -> Callable[[], Tensor]:
    """Return the loss of a stage on one freshly drawn patch.

    Args:
        recipe: What is trained.
        numbering: How its structures are numbered.
        stage: One of its stages.
        network: To be trained.
        stream: Where patches come from.
        generator: Decides on everything else.

    Raises:
        ResourceError: The stage's augmentation needs a package that is not installed (`EXTRA_MISSING`).
    """
    automatic = _automatic(numbering, stage, network, stream, generator)
    if stage.cached_patches:
        return CachedFeatures(automatic, stream, stage.cached_patches)
    if stage.branch == "automatic":
        return automatic
    interactive = _interactive(recipe, numbering, stage, network, stream, generator)
    if stage.branch == "both":
        return BothBranches(automatic, interactive)
    return interactive


def _automatic(
    numbering: Numbering, stage: Stage, network: Vista3D, stream: PatchStream, generator: np.random.Generator
) -> AutomaticObjective:
    prompted = None
    if stage.loss == "independent":
        prompted = Prompted(stage.foreground_classes, stage.background_classes)
    teaching = ClassTeaching(
        bfloat16=stage.bfloat16,
        prompted=prompted,
        augment=_augmentation(stage),
        background=stage.background,
        marginal=stage.loss == "marginal",
    )
    return AutomaticObjective(network, stream, generator, numbering.classes, _own_bits(numbering), teaching)


def _interactive(
    recipe: Recipe,
    numbering: Numbering,
    stage: Stage,
    network: Vista3D,
    stream: PatchStream,
    generator: np.random.Generator,
) -> InteractiveObjective:
    # The automatic branch knows the classes by their labels, and those that contain others by their bits.
    supported = [*range(1, len(numbering.classes) + 1), *(-1 - bit for bit in _own_bits(numbering).values())]
    clicked: dict[int, int] = {}
    for index, bit in numbering.bits.items():
        if stage.click_containers or not holds_most(numbering, index):
            clicked[numbering.order.index(index)] = bit
    rules = ClickRules(rounds=stage.rounds, objects=stage.objects, smallest=stage.smallest, remap=stage.remap)
    teaching = Teaching(
        bfloat16=stage.bfloat16,
        train_encoder="encoder" in stage.train,
        sampler=SamplerRules().at(recipe.shape.spacing_mm),
        augment=_augmentation(stage),
        loss=clicked_loss if stage.click_loss == "balanced" else published_loss,
    )
    return InteractiveObjective(network, stream, generator, Clickable(supported, clicked), rules, teaching)


def _own_bits(numbering: Numbering) -> dict[int, int]:
    """Return the bits of the automatic branch's classes by their place (q) among them."""
    found = {}
    for q, bit in numbering.nested.items():
        if q < len(numbering.classes):
            found[q] = bit
    return found


def _augmentation(stage: Stage) -> Augmentation:
    if stage.augmentation == "prosect":
        return augment_intensities
    official: Any = load_extra(OFFICIAL_AUGMENTATION)
    return official.augment_official  # type: ignore[no-any-return]


def holds_most(numbering: Numbering, index: int) -> bool:
    """Return whether a structure, such as the body, contains most others: no piece of it would be unlabelled."""
    inside = extent(numbering.vocabulary, index, whole=True) & set(numbering.order)
    return len(inside) > max(len(numbering.order) / 2, 2)
