"""Losses on binary masks, one per class, masked where a scan says nothing about a class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["partial_dice_bce"]


def partial_dice_bce(logits: Tensor, targets: Tensor, known: Tensor, smooth: float = 10.0) -> Tensor:
    """Return soft Dice plus binary cross-entropy (VISTA3D, Sec. 4), averaged over the known classes.

    Args:
        logits: Class logits (q i j k).
        targets: Binary masks (q i j k).
        known: Classes (q) the scan is labelled for, present or not; others contribute nothing.
        smooth: Added to both sides of the Dice ratio in voxels, so that an absent class rewards silence.
    """
    logits, targets = logits[known].flatten(1), targets[known].flatten(1).float()
    probability = logits.sigmoid()
    overlap = (probability * targets).sum(1)
    dice = 1 - (2 * overlap + smooth) / ((probability + targets).sum(1) + smooth)
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    return torch.mean(dice + bce)
