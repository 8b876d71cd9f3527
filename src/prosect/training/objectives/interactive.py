"""What the interactive branch is trained for: masks after every round of simulated clicks (VISTA3D, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prosect.errors import RecipeError
from prosect.geometry import Grid
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.point_head import IGNORED
from prosect.prompts import Click, click_at
from prosect.simulated_user import centre_click, error_click
from prosect.training.augment import Augmentation, augment_intensities, remap_intensities
from prosect.training.losses import clicked_loss
from prosect.training.patches import Patch
from prosect.training.targets import SamplerRules, Target, Voxel, sample_targets

__all__ = [
    "MOST_DRAWN",
    "ClickRules",
    "Clickable",
    "InteractiveObjective",
    "Teaching",
    "nothing_to_click",
    "objects_of",
]

Mask = NDArray[np.bool_]

MOST_DRAWN = 1000


@dataclass(frozen=True)
class ClickRules:
    """How a patch is clicked in training.

    Attributes:
        rounds: Clicks on an object at most (Sec. 3.4: five rounds).
        objects: Objects of one patch that are clicked together.
        smallest: Objects of fewer voxels in the patch are not clicked.
        centre: Probability that the first click is in the centre; otherwise it is anywhere inside.
        unnamed: Probability that an object of a supported class is shown as a zero-shot object.
        remap: Probability that intensities go through a random curve, as another modality might show them.
    """

    rounds: int = 5
    objects: int = 3
    smallest: int = 12
    centre: float = 0.5
    unnamed: float = 0.5
    remap: float = 0.1


@dataclass(frozen=True)
class Clickable:
    """Which objects of a patch can be clicked, and as what.

    Attributes:
        supported: Objects that the automatic branch knows too, as `objects_of` numbers them.
        nested_bits: Bit of `TrainingScan.nested` for local classes stored there that can be clicked.
        plain: Supported objects that supervoxels do not change, such as classes whose clicks are ambiguous.
    """

    supported: Collection[int] = ()
    nested_bits: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    plain: Collection[int] = ()


@dataclass(frozen=True)
class Teaching:
    """How the network is taught by clicks.

    Attributes:
        bfloat16: Compute the network in mixed bfloat16.
        train_encoder: Whether the encoder learns, too.
        sampler: How targets are made from supervoxels; sizes are in voxels of the patch.
        augment: Changes intensities.
        loss: Of mask logits and masks (q i j k). The default keeps a network that begins from nothing from falling
            silent, and draws objects too large; `binary_loss` then teaches their size.
    """

    bfloat16: bool = False
    train_encoder: bool = False
    sampler: SamplerRules = field(default_factory=SamplerRules)
    augment: Augmentation = augment_intensities
    loss: Callable[[Tensor, Tensor], Tensor] = clicked_loss


class InteractiveObjective:
    """The loss of the interactive decoder and the click head on one patch; the encoder stays as it is.

    The image is encoded and decoded once for all objects and rounds. A person meets every round, so every round is
    simulated; gradients are taken of the first and of the last simulated one, the last drawn evenly. Differs from the
    official recipe, which encodes, steps and forgets after each round.

    Where a patch has supervoxels, `sample_targets` says what is clicked, with which clicks first and whether it is a
    zero-shot object; objects outside `supported` are always themselves. Else every object is, and one click is first.

    Args:
        network: The network to train.
        draw: Returns a patch.
        generator: Decides on objects, clicks and augmentation.
        known: See `Clickable`.
        rules: See `ClickRules`.
        teaching: See `Teaching`.
    """

    def __init__(
        self,
        network: Vista3D,
        draw: Callable[[], Patch],
        generator: np.random.Generator,
        known: Clickable | None = None,
        rules: ClickRules | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        self.network, self.draw, self.generator = network, draw, generator
        known = known or Clickable()
        self.supported, self.nested_bits, self.plain = frozenset(known.supported), known.nested_bits, set(known.plain)
        self.rules, self.teaching = rules or ClickRules(), teaching or Teaching()

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn patch that holds an object."""
        patch, objects = self.clickable(self.draw)
        image = self.teaching.augment(self.remapped(patch.image), self.generator)
        image = image.to(next(self.network.parameters()).device)
        with torch.set_grad_enabled(self.teaching.train_encoder), self._mixed(image):
            pyramid = self.network.image_encoder.encoder(image)
        return self.loss(objects, pyramid)

    def clickable(self, draw: Callable[[], Patch]) -> tuple[Patch, list[Target]]:
        """Return the next patch that holds an object, and its objects.

        Raises:
            RecipeError: There seems to be none (`DATALIST_INVALID`).
        """
        for _ in range(MOST_DRAWN):
            patch = draw()
            if objects := self.objects(patch):
                return patch, objects
        raise nothing_to_click()

    def loss(self, objects: Sequence[Target], pyramid: Sequence[Tensor]) -> Tensor:
        """Return the loss of some of the objects of a patch whose encoding is known."""
        chosen = []
        for n in self.generator.permutation(len(objects))[: self.rules.objects]:
            chosen.append(objects[int(n)])
        with self._mixed(pyramid[0]):
            features = self.network.click_features(pyramid)
        return self._rounds(features, chosen)

    def objects(self, patch: Patch) -> list[Target]:
        """Return what can be clicked in a patch: its objects, see `objects_of`, or targets drawn for some of them.

        At another scale than the model's own all are zero-shot objects, as in sessions.
        """
        found = self._targets(patch)
        if patch.scale != 1:
            found = [replace(target, zero_shot=True) for target in found]
        return found

    def _targets(self, patch: Patch) -> list[Target]:
        """Return what can be clicked in a patch, whatever its scale."""
        bits = []
        for q, bit in self.nested_bits.items():
            if patch.known[q]:
                bits.append(bit)
        if patch.supervoxels is None:
            found = []
            for value, mask in objects_of(patch, self.rules.smallest, bits):
                found.append(Target(mask, value))
            return found
        structures = objects_of(patch, 1, bits)
        return sample_targets(
            structures,
            patch.supervoxels.numpy(),
            self.generator,
            self.teaching.sampler,
            smallest=self.rules.smallest,
            most=self.rules.objects,
            plain=self.plain | ({value for value, _ in structures} - self.supported),
        )

    def trained(self) -> list[tuple[list[torch.nn.Parameter], float]]:
        """Return the parameters that this objective gives gradients, with their share of the learning rate."""
        learning: list[torch.nn.Parameter] = []
        for part in self.network.parts()["interactive"]:
            learning += part.parameters()
        return [(learning, 1.0)]

    def remapped(self, image: Tensor) -> Tensor:
        """Return the image, now and then as another modality might show it."""
        if self.generator.random() < self.rules.remap:
            return remap_intensities(image, self.generator)
        return image

    def _mixed(self, image: Tensor) -> torch.autocast:
        return torch.autocast(image.device.type, torch.bfloat16, enabled=self.teaching.bfloat16)

    def _zero_shot(self, values: Sequence[int]) -> Tensor:
        named = []
        for v in values:
            named.append(v in self.supported and self.generator.random() >= self.rules.unnamed)
        return ~torch.tensor(named)

    def _shown(self, targets: Sequence[Target]) -> Tensor:
        """Return which targets (q) are shown as zero-shot objects."""
        flags = []
        for target in targets:
            if target.mode == "regular" and not target.zero_shot:
                flags.append(self._zero_shot([target.value]))
            else:
                flags.append(torch.tensor([target.zero_shot]))
        return torch.cat(flags)

    def _rounds(self, features: Tensor, targets: Sequence[Target]) -> Tensor:
        """Return the loss of the first round and of a later one."""
        zero_shot, masks = self._shown(targets), [target.mask for target in targets]
        last = int(self.generator.integers(1, self.rules.rounds))
        truth = torch.from_numpy(np.stack(masks)).to(features.device)
        points, labels = self._asked([self._first(target) for target in targets])
        loss, before = features.new_zeros(()), None
        for number in range(last + 1):
            graded = number in (0, last)
            with torch.set_grad_enabled(graded), self._mixed(features):
                answer = self.network.point_logits(features, points, labels, zero_shot, before)
            logits, before = answer[:, 0].float(), answer.detach()
            if graded:
                loss = loss + self.teaching.loss(logits, truth) / 2
            if number < last:
                now = (logits.detach() > 0).cpu().numpy()
                corrections = []
                for mask, answered in zip(masks, now, strict=True):
                    corrections.append([self._next(mask, answered)])
                more_points, more_labels = self._asked(corrections)
                points, labels = torch.cat([points, more_points], 1), torch.cat([labels, more_labels], 1)
        return loss

    def _first(self, target: Target) -> Sequence[Click | None]:
        """Return the first clicks on a target: its own, or one as a person gives it."""
        mask = target.mask
        if target.positives:
            inside = []
            for voxel in target.positives:
                inside.append(_click(voxel, mask, True))
            return inside + [_click(voxel, mask, False) for voxel in target.negatives]
        if self.generator.random() < self.rules.centre:
            return [centre_click(mask, _grid(mask))]
        return [self._next(mask, np.zeros_like(mask))]

    def _next(self, truth: Mask, mask: Mask) -> Click | None:
        return error_click(truth, mask, _grid(truth), self.generator, inner=True)

    def _asked(self, clicks: Sequence[Sequence[Click | None]]) -> tuple[Tensor, Tensor]:
        """Return points (q n 3) and labels (q n); where there is nothing to click, a point that is ignored."""
        most = max(map(len, clicks))
        points = torch.zeros(len(clicks), most, 3)
        labels = torch.full((len(clicks), most), IGNORED)
        for q, own in enumerate(clicks):
            for n, click in enumerate(own):
                if click is not None:
                    points[q, n] = torch.tensor(click.position_ras)
                    labels[q, n] = int(click.positive)
        return points, labels


