"""The arrangement for processors equals the modules."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prosect.networks.vista3d import Architecture, vista3d
from prosect.networks.vista3d.cpu import CpuBranches
from prosect.networks.vista3d.cpu_head import CpuPointHead
from prosect.networks.winograd import WinogradConv3


@pytest.mark.parametrize(
    ("width", "blocks", "shape"), [(32, (1, 2), (16, 8, 12)), (48, (1, 1, 1), (16, 16, 16)), (8, (1, 1), (6, 4, 8))]
)
def test_the_fast_branches_equal_the_modules(width: int, blocks: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = vista3d(Architecture(width=width, blocks=blocks)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.InstanceNorm3d) and module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    windows = torch.rand(2, 1, *shape)
    with torch.inference_mode():
        expected = network.automatic_features(windows)
        found = CpuBranches(network).automatic_features(windows)
        clicked = network.interactive_features(windows[:1])
        found_clicked = CpuBranches(network).interactive_features(windows[:1])
    assert float((found - expected).abs().max() / expected.std()) < 3e-4
    assert float((found_clicked - clicked).abs().max() / clicked.std()) < 3e-4


@pytest.mark.parametrize(("width", "shape"), [(16, (16, 16, 16)), (48, (32, 16, 48)), (24, (6, 10, 14))])
@pytest.mark.parametrize("objects", [1, 3])
def test_the_fast_point_head_equals_the_module(width: int, shape: tuple[int, int, int], objects: int) -> None:
    torch.manual_seed(2)
    head = vista3d(Architecture(width=width, blocks=(1, 1), automatic=False)).point_head.eval()
    image = torch.randn(1, width, *(n // 2 for n in shape))
    points = torch.rand(objects, 4, 3) * torch.tensor(shape)
    labels, zero_shot = torch.randint(-1, 4, (objects, 4)), torch.arange(objects) % 2 == 0
    with torch.inference_mode():
        expected = head(image, points, labels, zero_shot)
        found = CpuPointHead(head)(image, points, labels, zero_shot)
    assert found.shape == (objects, 1, *shape)
    assert float((found - expected).abs().max() / expected.std()) < 1e-4


@pytest.mark.parametrize("shape", [(4, 9, 7), (12, 3, 20), (8, 33, 5)])
@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_winograd_equals_the_direct_convolution(shape: tuple[int, int, int], slope: float) -> None:
    torch.manual_seed(1)
    conv = nn.Conv3d(32, 40, 3, padding=1, bias=False)
    x, residual = torch.randn(*shape, 32), torch.randn(*shape, 40)
    scale, shift = torch.rand(32) + 0.5, torch.randn(32)
    activated = F.leaky_relu(x * scale + shift, slope)
    with torch.inference_mode():
        expected = conv(activated.permute(3, 0, 1, 2)[None])[0].permute(1, 2, 3, 0) + residual
        found = WinogradConv3(conv.weight)(x, (scale, shift, slope), residual)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_winograd_is_left_alone_where_it_does_not_fit() -> None:
    assert WinogradConv3.fits(torch.empty(48, 48, 3, 3, 3), 8)
    assert not WinogradConv3.fits(torch.empty(48, 48, 3, 3, 3), 6)
    assert not WinogradConv3.fits(torch.empty(16, 16, 3, 3, 3), 8)
