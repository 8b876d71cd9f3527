"""Tokens and image attend to each other as the slow twin says, under the names of either model's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect.networks.fourier_position import FourierPosition
from prosect.networks.two_way_transformer import TwoWayTransformer
from reference import plain_vista3d as twin

NAMES = [("linear1", "linear2"), ("lin1", "lin2")]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("depth", [1, 3])
@torch.no_grad()
def test_mutual_attention_is_that_of_the_twin(names: tuple[str, str], depth: int) -> None:
    torch.manual_seed(0)
    network = TwoWayTransformer(depth, dim=16, heads=4, hidden=24, mlp_names=names).double().eval()
    image, codes, tokens = (torch.randn(1, n, 16, dtype=torch.float64) for n in (10, 10, 5))
    weights = {}
    for key, value in network.state_dict().items():
        official = key.replace(f"mlp.{names[0]}.", "mlp.linear1.").replace(f"mlp.{names[1]}.", "mlp.linear2.")
        weights[official] = value.numpy()
    found_tokens, found_image = network(image, codes, tokens)
    expected_tokens, expected_image = twin.two_way(image[0].numpy(), codes[0].numpy(), tokens[0].numpy(), weights)
    np.testing.assert_allclose(found_tokens[0].numpy(), expected_tokens, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found_image[0].numpy(), expected_image, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_objects_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = TwoWayTransformer(2, dim=16, heads=4, hidden=24).double().eval()
    image, codes, tokens = (torch.randn(2, n, 16, dtype=torch.float64) for n in (10, 10, 5))
    together = network(image, codes, tokens)
    for number in range(2):
        alone = network(image[[number]], codes[[number]], tokens[[number]])
        for one, both in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], both[number])


def test_a_grid_has_the_codes_of_its_cell_centres() -> None:
    torch.manual_seed(0)
    layer = FourierPosition(6)
    grid = layer.grid((2, 3, 4))
    assert grid.shape == (12, 2, 3, 4)
    for i, j, k in np.ndindex(2, 3, 4):
        centre = torch.tensor([(i + 0.5) / 2, (j + 0.5) / 3, (k + 0.5) / 4])
        torch.testing.assert_close(grid[:, i, j, k], layer(centre))


def test_exchanged_axes_exchange_the_grid_and_not_the_points() -> None:
    torch.manual_seed(0)
    plain, exchanged = FourierPosition(6), FourierPosition(6, grid_axes=(1, 0, 2))
    exchanged.load_state_dict(plain.state_dict())
    torch.testing.assert_close(exchanged.grid((3, 3, 2)), plain.grid((3, 3, 2)).transpose(1, 2))
    point = torch.rand(3)
    torch.testing.assert_close(exchanged(point), plain(point))