def nothing_to_click() -> RecipeError:
    """Return the error where patch after patch shows no object."""
    return RecipeError(
        f"{MOST_DRAWN} patches in a row held nothing to click. Are the labels of these scans empty?",
        code="DATALIST_INVALID",
    )


def objects_of(patch: Patch, smallest: int, bits: Iterable[int] = ()) -> list[tuple[int, Mask]]:
    """Return the labelled objects of a patch with at least so many voxels: label value and mask (i j k).

    A nested structure, stored in one of `bits`, has the value -1 minus its bit.
    """
    labels, nested = patch.labels.numpy(), patch.nested.numpy()
    counts = np.bincount(labels.ravel())
    objects: list[tuple[int, Mask]] = []
    for value in range(1, len(counts)):
        if counts[value] >= smallest:
            objects.append((value, labels == value))
    for bit in bits:
        inside = (nested >> bit) & 1 == 1
        if np.count_nonzero(inside) >= smallest:
            objects.append((-1 - bit, inside))
    return objects


def _click(voxel: Voxel, mask: Mask, positive: bool) -> Click:
    return click_at(voxel, _grid(mask), positive=positive, space="voxel")


def _grid(mask: Mask) -> Grid:
    """Return the patch's own grid, in voxels."""
    i, j, k = mask.shape
    return Grid((i, j, k), np.eye(4))
