"""SAM-Med3D's published evaluation: one crop by the truth, all clicks at once, and its two rules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from prosect import vocabulary
from prosect.data.labelled import LabelledScan
from prosect.evaluation.clickers import RULES, next_click
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.protocols import Rules, clicked_targets
from prosect.evaluation.running import Examination, evaluation_of, examine
from prosect.evaluation.sam_med3d import sam_clicks_as_published, start_around
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.models.sam_med3d import SamMed3DModel, click_profile
from prosect.models.spec import ModelSpec
from prosect.networks.sam_med3d import sam_med3d
from prosect.prompts import voxel_of
from scan_lists import write_list
from worlds.scans import smooth_noise
from worlds.weights import TINY_SAM

SHAPE = (60, 44, 30)
LIVER, SPLEEN = 1, 3


@pytest.fixture(scope="module")
def model() -> SamMed3DModel:
    torch.manual_seed(0)
    spec = ModelSpec("tiny", vocabulary.load("prosect").restrict((), "no classes"), window=(32, 32, 32))
    return SamMed3DModel(sam_med3d(TINY_SAM).eval(), spec, click_profile("prosect"), torch.device("cpu"))


@pytest.fixture(scope="module")
def scan() -> LabelledScan:
    affine = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0, 0], [0, 0, 3.0, -9], [0, 0, 0, 1.0]])
    volume = smooth_noise(SHAPE, affine, mean=0, spread=2000, sigma_vox=1.2, modality="CT")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:20, 12:22, 8:14] = LIVER
    labels[40:50, 20:40, 10:20] = SPLEEN
    words = vocabulary.load("prosect")
    return LabelledScan("case", volume, LabelMap(labels, volume.grid, words), (LIVER, SPLEEN), "made")


def test_the_crop_is_in_the_middle_of_the_structure(model: SamMed3DModel, scan: LabelledScan) -> None:
    responder = model.responder(scan.volume)
    for index in (LIVER, SPLEEN):
        truth = scan.truth(index)
        start = start_around(truth, responder.position, scan, 32)
        places = scan.volume.grid.to_world(np.argwhere(truth).astype(float))
        middle = (places.min(0) + places.max(0)) / 2
        assert np.abs(responder.position(middle.tolist()) - (np.array(start) + 16)).max() <= 0.5 + 1e-6


def test_each_click_has_a_row_and_nothing_is_found_outside_the_crop(model: SamMed3DModel, scan: LabelledScan) -> None:
    targets = clicked_targets(scan, model.vocabulary)
    rules = Rules(clicker="random", count=3)
    rows = sam_clicks_as_published(scan, model, targets, rules, np.random.default_rng(0), itertools.count().__next__)
    assert [(row.structure, row.clicks) for row in rows] == [(t.name, n) for t in targets for n in (1, 2, 3)]
    assert all(row.dice is not None and 0 <= row.dice <= 1 and row.seconds == 1 for row in rows)
    assert all(row.found_ml <= 32**3 * 1.5**3 / 1000 for row in rows)
    again = sam_clicks_as_published(scan, model, targets, rules, np.random.default_rng(0), itertools.count().__next__)
    assert rows == again


def test_all_clicks_are_shown_at_once_and_no_crop_follows(
    model: SamMed3DModel, scan: LabelledScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    honest = type(model.network).refine

    def watched(self, features, points, labels, previous):  # type: ignore[no-untyped-def]
        shown.append(points.shape[1])
        return honest(self, features, points, labels, previous)

    monkeypatch.setattr(type(model.network), "refine", watched)
    target = clicked_targets(scan, model.vocabulary)[:1]
    sam_clicks_as_published(scan, model, target, Rules(clicker="random", count=4), np.random.default_rng(0))
    assert shown == [1, 2, 3, 4]


@pytest.mark.parametrize("protocol", ["point", "clicks"])
def test_the_report_says_how_was_counted(model: SamMed3DModel, scan: LabelledScan, tmp_path, protocol: str) -> None:
    asked = Examination(protocol, Rules(clicker="ritm", count=2), as_published=True)
    ledger = Ledger.open(tmp_path / "ledger.jsonl", {"protocol": protocol}, False)
    examine(write_list(tmp_path, scan), model, asked, ledger)
    assert {row.clicks for row in ledger.all_rows} == ({1} if protocol == "point" else {1, 2})
    assert any("placed by looking at the truth" in note for note in evaluation_of(ledger, asked).notes)


@pytest.mark.parametrize("seed", range(20))
def test_random_clicks_lie_in_an_error_and_ritm_deep_in_the_deeper_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    grid = Grid(SHAPE, np.eye(4))
    truth, mask = (ndimage.gaussian_filter(generator.normal(size=SHAPE), 3) > 0.02 for _ in range(2))
    for rule in ("random", "ritm"):
        made = next_click(RULES[rule], truth, mask, grid, np.random.default_rng(seed), 1)
        assert made is not None
        voxel = voxel_of(made.position_ras, grid)
        assert (truth ^ mask)[voxel]
        assert made.positive == truth[voxel]
    box = np.pad(truth & ~mask, 1), np.pad(mask & ~truth, 1)
    inner = [ndimage.distance_transform_edt(each)[1:-1, 1:-1, 1:-1] for each in box]
    deeper = inner[0] if inner[0].max() > inner[1].max() else inner[1]
    assert deeper[voxel] > deeper.max() / 2
    assert made.positive == (inner[0].max() > inner[1].max())


def test_without_an_error_random_clicks_the_structure_and_ritm_nothing() -> None:
    truth = np.zeros((6, 6, 6), dtype=bool)
    truth[2:4, 2:4, 2:4] = True
    grid = Grid((6, 6, 6), np.eye(4))
    made = next_click(RULES["random"], truth, truth, grid, np.random.default_rng(0), 3)
    assert made is not None
    assert made.positive
    assert truth[voxel_of(made.position_ras, grid)]
    assert next_click(RULES["ritm"], truth, truth, grid, np.random.default_rng(0), 3) is None
