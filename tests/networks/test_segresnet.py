"""The residual pyramid and its way back, against the arithmetic written out."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.vista3d.segresnet import Decoder, Encoder, ImageEncoder, ResBlock


def instance_norm(norm: nn.InstanceNorm3d, x: Tensor) -> Tensor:
    """Return an instance norm from its definition: each channel over its own voxels."""
    out = torch.zeros_like(x)
    for b, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
        voxels = x[b, c]
        variance = ((voxels - voxels.mean()) ** 2).mean()
        out[b, c] = (voxels - voxels.mean()) / torch.sqrt(variance + norm.eps) * norm.weight[c] + norm.bias[c]
    return out


def convolution(weight: Tensor, x: Tensor, stride: int = 1) -> Tensor:
    """Return a 3x3x3 convolution with a border of one voxel of zeros as a sum over its 27 taps."""
    padded = F.pad(x, (1,) * 6)
    sizes = [-(-n // stride) for n in x.shape[2:]]
    out = torch.zeros(x.shape[0], weight.shape[0], *sizes)
    for tap in itertools.product(range(3), repeat=3):
        i, j, k = (slice(t, t + stride * (n - 1) + 1, stride) for t, n in zip(tap, sizes, strict=True))
        out += torch.einsum("oc,bcijk->boijk", weight[(slice(None), slice(None), *tap)], padded[:, :, i, j, k])
    return out


def transposed(weight: Tensor, x: Tensor) -> Tensor:
    """Return the transposed convolution of stride 2: every voxel is spread over a block of 3x3x3 voxels."""
    out = torch.zeros(x.shape[0], weight.shape[1], *(2 * n + 2 for n in x.shape[2:]))
    for tap in itertools.product(range(3), repeat=3):
        i, j, k = (slice(t, t + 2 * n, 2) for t, n in zip(tap, x.shape[2:], strict=True))
        out[:, :, i, j, k] += torch.einsum("co,bcijk->boijk", weight[(slice(None), slice(None), *tap)], x)
    return out[:, :, 1:-1, 1:-1, 1:-1]


def block(channels: int = 4) -> ResBlock:
    """Return a block whose norms do something."""
    torch.manual_seed(0)
    module = ResBlock(channels).eval()
    with torch.no_grad():
        for norm in (module.norm1, module.norm2):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
    return module


def slow_block(module: ResBlock, x: Tensor) -> Tensor:
    """Return a residual block step by step."""
    y = convolution(module.conv1.weight, instance_norm(module.norm1, x).clamp_min(0))
    y = convolution(module.conv2.weight, instance_norm(module.norm2, y).clamp_min(0))
    return x + y


def test_a_residual_block_equals_its_steps_written_out() -> None:
    module, x = block(), torch.randn(2, 4, 5, 6, 4)
    with torch.inference_mode():
        assert torch.allclose(module(x.clone()), slow_block(module, x), atol=1e-4)


def test_a_block_leaves_its_input_as_it_was() -> None:
    module, x = block(), torch.randn(1, 4, 4, 4, 4)
    before = x.clone()
    with torch.inference_mode():
        module(x)
    assert torch.equal(x, before)


def test_learning_and_answering_give_one_result() -> None:
    module, x = block(), torch.randn(1, 4, 4, 6, 4)
    learning = module(x)
    with torch.inference_mode():
        answering = module(x)
    assert learning.requires_grad
    assert torch.allclose(learning, answering, atol=1e-6)


def test_the_pyramid_doubles_channels_and_halves_the_resolution() -> None:
    torch.manual_seed(0)
    encoder = Encoder(1, 4, (1, 2, 1)).eval()
    x = torch.randn(1, 1, 8, 12, 4)
    with torch.inference_mode():
        pyramid = encoder(x)
    assert [tuple(level.shape[1:]) for level in pyramid] == [(4, 8, 12, 4), (8, 4, 6, 2), (16, 2, 3, 1)]


def test_the_encoder_equals_its_steps_written_out() -> None:
    torch.manual_seed(0)
    encoder = Encoder(1, 4, (1, 2)).eval()
    x = torch.randn(1, 1, 4, 8, 4)
    with torch.inference_mode():
        fine, coarse = encoder(x)
        expected = slow_block(encoder.layers[0].blocks[0], convolution(encoder.conv_init.weight, x))
        assert torch.allclose(fine, expected, atol=1e-4)
        expected = convolution(encoder.layers[0].downsample.weight, expected, stride=2)
        for each in encoder.layers[1].blocks:
            expected = slow_block(each, expected)
    assert torch.allclose(coarse, expected, atol=1e-4)


def test_a_level_of_the_decoder_equals_its_steps_written_out() -> None:
    torch.manual_seed(0)
    decoder = Decoder(4, levels=2, out_channels=3).eval()
    level: nn.Module = decoder[0]
    coarse, skip = torch.randn(1, 8, 2, 3, 2), torch.randn(1, 4, 4, 6, 4)
    with torch.inference_mode():
        found = decoder([skip, coarse])
        up = transposed(level.upsample.deconv.weight, coarse) + skip
        refined = slow_block(level.blocks[0], up)
        weight, bias = level.head.weight[:, :, 0, 0, 0], level.head.bias
        expected = torch.einsum("oc,bcijk->boijk", weight, refined) + bias.view(1, -1, 1, 1, 1)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_of_the_pyramid_reaches_the_result(level: int) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(1, 4, (1, 1, 1)).eval()
    with torch.inference_mode():
        pyramid = encoder.encoder(torch.randn(1, 1, 8, 8, 8))
        before = encoder.up_layers(pyramid)
        pyramid[level] = pyramid[level] + torch.randn_like(pyramid[level])
        assert not torch.allclose(encoder.up_layers(pyramid), before, atol=1e-3)


def test_a_decoder_that_is_not_asked_for_has_no_weights() -> None:
    keys = ImageEncoder(1, 4, (1, 1), automatic=False).state_dict()
    assert any(key.startswith("up_layers.") for key in keys)
    assert not any(key.startswith("up_layers_auto.") for key in keys)
