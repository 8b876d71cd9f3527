"""Our image encoder and upscaling layers against `transformers`' SamModel on shared random weights."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit_sam import fit_sam

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]

TO_OFFICIAL = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"patch_embed\.projection\.", "patch_embed.proj."),
    (r"\.layers\.(\d+)\.layer_norm(\d)\.", r".blocks.\1.norm\2."),
    (r"\.layers\.(\d+)\.", r".blocks.\1."),
    (r"neck\.conv1\.", "neck.0."),
    (r"neck\.layer_norm1\.", "neck.1."),
    (r"neck\.conv2\.", "neck.2."),
    (r"neck\.layer_norm2\.", "neck.3."),
    (r"mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
)


def model(seed: int, window: int, everything: list[int]) -> nn.Module:
    """Return their model with random weights, positions and norms perturbed so that each one matters."""
    vision = transformers.SamVisionConfig(
        hidden_size=32, output_channels=16, num_hidden_layers=3, num_attention_heads=4, image_size=128, patch_size=16,
        window_size=window, global_attn_indexes=everything, mlp_dim=48, num_pos_feats=8, initializer_range=0.02,
    )  # fmt: skip
    prompts = transformers.SamPromptEncoderConfig(hidden_size=16, image_size=128, patch_size=16)
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=32, num_attention_heads=2, num_hidden_layers=1, iou_head_hidden_dim=16
    )
    torch.manual_seed(seed)
    net = transformers.SamModel(
        transformers.SamConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config=prompts.to_dict(),
            mask_decoder_config=decoder.to_dict(),
        )
    ).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def official_keys(net: nn.Module) -> dict[str, Tensor]:
    """Return their tensors under the keys of the published files."""
    out = {}
    for key, value in net.state_dict().items():
        for pattern, replacement in TO_OFFICIAL:
            key = re.sub(pattern, replacement, key)
        out[key] = value
    return out


def upscaled(net: Any, embedding: Tensor) -> Tensor:
    """Return what their mask decoder makes of an image embedding before any prompt meets it."""
    decoder = net.mask_decoder
    first = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(embedding)))
    features: Tensor = decoder.activation(decoder.upscale_conv2(first))
    return features


@pytest.mark.parametrize(("seed", "window", "everything"), [(0, 3, [2]), (1, 4, [0, 1]), (2, 5, [1]), (3, 8, [])])
def test_features_equal_those_of_transformers(seed: int, window: int, everything: list[int]) -> None:
    net = model(seed, window, everything)
    ours, report = fit_sam(RawWeights(official_keys(net), "0" * 64, "torch"))
    image = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        embedding = net.get_image_embeddings(image)
        expected = upscaled(net, embedding)
        found = ours(image)
        assert torch.allclose(ours.image_encoder(image), embedding, atol=1e-4 * float(embedding.std()))
    assert float(expected.std()) > 1e-3
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.std()))
    assert report.architecture.windows == tuple(8 if n in everything else window for n in range(3))
    assert report.dropped
