"""Loss and augmentation of the official configurations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect.training.losses import published_loss

pytestmark = pytest.mark.official
losses = pytest.importorskip("monai.losses", reason="MONAI is not installed")


def test_the_published_loss_is_monais_dice_plus_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5, 6, 7, 8, generator=generator)
    masks = (torch.rand(5, 6, 7, 8, generator=generator) < 0.3).int()
    masks[4] = 0  # a class that is known not to be there
    theirs = losses.DiceCELoss(sigmoid=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-5)
    each = [theirs(logits[q][None, None], masks[q][None, None].float()) for q in range(5)]
    assert float(published_loss(logits, masks)) == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)


def test_official_augmentation_follows_its_generator_and_changes_intensities_only_now_and_then() -> None:
    from prosect.training.augment_official import augment_official

    image = torch.rand(1, 1, 12, 10, 8)
    first, second = (augment_official(image, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(first, second)
    changed = [not torch.equal(augment_official(image, np.random.default_rng(n)), image) for n in range(60)]
    assert 0.45 < np.mean(changed) < 0.9, "five transforms at 0.2 each leave a third alone"
