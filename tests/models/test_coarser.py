"""`fast` runs a model on larger voxels, and refuses one that has no such grid."""

from __future__ import annotations

from pathlib import Path

import pytest

import prosect
from prosect.errors import CheckpointError
from prosect.models import require_coarser
from prosect.models.vista3d import FAST


def test_fast_loads_a_model_with_larger_voxels_and_the_same_weights() -> None:
    plain, fast = prosect.load(device="cpu"), prosect.load(device="cpu", fast=True)
    assert fast.spec.spacing_mm == tuple(FAST * s for s in plain.spec.spacing_mm)
    assert fast.spec.weights_sha256 == plain.spec.weights_sha256
    assert plain.spec.spacing_mm == prosect.load(device="cpu").spec.spacing_mm


def test_a_model_of_clicks_has_no_coarser_grid(tmp_path: Path) -> None:
    class Clicks:
        spec = prosect.load(device="cpu").spec

    with pytest.raises(CheckpointError, match="leave out --fast") as refused:
        require_coarser(Clicks())  # type: ignore[arg-type]
    assert refused.value.code == "MODEL_NO_AUTOMATIC"
