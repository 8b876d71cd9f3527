"""A norm over channels, against the definition voxel by voxel."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from prosect.networks.channel_norm import EPSILON, ChannelNorm


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_every_voxel_is_normalised_over_its_channels(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = ChannelNorm(5)
    with torch.no_grad():
        module.weight.uniform_(0.5, 2)
        module.bias.normal_()
    scale, shift = module.weight.tolist(), module.bias.tolist()
    maps = torch.randn(2, 5, *shape)
    with torch.inference_mode():
        found = module(maps)
    assert found.shape == maps.shape
    for batch, *voxel in itertools.product(range(2), *map(range, shape)):
        values = maps[(batch, slice(None), *voxel)].tolist()
        mean = sum(values) / 5
        variance = sum((value - mean) ** 2 for value in values) / 5
        for channel, value in enumerate(values):
            scaled = (value - mean) / math.sqrt(variance + EPSILON)
            expected = scaled * scale[channel] + shift[channel]
            assert float(found[(batch, channel, *voxel)]) == pytest.approx(expected, abs=1e-4)


def test_a_voxel_whose_channels_are_equal_becomes_the_bias() -> None:
    module = ChannelNorm(4)
    with torch.no_grad():
        module.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    found = module(torch.full((1, 4, 2, 2), 7.0))
    assert torch.equal(found[0, :, 0, 0], module.bias)
