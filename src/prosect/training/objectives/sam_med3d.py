"""What SAM-Med3D is trained for: masks after every one of a chain of simulated clicks (its Sec. 3.2 and supplement)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prosect.inference.intensities import mean_and_spread
from prosect.networks.sam_med3d import SamMed3D
from prosect.networks.two_way_transformer import Attention
from prosect.training.augment import augment_intensities
from prosect.training.losses import binary_loss
from prosect.training.objectives.interactive import MOST_DRAWN, nothing_to_click, objects_of
from prosect.training.patches import Patch

__all__ = ["ChainRules", "ChainedClicks", "begin", "learning_shares"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ChainRules:
    """How a crop is clicked in training.

    Attributes:
        rounds: Answers in a chain (official: eleven); at least three where some are unasked, one otherwise.
        objects: Objects of a crop that are clicked side by side (official: one). The encoding serves all of them, so
            each further one costs no more than the decoder.
        unasked: Whether a round between and the last show the network its answer and no click (official: yes). In a
            short chain that leaves few clicks to learn from.
        smallest: Objects of fewer voxels in the crop are not clicked.
        certain: Logit from which a voxel counts as found when the next click is placed (official: 0.5, where inference
            takes 0).
    """

    rounds: int = 11
    objects: int = 1
    unasked: bool = True
    smallest: int = 60
    certain: float = 0.5


class ChainedClicks:
    """The loss of all answers to chains of clicks on objects of one crop.

    The crop is encoded once. Each answer is shown to the network beside the next click, and gradients run through the
    whole chain. In one round between, drawn at random, and in the last the network sees its answer and no click.

    The defaults are the official recipe's, which goes on from weights that know what an object is. On its own a small
    network needs more: see `begin` and `loss`.

    Differs from the official recipe in that the crop is drawn around any labelled place, not always the middle of its
    object, and in that intensities are augmented.

    Args:
        network: The network to train.
        draw: Returns a patch of the network's crop size, intensities from 0 (air) to 1.
        generator: Decides on objects, clicks and augmentation.
        nested_bits: Bits of `TrainingScan.nested` whose structures can be clicked.
        rules: See `ChainRules`.
        bfloat16: Compute the network in mixed bfloat16.
        loss: Of logits and masks (q i j k). The official `binary_loss` makes a small network that starts from nothing
            answer "nothing" for good; `clicked_loss` does not.
    """

    def __init__(
        self,
        network: SamMed3D,
        draw: Callable[[], Patch],
        generator: np.random.Generator,
        nested_bits: Collection[int] = (),
        rules: ChainRules | None = None,
        bfloat16: bool = False,
        loss: Callable[[Tensor, Tensor], Tensor] = binary_loss,
    ) -> None:
        self.network, self.draw, self.generator = network, draw, generator
        self.nested_bits, self.rules, self.bfloat16 = tuple(nested_bits), rules or ChainRules(), bfloat16
        self.loss = loss

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn crop that holds an object, averaged over chains and rounds."""
        patch, objects = self._clickable()
        chosen = self.generator.permutation(len(objects))[: self.rules.objects]
        truth = np.stack([objects[int(n)][1] for n in chosen])
        image = augment_intensities(patch.image, self.generator).to(next(self.network.parameters()).device)
        mean, spread = mean_and_spread(image)
        return self._chain((image - mean) / spread, truth)

    def _clickable(self) -> tuple[Patch, list[tuple[int, Mask]]]:
        """Return the next crop that holds an object, and its objects.

        Raises:
            RecipeError: There seems to be none (`DATALIST_INVALID`).
        """
        for _ in range(MOST_DRAWN):
            patch = self.draw()
            objects = objects_of(patch, self.rules.smallest, self.nested_bits)
            if objects:
                return patch, objects
        raise nothing_to_click()

    def _chain(self, image: Tensor, truth: Mask) -> Tensor:
        """Return the loss of chains on objects (q i j k) of an image (1 1 i j k) as the network takes it."""
        wanted = torch.from_numpy(truth).to(image.device)
        rounds, unasked = self.rules.rounds, self._unasked()
        found = np.zeros_like(truth)
        loss = torch.zeros((), device=image.device)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            features = self.network.embed(image)
            answer = self.network.blank(features, len(truth))
            for number in range(rounds):
                if number in unasked:
                    points, labels = (None, None)
                else:
                    points, labels = self._clicks(truth, found)
                answer = self.network.refine(features, points, labels, answer)
                logits = self.network.upsample(answer)[:, 0].float()
                loss = loss + self.loss(logits, wanted)
                found = (logits.detach() > self.rules.certain).cpu().numpy()
        return loss / rounds

    def _unasked(self) -> set[int]:
        """Return the rounds without a click."""
        rounds = self.rules.rounds
        if self.rules.unasked:
            return {rounds - 1, int(self.generator.integers(1, rounds - 1))}
        return set()

    def _clicks(self, truth: Mask, found: Mask) -> tuple[Tensor, Tensor]:
        """Return a click on each object: any voxel of either error, or of the object without one.

        Args:
            truth: The objects (q i j k).
            found: What there is of them (q i j k).

        Returns:
            Points (q 1 3) in voxels and signs (q 1).
        """
        points, signs = [], []
        for wanted, error in zip(truth, truth ^ found, strict=True):
            places = np.flatnonzero(error if error.any() else wanted)
            voxel = np.unravel_index(int(places[int(self.generator.integers(len(places)))]), wanted.shape)
            points.append([[float(n) for n in voxel]])
            signs.append([int(wanted[voxel])])
        where = next(self.network.parameters()).device
        return torch.tensor(points, device=where), torch.tensor(signs, device=where)


def learning_shares(network: SamMed3D, decoder: float = 0.1) -> list[tuple[list[nn.Parameter], float]]:
    """Return parameters with their share of the learning rate.

    Args:
        network: The network to train.
        decoder: Share of prompt encoder and mask decoder. official: a tenth. A network that starts from nothing needs
            1: its decoder has everything to learn.
    """
    slow = [*network.prompt_encoder.parameters(), *network.mask_decoder.parameters()]
    return [(list(network.image_encoder.parameters()), 1.0), (slow, decoder)]


@torch.no_grad()
def begin(network: SamMed3D, waves: float = 0.3, sharpness: float = 3.0, loudness: float = 0.3) -> None:
    """Set first weights, in place, from which a network learns sooner what a click is: that near places belong to it.

    Positions vary more slowly, so that neighbouring tokens look alike, and every attention between clicks and image
    begins with one projection for queries and keys, so that a click attends to where it is. Official networks begin
    at random and find that out by themselves, over many scans. Training goes on from there; only the frequencies stay.

    Args:
        network: Untrained, with `fixed` positions.
        waves: Factor on the frequencies of the position code.
        sharpness: Factor on the shared projections.
        loudness: Factor on image features, which mean nothing yet and would drown positions.

    Raises:
        ValueError: Positions are `official`: there a click does not have the code of its place.
    """
    if network.architecture.positions == "official":
        raise ValueError("First weights by which a click attends to its place need fixed positions, not official ones.")
    network.image_encoder.neck.get_parameter("3.weight").mul_(loudness)
    network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(waves)
    for name, part in network.mask_decoder.transformer.named_modules():
        if isinstance(part, Attention) and not name.endswith("self_attn"):
            part.q_proj.weight.mul_(sharpness)
            part.k_proj.weight.copy_(part.q_proj.weight)
            part.q_proj.bias.zero_()
            part.k_proj.bias.zero_()
