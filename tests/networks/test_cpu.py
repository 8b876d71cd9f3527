"""The arrangement for processors equals the modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prosect.networks.vista3d import Architecture, vista3d
from prosect.networks.vista3d.branches import multiplies_bfloat16
from prosect.networks.vista3d.cpu import CpuBranches
from prosect.networks.vista3d.cpu_head import CpuPointHead


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
    fast = CpuBranches(network)
    with torch.inference_mode():
        expected = network.automatic_features(windows)
        found = fast.automatic_features(windows)
        clicked = network.interactive_features(windows[:1])
        found_clicked = fast.interactive_features(windows[:1])
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


def test_the_number_of_threads_does_not_change_a_bit_of_a_click() -> None:
    torch.manual_seed(4)
    head = vista3d(Architecture(width=16, blocks=(1, 1), automatic=False)).point_head.eval()
    tokens, vector, before = torch.randn(6, 5, 4, 16), torch.randn(16), torch.get_num_threads()
    arranged, found = CpuPointHead(head), []
    try:
        with torch.inference_mode():
            for threads in (1, 3):
                torch.set_num_threads(threads)
                found.append(arranged._upscale(tokens, vector))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    torch.manual_seed(3)
    network = vista3d(Architecture(width=32, blocks=(1, 1, 1), interactive=False)).eval()
    window, before = torch.rand(1, 1, 16, 16, 16), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(CpuBranches(network).automatic_features(window).clone())
            assert torch.get_num_threads() == threads, "whoever computes beside this keeps the number of threads"
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_a_result_outlives_the_window_after_it() -> None:
    network = vista3d(Architecture(width=16, blocks=(1, 1), interactive=False)).eval()
    fast, windows = CpuBranches(network), torch.rand(2, 1, 32, 32, 32)
    first = fast.automatic_features(windows[:1])
    kept = first.clone()
    fast.automatic_features(windows[1:])
    assert torch.equal(first, kept)


def test_a_click_head_that_takes_maps_gets_the_features_of_both_branches() -> None:
    torch.manual_seed(4)
    network = vista3d(Architecture(width=16, blocks=(1, 1, 1), click_head="maps")).eval()
    image = torch.rand(1, 1, 16, 8, 12)
    with torch.inference_mode():
        expected = network.interactive_features(image)
        found = CpuBranches(network).interactive_features(image)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.std()) < 3e-4


@pytest.mark.skipif(not multiplies_bfloat16(), reason="this processor has neither AMX nor AVX512-BF16")
def test_bfloat16_is_near() -> None:
    torch.manual_seed(5)
    network = vista3d(Architecture(width=16, blocks=(1, 1), interactive=False)).eval()
    window = torch.rand(1, 1, 16, 16, 16)
    with torch.inference_mode():
        expected = network.automatic_features(window)
        found = CpuBranches(network, torch.bfloat16).automatic_features(window).float()
    error = float((found - expected).norm() / expected.norm())
    assert 1e-5 < error < 0.03, "as near as eight bits of mantissa allow, and not float32 in disguise"
