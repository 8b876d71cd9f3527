"""`fast` runs a model on larger voxels, and refuses one that has no such grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.boxes import Box
from prosect.errors import CheckpointError, SessionError
from prosect.geometry import Grid
from prosect.models import require_coarser
from prosect.models.vista3d import FAST
from prosect.volume import Volume


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


def scan() -> Volume:
    """Return a small scan of noise."""
    voxels = np.random.default_rng(0).normal(0, 300, (12, 12, 12)).astype(np.float32)
    return Volume(voxels, Grid((12, 12, 12), np.diag([4.0, 4.0, 4.0, 1.0])))


@pytest.mark.parametrize("name", [None, "prosect-small"])
def test_a_session_on_a_coarser_grid_is_resumed_on_that(name: str | None, tmp_path: Path) -> None:
    fast = prosect.load(name, device="cpu", fast=True)
    journal = tmp_path / "journal.jsonl"
    session = fast.session(scan(), journal=journal)
    session.paint("object", Box((2, 2, 2), (5, 5, 5)), np.ones((3, 3, 3), dtype=np.bool_))
    again = prosect.resume(journal, scan(), device="cpu")
    assert again.header["model"] == {**prosect.load(name, device="cpu").identity, "fast": "yes"}
    with pytest.raises(SessionError, match="'fast': 'yes'") as refused:
        prosect.resume(journal, scan(), model=prosect.load(name, device="cpu"))
    assert refused.value.code == "SESSION_OTHER"
