"""The answers of patches that may overlap, put together on a box of the scan's own voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.boxes import Box
from prosect.case import Placement
from prosect.inference.patch_to_scan import patch_box, patch_to_scan
from prosect.inference.windows import Shape
from prosect.progress import Watch

__all__ = ["patches_in_box"]

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]


def patches_in_box(
    case: Placement,
    starts: Sequence[Start],
    patch: Shape,
    logits_of: Callable[[Start], Tensor],
    box: Box,
    watch: Watch | None = None,
    expected: NDArray[np.float32] | None = None,
) -> tuple[Mask, Mask]:
    """Return where in a box patches lie, and where their answer is yes, both (i j k) as the scan is stored.

    Where patches overlap their logits are averaged with weights that fall off towards the faces, so the order of
    patches does not matter.

    Args:
        case: The scan made ready.
        starts: First voxel of each patch on the network grid.
        patch: Voxels of a patch.
        logits_of: Returns the logits (i j k) of a patch; asked only for those that reach into the box.
        box: In voxels of the scan as stored.
        watch: Called after each patch.
        expected: Logits (i j k) of what is known before any patch is asked; added to those of one patch, or to the
            weighted sum of several.
    """
    total = np.zeros(box.shape, dtype=np.float32)
    asked = np.zeros(box.shape, dtype=np.bool_)
    reaching = [start for start in starts if (patch_box(case, start, patch) & box).size]
    for done, start in enumerate(reaching, 1):
        logits = logits_of(start)
        if len(starts) == 1:
            weighted = logits
        else:
            weighted = logits * _weights(patch).to(logits.device)
        here, values = patch_to_scan(case, start, weighted)
        shared = here & box
        part = values[shared.within(here)]
        known = ~np.isnan(part)
        asked[shared.within(box)] |= known
        total[shared.within(box)] += np.where(known, part, 0)
        if watch is not None:
            watch(done, len(reaching))
    if expected is not None:
        total += expected
    return asked, total > 0


def _weights(patch: Shape) -> Tensor:
    """Return weights (i j k) that fall off towards the faces of a patch."""
    weights = torch.ones(())
    for n in patch:
        # Never quite 0, or a voxel that only the rim of a patch sees would have no answer.
        axis = 1 - ((torch.arange(n, dtype=torch.float32) - (n - 1) / 2) / (n / 2)).square() * 0.99
        weights = weights.unsqueeze(-1) * axis
    return weights
