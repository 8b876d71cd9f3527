"""Our network against MONAI's on shared random weights."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit import fit
from prosect.checkpoints.layouts import research_layout
from prosect.networks.vista3d import Vista3D

pytest.importorskip("monai")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-4


def official(seed: int, width: int) -> nn.Module:
    """Return MONAI's network with random weights, its norms and biases perturbed so that each one matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.networks.nets.vista3d import vista3d132
    torch.manual_seed(seed)
    net = vista3d132(encoder_embed_dim=width, in_channels=1).eval()
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim == 1:
                p.add_(0.2 * torch.randn_like(p))
    return net


def ours(net: nn.Module) -> Vista3D:
    """Return our network with the same weights."""
    return fit(RawWeights(dict(net.state_dict()), "0" * 64, "torch"))[0]


def relative(a: Tensor, b: Tensor) -> float:
    """Return the largest difference over the scale of the values."""
    return float((a - b).abs().max() / b.std())


@pytest.mark.parametrize(
    ("seed", "width", "shape"),
    [(0, 16, (32, 32, 32)), (1, 16, (48, 32, 16)), (2, 24, (32, 16, 48)), (3, 48, (32, 32, 32))],
)
def test_class_logits_equal_the_official_ones(seed: int, width: int, shape: tuple[int, int, int]) -> None:
    net = official(seed, width)
    image = torch.rand(1, 1, *shape)
    classes = torch.tensor([1, 3, 57, 132, 200, 511])
    with torch.no_grad():
        expected = net(image, class_vector=classes[:, None])
        found = ours(net)(image, classes)
    assert relative(found[0], expected[:, 0]) <= TOLERANCE


@pytest.mark.parametrize("prompt_class", [[1, 25], [200, 132], [133, 133]])
@pytest.mark.parametrize(("seed", "width", "shape"), [(4, 16, (32, 32, 32)), (5, 24, (16, 48, 32))])
def test_click_logits_equal_the_official_ones(
    seed: int, width: int, shape: tuple[int, int, int], prompt_class: list[int]
) -> None:
    net = official(seed, width)
    image = torch.rand(1, 1, *shape)
    points = torch.rand(2, 5, 3) * (torch.tensor(shape) - 1)
    labels = torch.tensor([[1, 0, -1, 2, 3], [3, 1, 1, 0, -1]])
    classes = torch.tensor(prompt_class)
    with torch.no_grad():
        expected = net(image, point_coords=points, point_labels=labels, prompt_class=classes)
        mine = ours(net)
        found = mine.point_logits(mine.interactive_features(image), points, labels, classes > 132)
    assert relative(found, expected) <= TOLERANCE


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors with a prefix on every key."""
    return {prefix + k: v for k, v in state.items()}


@pytest.mark.parametrize("family", ["monai", "research", "network.", "module.", "module.network."])
def test_every_official_layout_loads_to_the_same_network(family: str) -> None:
    net = official(6, 16)
    state = dict(net.state_dict())
    assert len(state) == 259
    tensors = {"monai": state, "research": research_layout(state)}.get(family) or prefixed(state, family)
    found, report = fit(RawWeights(tensors, "0" * 64, "torch"))
    for key, value in found.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert len(report.dropped) == (16 if family == "research" else 0)
    assert report.renamed == (8 if family == "research" else 0)


def test_the_research_layout_has_its_published_number_of_tensors() -> None:
    assert len(research_layout(dict(official(0, 16).state_dict()))) == 275
