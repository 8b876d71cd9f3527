"""Class vectors and mapped features, against the arithmetic written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from networks.test_segresnet import convolution
from prosect.networks.vista3d.class_head import ClassHead


def head(width: int = 6, classes: int = 9) -> ClassHead:
    """Return a small random head."""
    torch.manual_seed(0)
    return ClassHead(width, classes).eval()


def gelu(x: Tensor) -> Tensor:
    """Return the exact GELU."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def normalised(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return values with mean 0 and variance 1 over some axes."""
    mean = x.mean(axes, keepdim=True)
    variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def leaky(x: Tensor) -> Tensor:
    """Return a leaky ReLU of slope 0.01."""
    return torch.where(x >= 0, x, 0.01 * x)


def test_a_class_vector_equals_its_steps_written_out() -> None:
    module = head()
    first, _, _, last = module.mlp
    with torch.inference_mode():
        for index in range(9):
            embedding = module.class_embeddings.weight[index]
            hidden = normalised(first.weight @ embedding + first.bias, (0,))
            expected = last.weight @ gelu(hidden) + last.bias
            assert torch.allclose(module.vectors(torch.tensor([index]))[0], expected, atol=1e-5)


def test_vectors_come_in_the_order_asked_for() -> None:
    module = head()
    with torch.inference_mode():
        together = module.vectors(torch.tensor([7, 2, 7]))
        assert torch.allclose(together[0], together[2])
        assert torch.allclose(together[1], module.vectors(torch.tensor([2]))[0], atol=1e-6)


def test_a_mapping_block_equals_its_steps_written_out() -> None:
    module = head()
    x = torch.randn(2, 6, 4, 5, 3)
    layer = module.image_post_mapping[0].layer
    with torch.inference_mode():
        y = leaky(normalised(convolution(layer.conv1.conv.weight, x), (2, 3, 4)))
        y = normalised(convolution(layer.conv2.conv.weight, y), (2, 3, 4))
        assert torch.allclose(module.image_post_mapping[0](x), leaky(y + x), atol=1e-4)


@pytest.mark.parametrize("index", [-1, 9])
def test_a_class_without_a_row_has_no_vector(index: int) -> None:
    with pytest.raises(IndexError):
        head().vectors(torch.tensor([index]))
