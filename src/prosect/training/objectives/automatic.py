"""What the automatic branch is trained for, on partially labelled scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prosect.networks.vista3d import Vista3D
from prosect.training.augment import Augmentation, augment_intensities
from prosect.training.losses import binary_loss, exclusive_loss, marginal_loss, published_loss
from prosect.training.patches import Patch

__all__ = ["AutomaticObjective", "ClassTeaching", "Prompted"]

IMPOSSIBLE = -1e4  # a logit


@dataclass(frozen=True)
class Prompted:
    """How many classes of a patch are asked for when each has a loss of its own (official: 32 and 4).

    Attributes:
        foreground: Classes in the patch.
        background: Classes that are known not to be there.
    """

    foreground: int = 32
    background: int = 4


@dataclass(frozen=True)
class ClassTeaching:
    """How the network is taught classes.

    Attributes:
        bfloat16: Compute the network in mixed bfloat16.
        prompted: Ask for some classes, each with a loss of its own, as published; by default all classes the scan
            knows compete for each voxel.
        augment: Changes intensities.
        background: Weight of the background where classes compete, see `exclusive_loss`.
        marginal: Let classes that the scan says nothing about compete, too, see `marginal_loss`.
    """

    bfloat16: bool = False
    prompted: Prompted | None = None
    augment: Augmentation = augment_intensities
    background: float = 1.0
    marginal: bool = False


class AutomaticObjective:
    """The loss of encoder, automatic decoder and class head on one patch.

    Args:
        network: The network to train.
        draw: Returns a patch.
        generator: Decides on augmentation.
        classes: Global class index of each local class (q).
        nested_bits: Bit of `TrainingScan.nested` for local classes stored there.
        teaching: How losses are taken.
    """

    def __init__(
        self,
        network: Vista3D,
        draw: Callable[[], Patch],
        generator: np.random.Generator,
        classes: Sequence[int],
        nested_bits: Mapping[int, int],
        teaching: ClassTeaching | None = None,
    ) -> None:
        self.network, self.draw, self.generator = network, draw, generator
        self.classes, self.nested_bits = tuple(classes), nested_bits
        self.teaching = teaching or ClassTeaching()

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn patch."""
        patch = self.draw()
        image = self.teaching.augment(patch.image, self.generator).to(next(self.network.parameters()).device)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.teaching.bfloat16):
            pyramid = self.network.image_encoder.encoder(image)
        return self.loss(patch, pyramid)

    def loss(self, patch: Patch, pyramid: Sequence[Tensor]) -> Tensor:
        """Return the loss of a patch whose encoding is known."""
        if self.teaching.prompted is not None:
            return self._independent(patch, pyramid, self.teaching.prompted)
        logits = self._logits(pyramid, range(len(self.classes)))
        known = patch.known[: len(self.classes)]
        loss = self._competing(logits, patch, known)
        nested = []
        for q in self.nested_bits:
            if known[q]:
                nested.append(q)
        if nested:
            masks = torch.stack([self._mask(patch, q) for q in nested]).to(logits.device)
            loss = loss + 0.5 * binary_loss(logits[nested], masks)
        return loss

    def _competing(self, logits: Tensor, patch: Patch, known: Tensor) -> Tensor:
        """Return the loss of the classes that exclude each other: all but those that contain others."""
        labels = patch.labels.to(logits.device)
        exclusive = known.clone()
        exclusive[list(self.nested_bits)] = False
        exclusive = exclusive.to(logits.device)
        if not self.teaching.marginal:
            return exclusive_loss(logits, labels, exclusive, self.teaching.background)
        hidden = torch.zeros_like(exclusive)
        hidden[list(self.nested_bits)] = True
        # As good as impossible, so that they keep their place among the labels and win nothing.
        rivals = logits.masked_fill(hidden[:, None, None, None], IMPOSSIBLE)
        return marginal_loss(rivals, labels, exclusive, self.teaching.background)

    def _independent(self, patch: Patch, pyramid: Sequence[Tensor], prompted: Prompted) -> Tensor:
        """Return the mean of the losses of some classes, each against the rest of the patch."""
        known = []
        for q in range(len(self.classes)):
            if patch.known[q]:
                known.append(q)
        masks = {q: self._mask(patch, q) for q in known}
        inside = [q for q in known if masks[q].any()]
        absent = [q for q in known if q not in inside]
        asked = [*self._some(inside, prompted.foreground), *self._some(absent, prompted.background)]
        if not asked:
            return self._logits(pyramid, [0]).sum() * 0  # has a gradient where the encoder has none, too
        logits = self._logits(pyramid, asked)
        return published_loss(logits, torch.stack([masks[q] for q in asked]).to(logits.device))

    def _some(self, classes: Sequence[int], most: int) -> list[int]:
        found = []
        for n in self.generator.permutation(len(classes))[:most]:
            found.append(classes[int(n)])
        return found

    def _mask(self, patch: Patch, q: int) -> Tensor:
        if q in self.nested_bits:
            return (patch.nested >> self.nested_bits[q]) & 1
        return (patch.labels == q + 1).int()

    def _logits(self, pyramid: Sequence[Tensor], asked: Sequence[int]) -> Tensor:
        with torch.autocast(pyramid[0].device.type, torch.bfloat16, enabled=self.teaching.bfloat16):
            logits = self.network.class_logits(pyramid, [self.classes[q] for q in asked])[0]
        return logits.float()
