"""Codes of positions, against sines and cosines one by one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from prosect.networks.fourier_position import FourierPosition


def slow_code(module: FourierPosition, position: list[float]) -> list[float]:
    """Return the code of one position, number by number."""
    matrix = module.positional_encoding_gaussian_matrix.tolist()
    code = []
    for wave in module.waves:
        for column in range(len(matrix[0])):
            phase = 0.0
            for axis, place in enumerate(position):
                phase += (2 * place - 1) * matrix[axis][column]
            code.append(getattr(math, wave)(2 * math.pi * phase))
    return code


@pytest.mark.parametrize("waves", [("sin", "cos"), ("sin", "cos", "sin")])
def test_a_code_is_waves_of_projections(waves: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    module = FourierPosition(5, waves=waves)  # type: ignore[arg-type]
    positions = torch.rand(7, 3)
    expected = torch.tensor([slow_code(module, position) for position in positions.tolist()])
    assert torch.allclose(module(positions), expected, atol=1e-4)


@pytest.mark.parametrize("grid_axes", [None, (1, 0, 2)])
def test_a_cell_of_a_grid_has_the_code_of_its_middle(grid_axes: tuple[int, ...] | None) -> None:
    torch.manual_seed(0)
    module = FourierPosition(4, grid_axes=grid_axes)
    shape = (2, 3, 4)
    codes = module.grid(shape)
    assert codes.shape == (8, *shape)
    for cell in itertools.product(*map(range, shape)):
        middle = [(n + 0.5) / size for n, size in zip(cell, shape, strict=True)]
        if grid_axes is not None:
            middle = [middle[axis] for axis in grid_axes]
        assert codes[(slice(None), *cell)].tolist() == pytest.approx(slow_code(module, middle), abs=1e-4)


def test_a_plane_has_two_axes() -> None:
    assert FourierPosition(4, axes=2).grid((3, 5)).shape == (8, 3, 5)


def test_the_matrix_is_part_of_the_weights_and_is_not_trained() -> None:
    module = FourierPosition(4)
    assert list(module.state_dict()) == ["positional_encoding_gaussian_matrix"]
    assert not list(module.parameters())
