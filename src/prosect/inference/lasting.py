"""What lasts of the answers before the last click.

A click says something about its surroundings, and most of the answer before it was right. But a network that is shown
one more click answers the whole patch anew: a negative click beside a brainstem took away a part of it elsewhere, and a
positive one in half of a mandible the other half. So near a click the answer to it counts alone, and far from it a
share of what was found before counts as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Lasting", "lasting_logits"]


@dataclass(frozen=True)
class Lasting:
    """How much lasts.

    Attributes:
        share: Of what was found before, far from a click.
        reach: Width (standard deviation) of the bell around a click in which less of it lasts, in voxels of the
            network's grid.
        clicks: How many of the last clicks add to what was found before; the answer before those counts as it is. So
            a click costs no more however many came before.
    """

    share: float = 0.7
    reach: float = 5.0
    clicks: int = 3


def lasting_logits(newest: Tensor, before: Tensor, place: Sequence[float], rules: Lasting) -> Tensor:
    """Return the logits (i j k) of a patch in which a share of what was found before lasts.

    Args:
        newest: The answer to all clicks (i j k).
        before: What was found by all but the last (i j k).
        place: Where the last click lies, in voxels of the patch.
        rules: How much lasts.
    """
    bells = []
    for count, x in zip(newest.shape, place, strict=True):
        voxels = torch.arange(count, dtype=newest.dtype, device=newest.device)
        bells.append(torch.exp(-((voxels - x) ** 2) / (2 * rules.reach**2)))
    i, j, k = bells
    closeness = i[:, None, None] * j[:, None] * k
    return torch.lerp(newest, before, rules.share * (1 - closeness))
