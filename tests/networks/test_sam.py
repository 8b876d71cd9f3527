"""The image encoders of Segment Anything: their size, and that shortcuts change nothing."""

from __future__ import annotations

import math

import pytest
import torch
from tests.reference.sam_attention import attend

from prosect.networks.sam import SAM_VARIANTS, SamFeatures, TinyVariant, VitVariant
from prosect.networks.sam.image_encoder import joined_windows, split_windows

SMALL = VitVariant(dim=24, heads=2, windows=(3, 8), hidden=48, side=8, patch=16, out_channels=16)
SMALL_TINY = TinyVariant((8, 16, 24, 32), (1, 2, 1, 1), (0, 2, 3, 4), (0, 3, 4, 3), out_channels=16, image_side=64)


def scrambled(variant: VitVariant | TinyVariant) -> SamFeatures:
    """Return a network in which every weight matters: waves of different length, no random numbers."""
    network = SamFeatures(variant).eval()
    with torch.no_grad():
        for n, value in enumerate(network.state_dict().values()):
            if value.is_floating_point():
                wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * (0.37 + 0.013 * n) + n)
                offset = 1.0 if value.ndim == 1 else 0.0
                value.copy_((offset + 0.3 * wave / max(math.sqrt(value[0].numel()), 1)).view(value.shape))
    return network


def picture(side: int) -> torch.Tensor:
    """Return an image (1 3 side side) with structure in it."""
    x = torch.linspace(-1, 1, side)
    grey = torch.sin(7 * x[:, None] + 3 * x**2) * torch.cos(5 * x + x[:, None])
    return torch.stack([grey, grey.T, grey * grey.T])[None]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("sam-vit-h", 637_026_048), ("sam-vit-l", 308_278_272), ("sam-vit-b", 89_670_912), ("mobile-sam", 5_743_892)],
)
def test_encoders_have_as_many_weights_as_the_published_ones(name: str, parameters: int) -> None:
    with torch.device("meta"):
        encoder = SamFeatures(SAM_VARIANTS[name]).image_encoder
    assert sum(p.numel() for p in encoder.parameters()) == parameters


@pytest.mark.parametrize("block", [0, 1])
def test_attention_equals_the_whole_matrix_of_pairs(block: int) -> None:
    layer = scrambled(SMALL).image_encoder.blocks[block].attn
    side = (3, 8)[block]
    tokens = torch.randn(2, side, side, 24, generator=torch.Generator().manual_seed(block))
    with torch.no_grad():
        assert torch.allclose(layer(tokens), attend(layer, tokens), atol=1e-5)


@pytest.mark.parametrize(("h", "w", "window"), [(8, 8, 3), (7, 5, 3), (6, 4, 2), (2, 2, 5)])
def test_windows_put_together_are_the_tokens(h: int, w: int, window: int) -> None:
    tokens = torch.arange(2 * h * w * 3, dtype=torch.float32).view(2, h, w, 3)
    windows = split_windows(tokens, window)
    assert windows.shape == (2 * -(-h // window) * -(-w // window), window, window, 3)
    assert torch.equal(joined_windows(windows, tokens.shape), tokens)
    assert windows.sum() == tokens.sum()


@pytest.mark.parametrize("variant", [SMALL, SMALL_TINY], ids=["vit", "tiny"])
def test_features_have_a_quarter_of_the_resolution_and_an_eighth_of_the_channels(variant) -> None:
    side = variant.image_side
    with torch.no_grad():
        features = scrambled(variant)(torch.cat([picture(side), picture(side) * 0.5]))
    assert features.shape == (2, 2, side // 4, side // 4)
    assert float(features[0].std()) > 1e-4


@pytest.mark.parametrize("variant", [SMALL, SMALL_TINY], ids=["vit", "tiny"])
def test_slices_of_a_batch_do_not_mix(variant) -> None:
    network, images = scrambled(variant), torch.cat([picture(variant.image_side), -picture(variant.image_side)])
    with torch.no_grad():
        together = network(images)
        assert torch.allclose(together[1:], network(images[1:]), atol=1e-5)


# Recorded from MobileSAM's own code (tiny_vit_sam.py) with these weights and this picture.
RECORDED = [-0.02548, 0.06582, 0.01561, 0.21793, 1.28872, 2.22818, 2.07828, 1.69401]


def test_the_tiny_encoder_gives_what_the_official_code_gave() -> None:
    variant = SMALL_TINY
    with torch.no_grad():
        embedding = scrambled(variant).image_encoder(picture(64))[0]
    found = embedding.flatten()[:: embedding.numel() // len(RECORDED)][: len(RECORDED)]
    assert torch.allclose(found, torch.tensor(RECORDED), atol=1e-4)
