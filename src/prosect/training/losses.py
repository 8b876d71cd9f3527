"""Losses for partially labelled scans: what a scan says nothing about costs nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["binary_loss", "clicked_loss", "exclusive_loss", "marginal_loss", "published_loss"]

SMOOTH = 1.0


def exclusive_loss(logits: Tensor, labels: Tensor, known: Tensor, background: float = 1.0) -> Tensor:
    """Return cross-entropy plus soft Dice for mutually exclusive classes.

    The background has the fixed logit 0, so that after training the rule of inference, the largest logit if it is
    positive, is the most probable answer. Differs from the official recipe, whose independent binary losses collapse
    to silence when a small network is trained from scratch on a few scans.

    Args:
        logits: Class logits (q i j k).
        labels: 0 for background, n + 1 for class n (i j k) integer; values of no class are background, too.
        known: Classes (q) the scan is labelled for; the others take no part.
        background: Weight of the background in the cross-entropy. Where structures fill one voxel in a hundred, 1 keeps
            a network that begins from nothing silent for long; less draws them too large, so training must end with 1.
    """
    index = known.nonzero().flatten()
    largest = max(int(labels.max()), len(known)) + 1
    place = torch.zeros(largest, dtype=torch.long, device=logits.device)
    place[index + 1] = torch.arange(1, len(index) + 1, device=logits.device)
    target = place[labels.long()].flatten()
    flat = logits[index].flatten(1)
    flat = torch.cat([flat.new_zeros(1, flat.shape[1]), flat])
    weight = torch.ones(flat.shape[0], device=logits.device)
    weight[0] = background
    cross_entropy = F.cross_entropy(flat.T, target, weight)
    present = torch.unique(target)
    present = present[present > 0]
    if len(present) == 0:
        return cross_entropy
    # Only of what the patch shows: the soft Dice of an absent class is about nothing but noise.
    probability = flat.softmax(0)[present]
    mask = target[None] == present[:, None]
    return cross_entropy + soft_dice_loss(probability, mask.float())


def marginal_loss(logits: Tensor, labels: Tensor, known: Tensor, background: float = 1.0) -> Tensor:
    """Return what `exclusive_loss` does, and let classes that a scan says nothing about compete, too.

    What is labelled as one class is none of the others, those included of which the scan says nothing. What is
    labelled as no class may be any of these: there the probabilities of background and unknown classes are added up
    (Shi et al., Medical Image Analysis 70, 2021). Without this, classes that are learnt from other scans win voxels
    of those that are labelled here.

    Args:
        logits: Class logits (q i j k) of classes that exclude each other.
        labels: 0 for background, n + 1 for class n (i j k) integer; values of no known class are background, too.
        known: Classes (q) the scan is labelled for.
        background: Weight of the background in the cross-entropy, see `exclusive_loss`.
    """
    count = len(known)
    place = torch.arange(max(int(labels.max()), count) + 1, device=logits.device)
    place[1 : count + 1] *= known
    place[count + 1 :] = 0
    target = place[labels.long()].flatten()
    flat = logits.flatten(1)
    logs = torch.cat([flat.new_zeros(1, flat.shape[1]), flat]).log_softmax(0)
    # Background, or any class of which nothing is known.
    rest = torch.cat([known.new_ones(1), ~known]).nonzero().flatten()
    none_of_known = logs[rest].logsumexp(0)
    likelihood = torch.where(target == 0, none_of_known, logs.gather(0, target[None])[0])
    weight = torch.where(target == 0, background, 1.0)
    cross_entropy = -(likelihood * weight).sum() / weight.sum()
    present = torch.unique(target)
    present = present[present > 0]
    if len(present) == 0:
        return cross_entropy
    mask = target[None] == present[:, None]
    return cross_entropy + soft_dice_loss(logs[present].exp(), mask.float())


def binary_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice (VISTA3D, Sec. 4; SAM-Med3D's, too) of masks that may overlap.

    Args:
        logits: Mask logits (q i j k).
        masks: Binary masks (q i j k).
    """
    logits, masks = logits.flatten(1), masks.flatten(1).float()
    return F.binary_cross_entropy_with_logits(logits, masks) + soft_dice_loss(logits.sigmoid(), masks)


def published_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the loss of the official configurations: binary cross-entropy plus Dice with squared probabilities.

    Args:
        logits: Mask logits (q i j k).
        masks: Binary masks (q i j k), empty ones too.
    """
    logits, masks = logits.flatten(1), masks.flatten(1).float()
    probability = logits.sigmoid()
    overlap, both = (probability * masks).sum(1), probability.square().sum(1) + masks.sum(1)
    dice = 1 - 2 * overlap / (both + 1e-5)
    return dice.mean() + F.binary_cross_entropy_with_logits(logits, masks)


def clicked_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return binary cross-entropy plus soft Dice (VISTA3D, Sec. 4) for objects clicked one by one.

    An object fills one voxel in a thousand, and answering "nothing" is nearly right. So the cross-entropy of what lies
    inside and of what lies outside are taken apart, and the inside has a quarter of the say.

    Args:
        logits: Mask logits (q i j k).
        masks: The objects (q i j k), none of them empty.
    """
    logits, masks = logits.flatten(1), masks.flatten(1).float()
    # Kept by voxel, to be averaged inside and outside apart.
    cost = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    inside = (cost * masks).sum(1) / masks.sum(1)
    outside = (cost * (1 - masks)).sum(1) / (1 - masks).sum(1).clamp_min(1)
    return (inside / 4 + outside * 3 / 4).mean() + soft_dice_loss(logits.sigmoid(), masks)


def soft_dice_loss(probability: Tensor, mask: Tensor) -> Tensor:
    """Return one minus the soft Dice overlap (q n), averaged over classes."""
    overlap = (probability * mask).sum(1)
    return 1 - ((2 * overlap + SMOOTH) / (probability.sum(1) + mask.sum(1) + SMOOTH)).mean()
