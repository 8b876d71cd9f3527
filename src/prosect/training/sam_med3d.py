"""What SAM-Med3D is trained for: masks after every one of a chain of simulated clicks (its Sec. 3.2 and supplement)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prosect.inference.crops import mean_and_spread
from prosect.networks.sam_med3d import SamMed3D
from prosect.training.augment import augment_intensities
from prosect.training.interactive import objects_of
from prosect.training.losses import binary_loss
from prosect.training.patches import Patch

__all__ = ["ChainRules", "ChainedClicks", "learning_shares"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ChainRules:
    """How a crop is clicked in training.

    Attributes:
        rounds: Answers in a chain, at least three (official: eleven).
        smallest: Objects of fewer voxels in the crop are not clicked.
        certain: Logit from which a voxel counts as found when the next click is placed (official: 0.5, where inference
            takes 0).
    """

    rounds: int = 11
    smallest: int = 60
    certain: float = 0.5


class ChainedClicks:
    """The loss of all answers to a chain of clicks on one object of one crop.

    The crop is encoded once. Each answer is shown to the network beside the next click, and gradients run through the
    whole chain. In one round between, drawn at random, and in the last the network sees its answer and no click.
    Differs from the official recipe in that the crop is drawn around any labelled place, not always the middle of its
    object, and in that intensities are augmented.

    Args:
        network: The network to train.
        draw: Returns a patch of the network's crop size, intensities from 0 (air) to 1.
        generator: Decides on objects, clicks and augmentation.
        nested_bits: Bits of `TrainingScan.nested` whose structures can be clicked.
        rules: See `ChainRules`.
        bfloat16: Compute the network in mixed bfloat16.
    """

    def __init__(
        self,
        network: SamMed3D,
        draw: Callable[[], Patch],
        generator: np.random.Generator,
        nested_bits: Collection[int] = (),
        rules: ChainRules | None = None,
        bfloat16: bool = False,
    ) -> None:
        self.network, self.draw, self.generator = network, draw, generator
        self.nested_bits, self.rules, self.bfloat16 = tuple(nested_bits), rules or ChainRules(), bfloat16

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn crop that holds an object, summed over the chain."""
        objects: list[tuple[int, Mask]] = []
        while not objects:
            patch = self.draw()
            objects = objects_of(patch, self.rules.smallest, self.nested_bits)
        truth = objects[int(self.generator.integers(len(objects)))][1]
        image = augment_intensities(patch.image, self.generator)
        mean, spread = mean_and_spread(image)
        return self._chain((image - mean) / spread, truth)

    def _chain(self, image: Tensor, truth: Mask) -> Tensor:
        wanted = torch.from_numpy(truth).to(image.device)
        rounds = self.rules.rounds
        unasked = {rounds - 1, int(self.generator.integers(1, rounds - 1))}
        found = np.zeros_like(truth)
        loss = torch.zeros((), device=image.device)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            features = self.network.embed(image)
            answer = self.network.blank(features)
            for number in range(rounds):
                points, labels = (None, None) if number in unasked else self._click(truth, found)
                answer = self.network.refine(features, points, labels, answer)
                logits = self.network.upsample(answer)[0].float()
                loss = loss + binary_loss(logits, wanted[None])
                found = (logits.detach()[0] > self.rules.certain).cpu().numpy()
        return loss / rounds

    def _click(self, truth: Mask, found: Mask) -> tuple[Tensor, Tensor]:
        """Return a click on any voxel of either error, or of the object without one: point (1 1 3), sign (1 1)."""
        error = truth ^ found
        places = np.flatnonzero(error if error.any() else truth)
        voxel = np.unravel_index(int(places[int(self.generator.integers(len(places)))]), truth.shape)
        where = next(self.network.parameters()).device
        point = torch.tensor([[[float(n) for n in voxel]]], device=where)
        return point, torch.tensor([[int(truth[voxel])]], device=where)


def learning_shares(network: SamMed3D) -> list[tuple[list[nn.Parameter], float]]:
    """Return parameters with their share of the learning rate (official): a tenth for prompt encoder and decoder."""
    slow = [*network.prompt_encoder.parameters(), *network.mask_decoder.parameters()]
    return [(list(network.image_encoder.parameters()), 1.0), (slow, 0.1)]
