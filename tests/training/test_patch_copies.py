"""Copies of scans are drawn patch by patch: bent and drawn anew, the same ones again when a run is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import scans

from prosect.training.copies import Copies, synthesize_patch, warped_places
from prosect.training.patches import PatchSampler, TrainingScan
from prosect.training.recipe import Data, Shape
from prosect.training.scans import Numbering
from prosect.training.stage_scans import copies_of
from prosect.vocabulary import load

SHAPE = (24, 24, 24)


def scan(copies: Copies | None = None) -> TrainingScan:
    """Return a scan whose intensity tells its label, left and right differing."""
    return replace(scans()[0], copies=copies)


def patches(copies: Copies | None, count: int = 12) -> list[torch.Tensor]:
    made = []
    for seed in range(count):
        patch = PatchSampler(SHAPE, 2.0, np.random.default_rng(seed))(scan(copies))
        made.append(torch.stack([patch.image[0, 0], patch.labels.float()]))
    return made


def test_a_scan_without_copies_shows_the_patches_that_it_always_showed() -> None:
    for plain, never in zip(patches(None), patches(Copies(0.0, 0.0)), strict=True):
        assert torch.equal(plain, never)


def test_a_bent_patch_shows_labels_where_its_intensities_say_and_left_stays_left() -> None:
    bent, plain = patches(Copies(warp=1.0)), patches(None)
    assert not any(torch.equal(one, other) for one, other in zip(bent, plain, strict=True))
    for image, labels in bent:
        assert float(((image * 2).round() == labels).float().mean()) > 0.85
        if (labels == 1).any() and (labels == 2).any():
            first, second = ((labels == value).nonzero()[:, 0].float().mean() for value in (1, 2))
            assert first < second


def test_the_map_of_a_bent_patch_never_folds() -> None:
    for seed in range(5):
        places = warped_places(SHAPE, 2.0, np.random.default_rng(seed))
        steps = [
            np.diff(places, axis=axis)[:-1, :-1, :-1] if axis < 0 else np.diff(places, axis=axis) for axis in range(3)
        ]
        columns = [step[:23, :23, :23] for step in steps]
        volume = np.linalg.det(np.stack(columns, axis=-1))
        assert volume.min() > 0


def test_drawn_anew_labels_stay_and_intensities_do_not() -> None:
    for anew, plain in zip(patches(Copies(synthesis=1.0)), patches(None), strict=True):
        assert torch.equal(anew[1], plain[1])
        assert not torch.allclose(anew[0], plain[0], atol=0.05)
        assert 0 <= float(anew[0].min()) <= float(anew[0].max()) <= 1


def test_the_share_of_copies_is_the_one_asked_for() -> None:
    pairs = zip(patches(Copies(synthesis=0.3), 200), patches(Copies(), 200), strict=True)
    drawn = [not torch.equal(one, other) for one, other in pairs]
    assert 0.2 < np.mean(drawn) < 0.4


def test_the_same_stream_draws_the_same_copy() -> None:
    both = Copies(warp=0.5, synthesis=0.5)
    assert all(torch.equal(one, other) for one, other in zip(patches(both), patches(both), strict=True))


def test_air_of_a_ct_stays_air_where_all_else_is_drawn_anew() -> None:
    image = torch.full((1, 1, 16, 16, 16), 0.5)
    image[:, :, :8] = 0.0
    labels = torch.zeros(16, 16, 16, dtype=torch.int32)
    labels[10:14, 4:12, 4:12] = 1
    copies = Copies(synthesis=1.0, kinds={1: "liver"}, window_hu=(-1000.0, 1000.0))
    means = []
    for seed in range(8):
        made = synthesize_patch(image, labels, copies, 2.0, np.random.default_rng(seed))
        means.append((float(made[0, 0, 2:6].mean()), float(made[0, 0, 10:14, 4:12, 4:12].mean())))
    assert all(air < 0.1 for air, _ in means)
    assert all(0.45 < liver < 0.65 for _, liver in means), "a liver has 0 to 200 HU"


def test_a_list_is_copied_as_its_recipe_says() -> None:
    words = load("prosect")
    numbering = Numbering(words, (words["liver"].index, words["spleen"].index), (), {})
    assert copies_of(Data(Path("a.json")), Shape(), numbering) is None
    ct = copies_of(Data(Path("a.json"), warp=0.5), Shape(), numbering)
    assert ct is not None
    assert (ct.warp, ct.synthesis, dict(ct.kinds)) == (0.5, 0.0, {1: "liver", 2: "spleen"})
    assert ct.window_hu == pytest.approx((-963.82, 1053.68), abs=0.01)
    mr = copies_of(Data(Path("a.json"), synthesis=1.0), Shape(intensity="percentile", low=1, high=99), numbering)
    assert mr is not None
    assert mr.window_hu is None
