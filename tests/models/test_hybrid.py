"""Two models together: the whole object from one, its refinement from the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect import vocabulary
from prosect.boxes import EMPTY, Box
from prosect.geometry import Grid
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.question import Question
from prosect.labelmap import LabelLayers
from prosect.models.hybrid import HybridModel
from prosect.models.sam_med3d import SamMed3DModel, click_profile
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.networks.sam_med3d import Architecture as SamArchitecture
from prosect.networks.sam_med3d import sam_med3d
from prosect.networks.vista3d import Architecture, vista3d
from prosect.progress import Watch
from prosect.prompts import voxel_of
from prosect.session import Session
from prosect.volume import Volume

SHAPE = (40, 36, 30)
GRID = Grid(SHAPE, np.diag([1.5, 1.5, 2.0, 1.0]))


class Blocks:
    """A model whose answer to clicks is a block, seen through a patch of its own size."""

    def __init__(self, name: str, block: tuple[slice, ...], reach: int) -> None:
        self.block, self.reach = block, reach
        self.vocabulary = vocabulary.load("vista3d-ct")
        self.identity = {"model": name, "weights_sha256": name * 4, "profile": "prosect"}
        self.places: list[Any] = []

    def draft(self, volume: Volume, indices: Any, overlap: bool, watch: Watch | None = None) -> LabelLayers:
        """Return empty masks."""
        return LabelLayers(np.zeros((len(indices), *SHAPE), bool), tuple(indices), GRID, self.vocabulary)

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Blocks:
        """Return itself."""
        return self

    def place(self, position: Any, existing: Any) -> tuple[int, int, int]:
        """Return the voxel as the patch, or the first patch."""
        return existing[0] if existing else voxel_of(tuple(position), GRID)

    def box(self, patch: tuple[int, int, int]) -> Box:
        """Return the box around the patch."""
        start = tuple(max(n - self.reach, 0) for n in patch)
        stop = tuple(min(n + self.reach + 1, size) for n, size in zip(patch, SHAPE, strict=True))
        return Box(start, stop)  # type: ignore[arg-type]

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of all patches."""
        box = EMPTY
        for patch in question.patches:
            box |= self.box(patch)
        return box

    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the patches, and the block."""
        self.places = [click.patch for click in question.clicks]
        asked, yes = np.zeros((2, *SHAPE), dtype=bool)
        for patch in question.patches:
            asked[self.box(patch).slices] = True
        yes[self.block] = True
        return asked[box.slices], yes[box.slices]


WHOLE = (slice(5, 35), slice(5, 30), slice(5, 25))
FINE = (slice(10, 38), slice(5, 20), slice(5, 25))


@pytest.fixture
def scan() -> Volume:
    values = np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.float32)
    return Volume(values, GRID, "CT")


def test_the_whole_object_is_kept_and_refined_where_it_was_clicked(scan: Volume) -> None:
    model = HybridModel(Blocks("whole", WHOLE, 100), Blocks("fine", FINE, 12))
    session = model.session(scan)
    session.click((28, 15, 15), structure="thing", space="voxel")
    mask = session.mask("thing")
    expected = np.zeros(SHAPE, dtype=bool)
    expected[WHOLE] = True
    assert mask[expected].all(), "a positive click takes nothing away"
    assert mask[36, 15, 15], "what hangs together with the click is added"
    assert not mask[36, 25, 15]
    session.click((28, 24, 15), positive=False, structure="thing", space="voxel")
    again = session.mask("thing")
    assert not again[28, 24, 15], "what the finer model leaves out is removed where it was rejected"
    assert again[6, 24, 15], "and stays where it was not asked"


def test_clicks_reach_both_in_patches_of_their_own(scan: Volume) -> None:
    whole, fine = Blocks("whole", WHOLE, 100), Blocks("fine", FINE, 6)
    session = HybridModel(whole, fine).session(scan)
    session.click((10, 10, 10), structure="thing", space="voxel")
    session.click((30, 28, 20), structure="thing", space="voxel")
    assert whole.places == [(10, 10, 10), (10, 10, 10)]
    assert fine.places[0] == (10, 10, 10)


def test_real_networks_go_together_and_their_session_is_resumed(scan: Volume, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = SamArchitecture(crop=32, patch=8, width=24, depth=2, heads=2, global_blocks=(1,), window=5, embedding=48,
                           decoder_hidden=32)  # fmt: skip
    cpu = torch.device("cpu")
    words = vocabulary.load("prosect")
    whole = SamMed3DModel(
        sam_med3d(tiny).eval(), ModelSpec("whole", words, window=(32,) * 3), click_profile("prosect"), cpu
    )
    spec = ModelSpec("fine", words, spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16))
    fine = Vista3DModel(vista3d(Architecture(8, (1, 1))).eval(), spec, profile("prosect"), cpu)
    model = HybridModel(whole, fine)
    session = model.session(scan)
    assert isinstance(session, Session)
    session.click((20, 18, 15), structure="thing", space="voxel")
    session.click((25, 18, 15), positive=False, structure="thing", space="voxel")
    path = session.save(tmp_path / "s.json")
    again = prosect.resume(path, scan, model=model, recompute=True)
    np.testing.assert_array_equal(again.mask("thing"), session.mask("thing"))
    assert model.identity["model"] == "whole+fine"
