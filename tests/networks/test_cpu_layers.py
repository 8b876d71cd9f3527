"""Layers on channels-last maps equal those of torch, whatever their size and way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.moments import Moments
from prosect.networks.vista3d import cpu_layers
from prosect.networks.vista3d.cpu_layers import Layers, blocks_of
from prosect.networks.winograd import WinogradConv3


def first(x: Tensor) -> Tensor:
    """Return a map (i j k c) as torch has it (1 c i j k)."""
    return x.permute(3, 0, 1, 2)[None]


def last(x: Tensor) -> Tensor:
    """Return torch's array (1 c i j k) as a map (i j k c)."""
    return x[0].permute(1, 2, 3, 0)


# By blocks, by Winograd's blocks, by channels (a large kernel over few voxels), of one channel.
@pytest.mark.parametrize(
    ("channels", "shape"), [(8, (6, 9, 7)), (32, (8, 21, 5)), (96, (4, 5, 3)), (1, (8, 8, 8)), (320, (4, 9, 18))]
)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_reads_the_norm_and_writes_the_sum(
    channels: int, shape: tuple[int, int, int], stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_layers, "BLOCK_BYTES", 2**14)  # several blocks of rows, too
    torch.manual_seed(1)
    conv = nn.Conv3d(channels, 40, 3, stride=stride, padding=1, bias=False)
    x = torch.randn(*shape, channels)
    scale, shift = torch.rand(channels) + 0.5, torch.randn(channels)
    with torch.inference_mode():
        expected = conv(first(F.leaky_relu(x * scale + shift, 0.01)))
        residual = torch.randn_like(last(expected).contiguous())
        found = Layers().convolve(conv, x, (scale, shift, 0.01), residual.clone())
    torch.testing.assert_close(found.values, last(expected) + residual, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.moments.mean.float(), found.values.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)


def test_a_head_follows_the_sum() -> None:
    torch.manual_seed(2)
    conv, head = nn.Conv3d(8, 8, 3, padding=1, bias=False), nn.Conv3d(8, 8, 1)
    x, residual = torch.randn(4, 6, 5, 8), torch.randn(4, 6, 5, 8)
    with torch.inference_mode():
        expected = head(conv(first(x)) + first(residual))
        found = Layers().convolve(conv, x, into=residual, head=head, measure=False)
    torch.testing.assert_close(found.values, last(expected), rtol=1e-4, atol=1e-5)
    assert found.moments.count == 0


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 1, 2), (1, 1, 1)])
def test_a_transposed_convolution_is_added_to_the_skip(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_layers, "BLOCK_BYTES", 2**9)
    torch.manual_seed(3)
    conv = nn.ConvTranspose3d(8, 6, 3, stride=2, padding=1, output_padding=1, bias=False)
    x, skip = torch.randn(*shape, 8), torch.randn(*(2 * n for n in shape), 6)
    with torch.inference_mode():
        expected = last(conv(first(x))) + skip
        found = Layers().transpose(conv, x, skip)
    assert found.values is skip
    torch.testing.assert_close(skip, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.moments.mean.float(), expected.mean((0, 1, 2)), rtol=1e-3, atol=1e-5)


def test_an_activation_follows_norm_and_residual() -> None:
    x, residual, scale, shift = torch.randn(5, 4, 3, 2), torch.randn(5, 4, 3, 2), torch.rand(2), torch.randn(2)
    expected = F.leaky_relu(x * scale + shift + residual, 0.1)
    torch.testing.assert_close(Layers().activate(x, (scale, shift, 0.1), residual), expected)


@pytest.mark.parametrize(("planes", "rows"), [(1, 1), (6, 5), (8, 33), (13, 100)])
def test_blocks_cover_a_map_once_and_none_is_thin(planes: int, rows: int) -> None:
    seen = torch.zeros(planes, rows)
    blocks = blocks_of(planes, rows, 2**15)
    for block in blocks:
        seen[block] += 1
    assert bool((seen == 1).all())
    heights = [block[1].stop - block[1].start for block in blocks]
    assert min(heights) > max(heights) - len(heights)


def test_winograd_takes_neither_few_nor_many_channels() -> None:
    assert WinogradConv3.fits(torch.empty(48, 48, 3, 3, 3))
    assert not WinogradConv3.fits(torch.empty(16, 16, 3, 3, 3))
    assert not WinogradConv3.fits(torch.empty(8, 384, 3, 3, 3))


def test_moments_of_parts_are_those_of_the_whole_without_cancellation() -> None:
    torch.manual_seed(4)
    values = torch.randn(900, 3) * torch.tensor([1.0, 1e-3, 5.0]) + torch.tensor([0.0, 100.0, -3.0])
    merged = Moments.merge([Moments.of(part) for part in values.split([1, 400, 499])])
    exact = values.double()
    torch.testing.assert_close(merged.mean, exact.mean(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(merged.squares / 900, exact.var(0, correction=0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("affine", [True, False])
def test_moments_become_an_instance_norm(affine: bool) -> None:
    torch.manual_seed(5)
    norm = nn.InstanceNorm3d(4, affine=affine)
    if affine:
        nn.init.uniform_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(3, 4, 5, 4) + 2
    scale, shift, slope = Moments.of(x).affine(norm, 0.1)
    torch.testing.assert_close(x * scale + shift, last(norm(first(x))).detach(), rtol=1e-4, atol=1e-5)
    assert slope == 0.1
