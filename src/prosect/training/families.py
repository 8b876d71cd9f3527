"""Which networks a recipe can train, and how each kind begins, learns and is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from prosect.training.beginning import first_network
from prosect.training.export import describe
from prosect.training.recipe import Part, Recipe, Stage
from prosect.training.sam_med3d import describe_sam_med3d, first_sam_med3d, sam_med3d_objective, sam_med3d_parts
from prosect.training.scans import Numbering
from prosect.training.stream import PatchStream
from prosect.training.vista3d import mixed_is_sound, objective_of, parts_of

__all__ = ["Family", "family_of"]

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Family(Generic[N]):
    """How networks of one kind are trained.

    Attributes:
        first: Returns the network that a recipe begins with.
        parts: Returns a network's parameters by the part that stages name.
        objective: Returns the loss of a stage on one freshly drawn patch.
        describe: Returns what a weights file says of itself: of a recipe, its numbering, the largest volumes, the steps
            taken by stage, and the classes that are one piece.
        mixed_is_sound: Returns whether bfloat16 gives right gradients on a device for patches of a shape.
    """

    first: Callable[[Recipe, Numbering], N]
    parts: Callable[[N], dict[Part, list[nn.Parameter]]]
    objective: Callable[[Recipe, Numbering, Stage, N, PatchStream, np.random.Generator], Callable[[], Tensor]]
    describe: Callable[[Recipe, Numbering, Mapping[int, float], Mapping[str, Any], Sequence[int]], dict[str, Any]]
    mixed_is_sound: Callable[[N, str, Sequence[int]], bool]


VISTA3D = Family(first_network, parts_of, objective_of, describe, mixed_is_sound)
# Its encoder is a transformer: it has none of the convolutions that oneDNN gets wrong.
SAM_MED3D = Family(
    first_sam_med3d, sam_med3d_parts, sam_med3d_objective, describe_sam_med3d, lambda _network, _device, _patch: True
)


def family_of(recipe: Recipe) -> Family[Any]:
    """Return how the network of a recipe is trained."""
    if recipe.sam_med3d is None:
        return VISTA3D
    return SAM_MED3D
