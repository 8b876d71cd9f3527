"""What the automatic branch is trained for, on partially labelled scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from prosect.networks.vista3d import Vista3D
from prosect.training.augment import augment_intensities
from prosect.training.losses import binary_loss, exclusive_loss
from prosect.training.patches import Patch

__all__ = ["AutomaticObjective"]


class AutomaticObjective:
    """The loss of encoder, automatic decoder and class head on one patch.

    Args:
        network: The network to train.
        classes: Global class index of each local class (q).
        nested_bits: Bit of `TrainingScan.nested` for local classes stored there.
        draw: Returns a patch.
        generator: Decides on augmentation.
        bfloat16: Compute the network in mixed bfloat16.
    """

    def __init__(
        self,
        network: Vista3D,
        classes: Sequence[int],
        nested_bits: dict[int, int],
        draw: Callable[[], Patch],
        generator: np.random.Generator,
        bfloat16: bool = False,
    ) -> None:
        self.network, self.classes, self.nested_bits = network, tuple(classes), nested_bits
        self.draw, self.generator, self.bfloat16 = draw, generator, bfloat16

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn patch."""
        patch = self.draw()
        image = augment_intensities(patch.image, self.generator)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            pyramid = self.network.image_encoder.encoder(image)
        return self.loss(patch, pyramid)

    def loss(self, patch: Patch, pyramid: Sequence[Tensor]) -> Tensor:
        """Return the loss of a patch whose encoding is known."""
        with torch.autocast(pyramid[0].device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.network.class_logits(pyramid, self.classes)[0]
        logits = logits.float()
        exclusive = patch.known.clone()
        exclusive[list(self.nested_bits)] = False
        loss = exclusive_loss(logits, patch.labels, exclusive)
        nested = [q for q in self.nested_bits if patch.known[q]]
        if nested:
            masks = torch.stack([(patch.nested >> self.nested_bits[q]) & 1 for q in nested])
            loss = loss + 0.5 * binary_loss(logits[nested], masks)
        return loss
