"""A network that is built to be filled has its shapes, no values, and costs no start of torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from prosect.networks.vista3d import Architecture, Vista3D
from prosect.networks.without_values import without_values

SMALL = Architecture(width=8, blocks=(1, 1), click_head="maps")


def test_shapes_are_those_of_a_network_with_values() -> None:
    with without_values():
        empty = Vista3D(SMALL)
    full = Vista3D(SMALL).state_dict()
    found = empty.state_dict()
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in full.items()}
    assert all(value.is_meta for value in found.values())


def test_outside_the_block_values_are_drawn_as_before() -> None:
    with without_values():
        nn.Linear(3, 3)
    torch.manual_seed(0)
    first = nn.Linear(3, 3).weight
    torch.manual_seed(0)
    assert torch.equal(first, nn.Linear(3, 3).weight)
    assert float(first.detach().std()) > 0


def test_an_error_inside_ends_the_block() -> None:
    with pytest.raises(ZeroDivisionError), without_values():
        1 / 0  # noqa: B018
    assert not nn.Linear(2, 2).weight.is_meta


def test_a_model_that_is_loaded_starts_no_compiler() -> None:
    code = (
        "import sys, prosect\n"
        "prosect.load('prosect-small', device='cpu', engine='modules')\n"
        "loaded = {'torch._dynamo', 'sympy', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
