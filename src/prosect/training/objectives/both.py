"""Both branches trained from one encoding of one patch."""

from __future__ import annotations

import torch
from torch import Tensor

from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.objectives.interactive import MOST_DRAWN, InteractiveObjective, nothing_to_click
from prosect.training.patches import Patch
from prosect.training.targets import Target

__all__ = ["BothBranches"]


class BothBranches:
    """The loss of everything on one patch: encoder, both decoders, both heads.

    Where the intensities were remapped, only clicks are asked for: a class is known by how a CT shows it. Differs
    from the official recipe, which trains the encoder with the interactive branch alone and freezes it for the
    automatic one; for a network that is small and trained for hours, one encoding for both is cheaper, and each
    branch teaches the encoder what the other needs.

    Args:
        automatic: The loss of classes; its patches are drawn.
        interactive: The loss of clicks.
    """

    def __init__(self, automatic: AutomaticObjective, interactive: InteractiveObjective) -> None:
        self.automatic, self.interactive = automatic, interactive
        self.network, self.bfloat16 = automatic.network, automatic.teaching.bfloat16

    def __call__(self) -> Tensor:
        """Return the loss of a freshly drawn patch."""
        patch, objects, remapped = self._drawn()
        image = self.automatic.teaching.augment(remapped, self.automatic.generator)
        image = image.to(next(self.network.parameters()).device)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            pyramid = self.network.image_encoder.encoder(image)
        loss: Tensor = torch.zeros((), device=image.device)
        if remapped is patch.image:
            loss = loss + self.automatic.loss(patch, pyramid)
        if objects:
            loss = loss + self.interactive.loss(objects, pyramid)
        return loss

    def _drawn(self) -> tuple[Patch, list[Target], Tensor]:
        """Return a patch, what can be clicked in it, and its image, perhaps remapped.

        Raises:
            RecipeError: Every image was remapped and nothing could be clicked (`DATALIST_INVALID`).
        """
        for _ in range(MOST_DRAWN):
            patch = self.automatic.draw()
            objects = self.interactive.objects(patch)
            remapped = self.interactive.remapped(patch.image)
            if objects or remapped is patch.image:
                return patch, objects, remapped
        raise nothing_to_click()
