"""The network against a slow one that reads the same weights: both branches, step by step and as a whole."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from reference import plain_layers as plain
from reference import plain_vista3d as twin

WIDTH, SHAPE = 8, (8, 4, 12)
# Both compute in double precision: what is left is the order of sums.
close = partial(assert_close, rtol=1e-9, atol=1e-9)


def array(tensor: Tensor) -> np.ndarray:
    """Return a tensor as NumPy sees it."""
    return tensor.detach().numpy()


def tensor(values: np.ndarray) -> Tensor:
    """Return an array as torch sees it."""
    return torch.from_numpy(np.ascontiguousarray(values))


@pytest.fixture(scope="module")
def network() -> Vista3D:
    """Return a network in double precision in which every weight matters, those that begin at 0 or 1 too."""
    torch.manual_seed(0)
    made = vista3d(Architecture(width=WIDTH, blocks=(1, 2, 1), classes=6)).double().eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return made


@pytest.fixture(scope="module")
def weights(network: Vista3D) -> twin.Weights:
    """Return its weights by their official names."""
    return {key: array(value) for key, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Return a window (1 1 i j k)."""
    return torch.rand(1, 1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_the_twin_is_torchs(stride: int) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 4, 6, 5, dtype=torch.float64, generator=generator)
    weight = torch.randn(2, 3, 3, 3, 3, dtype=torch.float64, generator=generator)
    bias = torch.randn(2, dtype=torch.float64, generator=generator)
    expected = torch.nn.functional.conv3d(x[None], weight, bias, stride=stride, padding=1)[0]
    close(tensor(plain.conv3(array(x), array(weight), array(bias), stride)), expected)


def test_a_transposed_convolution_of_the_twin_is_torchs() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 2, 3, 4, dtype=torch.float64, generator=generator)
    weight = torch.randn(3, 2, 3, 3, 3, dtype=torch.float64, generator=generator)
    expected = torch.nn.functional.conv_transpose3d(x[None], weight, stride=2, padding=1, output_padding=1)[0]
    close(tensor(plain.conv_transpose3(array(x), array(weight))), expected)


@torch.no_grad()
def test_the_encoder_halves_and_doubles_as_the_paper_says(
    network: Vista3D, weights: twin.Weights, image: Tensor
) -> None:
    found, expected = network.image_encoder.encoder(image), twin.pyramid(array(image[0]), weights)
    assert [tuple(level.shape[1:]) for level in found] == [(8, 8, 4, 12), (16, 4, 2, 6), (32, 2, 1, 3)]
    for ours, theirs in zip(found, expected, strict=True):
        close(ours[0], tensor(theirs))


@pytest.mark.parametrize("branch", ["up_layers", "up_layers_auto"])
@torch.no_grad()
def test_each_decoder_comes_back_to_the_window(
    network: Vista3D, weights: twin.Weights, image: Tensor, branch: str
) -> None:
    levels = network.image_encoder.encoder(image)
    found = getattr(network.image_encoder, branch)(levels)[0]
    close(found, tensor(twin.decoded([array(level[0]) for level in levels], weights, branch)))


@torch.no_grad()
def test_class_logits_are_those_of_the_twin(network: Vista3D, weights: twin.Weights, image: Tensor) -> None:
    features = twin.decoded(twin.pyramid(array(image[0]), weights), weights, "up_layers_auto")
    found = network(image, [1, 5])[0]
    for logits, index in zip(found, (1, 5), strict=True):
        close(logits, tensor(twin.class_logits(features, weights, index)))


CLICKS = [
    ([(3.0, 1.0, 7.0)], [1], True),
    ([(3.0, 1.0, 7.0), (0.0, 3.5, 11.0)], [1, 0], False),
    ([(7.0, 0.0, 0.0), (2.25, 2.0, 6.0), (5.0, 1.0, 1.0)], [3, 2, 3], False),
    ([(4.0, 2.0, 6.0), (0.0, 0.0, 0.0)], [1, -1], True),
]


@pytest.mark.parametrize(("points", "labels", "zero_shot"), CLICKS)
@torch.no_grad()
def test_the_answer_to_clicks_is_that_of_the_twin(
    network: Vista3D,
    weights: twin.Weights,
    image: Tensor,
    points: list[tuple[float, ...]],
    labels: list[int],
    zero_shot: bool,
) -> None:
    found = network.point_logits(
        network.interactive_features(image),
        torch.tensor([points], dtype=torch.float64),
        torch.tensor([labels]),
        torch.tensor([zero_shot]),
    )[0, 0]
    features = twin.decoded(twin.pyramid(array(image[0]), weights), weights, "up_layers")
    expected = twin.mask_logits(features, np.array(points), labels, zero_shot, weights)
    # Places of clicks are worked out in single precision: half a unit of 1 in the last place, times 2 pi.
    assert_close(found, tensor(expected), rtol=1e-4, atol=1e-4)
    assert float(found.std()) > 0.01, "an answer that is the same everywhere would hide a wrong place"


@torch.no_grad()
def test_a_token_that_stands_for_no_click_counts_as_one(network: Vista3D, image: Tensor) -> None:
    """Padding is a token of its own, as in the official code: it is not as if the click were left out."""
    features = network.interactive_features(image)
    one, padded = (
        network.point_logits(features, torch.tensor([points]), torch.tensor([labels]), torch.tensor([True]))
        for points, labels in (([[3.0, 1.0, 7.0]], [1]), ([[3.0, 1.0, 7.0], [0.0, 0.0, 0.0]], [1, -1]))
    )
    assert not torch.allclose(one, padded)


@torch.no_grad()
def test_the_kind_of_the_object_decides_the_answer(network: Vista3D, image: Tensor) -> None:
    features = network.interactive_features(image)
    points, labels = torch.tensor([[[3.0, 1.0, 7.0]]] * 2), torch.tensor([[1], [1]])
    supported, new = network.point_logits(features, points, labels, torch.tensor([False, True]))
    assert not torch.allclose(supported, new)
