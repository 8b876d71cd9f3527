"""Three stacks of slices, summed in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sv_scans import ORDERS, SHAPE, WavyNetwork, torso
from tests.reference.alg2 import features_3d

from prosect.geometry import Grid
from prosect.supervoxels.views import BATCH, add_views
from prosect.supervoxels.working import Working, working_spacing
from prosect.volume import Volume
from worlds.orders import stored


def summed(working: Working, network: WavyNetwork) -> torch.Tensor:
    features = torch.zeros(*working.shape, network.channels)
    add_views(working, network, features)
    return features


@pytest.mark.parametrize("shape", [SHAPE, (9, 30, 5), (1, 7, 12)])
def test_the_sum_in_place_equals_three_volumes_added_up(shape: tuple[int, int, int]) -> None:
    working = Working.of(torso(shape))
    expected = features_3d(working.case.image[0, 0], WavyNetwork().features)
    assert torch.allclose(summed(working, WavyNetwork()), expected.movedim(0, -1), atol=2e-5)


def test_what_is_there_is_added_to_and_no_slice_is_left_out() -> None:
    working, network = Working.of(torso()), WavyNetwork()
    features = torch.full((*working.shape, 3), 2.0)
    steps: list[int] = []
    add_views(working, network, features, lambda done, _: steps.append(done))
    assert torch.allclose(features - 2, summed(working, WavyNetwork()), atol=1e-5)
    assert sum(network.batches) == sum(SHAPE) == steps[-1]
    assert max(network.batches) == BATCH


@pytest.mark.parametrize("order", ORDERS)
def test_features_do_not_depend_on_how_the_scan_is_stored(order) -> None:
    expected = summed(Working.of(torso()), WavyNetwork())
    found = summed(Working.of(stored(torso(), order)), WavyNetwork())
    assert torch.equal(found, expected)


def test_slices_keep_the_resolution_of_the_scan_when_cells_are_coarse() -> None:
    shown = []

    class Recorder(WavyNetwork):
        def features(self, slices: torch.Tensor) -> torch.Tensor:
            shown.append(tuple(slices.shape[1:]))
            return super().features(slices)

    working = Working.of(torso(), cells=500)
    features = summed(working, Recorder())
    assert features.shape[:3] == working.shape != SHAPE
    assert set(shown) == {SHAPE[1:], (SHAPE[0], SHAPE[2]), SHAPE[:2]}


def test_coarse_cells_take_the_features_where_they_lie() -> None:
    # A ramp is kept by every linear step, so cells of any size must lie on it.
    grid = Grid((31, 25, 19), np.diag([1.0, 1.5, 2.0, 1.0]))
    world = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip(grid.shape, (1, 1.5, 2), strict=True)), indexing="ij")
    )
    volume = Volume((world.sum(axis=0) * 8 - 400).astype(np.float32), grid, "CT")

    class Itself(WavyNetwork):
        channels = 1

        def features(self, slices: torch.Tensor) -> torch.Tensor:
            square = max(slices.shape[1:])
            return torch.nn.functional.pad(
                slices[:, None], (0, square - slices.shape[2], 0, square - slices.shape[1]), mode="replicate"
            )

    working = Working.of(volume, cells=1500)
    expected = 3 * working.case.image[0, 0]
    found = summed(working, Itself())[..., 0]
    assert torch.allclose(found, expected, atol=1e-5)
    assert max(working_spacing(grid, 1500)) > 2.0


def test_a_sheared_scan_is_sliced_along_its_cells() -> None:
    volume = torso()
    affine = volume.grid.affine.copy()
    affine[1, 2] = 0.8
    working = Working.of(Volume(volume.array, Grid(volume.grid.shape, affine), "CT"))
    assert not working.case.is_separable
    expected = features_3d(working.case.image[0, 0], WavyNetwork().features)
    assert torch.allclose(summed(working, WavyNetwork()), expected.movedim(0, -1), atol=2e-5)
