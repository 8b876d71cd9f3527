"""The plan: what it counts, and that it is stated before anything is allocated."""

from __future__ import annotations

import numpy as np
import pytest
from tests.supervoxels.sv_scans import torso

from prosect import supervoxels
from prosect.errors import ResourceError
from prosect.geometry import Grid
from prosect.volume import Volume

TORSO = Grid((512, 512, 300), np.diag([0.8, 0.8, 1.0, 1.0]))


@pytest.mark.parametrize("name", ["sam-vit-h", "sam-vit-b", "mobile-sam", "features", "intensity"])
def test_a_whole_torso_fits_in_four_gigabytes(name: str) -> None:
    plan = supervoxels.plan(TORSO, supervoxels.planned_encoder(name, device="cpu"))
    assert plan.peak < 4 * 2**30
    assert plan.parts["features"] == np.prod(plan.cells) * plan.channels * 4
    assert "working grid" in str(plan)


def test_a_scan_without_a_scale_of_its_own_takes_more() -> None:
    encoder = supervoxels.planned_encoder("intensity")
    mr = Volume(torso().array, torso().grid, "MR")
    assert supervoxels.plan(torso(), encoder).parts["encoder"] < supervoxels.plan(mr, encoder).parts["encoder"]


def test_fewer_cells_take_less() -> None:
    encoder = supervoxels.planned_encoder("sam-vit-b", device="cpu")
    assert supervoxels.plan(TORSO, encoder, 2**20).peak < supervoxels.plan(TORSO, encoder).peak


def test_too_little_memory_is_refused_by_type() -> None:
    plan = supervoxels.plan(TORSO, supervoxels.planned_encoder("intensity"))
    plan.require(plan.peak)
    with pytest.raises(ResourceError) as caught:
        plan.require(plan.peak - 1)
    assert caught.value.code == "MEMORY_INSUFFICIENT"
