"""Patches keep geometry and labels together; a killed run resumes bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import digest, loop, scans

from prosect.training import patches
from prosect.training.augment import augment_intensities
from prosect.training.loop import TrainingLoop
from prosect.training.patches import PatchSampler, TrainingScan


def scan() -> TrainingScan:
    """Return a scan whose intensity tells its label, left and right differing."""
    return scans()[0]


def test_a_patch_shows_labels_where_its_intensities_say() -> None:
    sampler = PatchSampler((24, 24, 24), 2.0, np.random.default_rng(0))
    agree = []
    for _ in range(10):
        patch = sampler(scan())
        agree.append(float(((patch.image[0, 0] * 2).round() == patch.labels).float().mean()))
        assert torch.equal(patch.nested > 0, patch.labels > 0)
    assert min(agree) > 0.9
    assert any(a < 1 for a in agree), "linear and nearest sampling differ at borders"


def test_patches_are_never_mirrored() -> None:
    sampler = PatchSampler((32, 24, 24), 2.0, np.random.default_rng(1), foreground=0)
    for _ in range(20):
        labels = sampler(scan()).labels
        if (labels == 1).any() and (labels == 2).any():
            first, second = ((labels == v).nonzero()[:, 0].float().mean() for v in (1, 2))
            assert first < second


def test_reading_only_the_part_of_a_scan_that_a_patch_shows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole scan as the part is the slow twin; centres lie anywhere, and some patches show little but air."""
    made = replace(scan(), supervoxels=scan().labels.astype(np.uint16) * 300)
    parts = [PatchSampler((12, 16, 8), 2.0, np.random.default_rng(n), foreground=0.3)(made) for n in range(30)]
    monkeypatch.setattr(patches, "_box_around", lambda voxels, shape: tuple(slice(0, n) for n in shape))
    for n, part in enumerate(parts):
        whole = PatchSampler((12, 16, 8), 2.0, np.random.default_rng(n), foreground=0.3)(made)
        assert torch.allclose(whole.image, part.image, atol=1e-4)
        assert (whole.labels == part.labels).float().mean() > 0.998, "but for ties of rounding"
        assert part.supervoxels is not None
        assert torch.equal(part.supervoxels, part.labels * 300)


def test_a_patch_far_outside_the_scan_is_air() -> None:
    sampler = PatchSampler((8, 8, 8), 2.0, np.random.default_rng(0), turned=0)
    voxels = sampler._voxels(scan(), np.array([200.0, -200.0, 500.0]), np.eye(3))
    box = patches._box_around(voxels, scan().labels.shape)
    assert all(side.stop > side.start for side in box)
    grid = patches._normalised(voxels - [side.start for side in box], [side.stop - side.start for side in box])
    ones = torch.ones(1, 1, *(side.stop - side.start for side in box))
    assert not torch.nn.functional.grid_sample(ones, grid, align_corners=True).any()


def test_augmented_intensities_stay_in_range() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        out = augment_intensities(torch.rand(1, 1, 12, 10, 8), generator)
        assert out.shape == (1, 1, 12, 10, 8)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_a_run_begun_by_an_earlier_version_goes_on_with_its_own_rule_step_by_step(tmp_path: Path) -> None:
    def unfused(run: TrainingLoop) -> TrainingLoop:
        for group in run.optimizer.param_groups:
            group["fused"] = None
        return run

    whole = unfused(loop(tmp_path / "whole"))
    whole.run()
    fused = loop(tmp_path / "fused")
    fused.run()
    for slow, fast in zip(whole.network.parameters(), fused.network.parameters(), strict=True):
        torch.testing.assert_close(slow, fast, rtol=1e-3, atol=1e-5)
    first = unfused(loop(tmp_path / "parts"))
    for _ in range(3):
        first._one_step()
    first.save()
    second = loop(tmp_path / "parts")
    assert second.resume()
    assert [group["fused"] for group in second.optimizer.param_groups] == [None]
    second.run()
    assert digest(second) == digest(whole)


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole")
    whole.run()
    first = loop(tmp_path / "cut")
    first.run(stop_at=0)
    for _ in range(3):
        first._one_step()
    first.save()
    second = loop(tmp_path / "cut")
    assert second.resume()
    assert second.step == 3
    second.run()
    assert digest(second) == digest(whole)


def test_a_step_that_is_not_finite_is_skipped_and_counted(tmp_path: Path) -> None:
    run = loop(tmp_path)
    before = digest(run)
    broken = run.network.get_parameter("class_head.mlp.0.weight")
    kept = broken.detach().clone()
    with torch.no_grad():
        broken.fill_(float("nan"))
    run._one_step()
    with torch.no_grad():
        broken.copy_(kept)
    assert run.skipped == 1
    assert digest(run) == before


def test_the_rate_warms_up_and_falls_to_zero(tmp_path: Path) -> None:
    run = loop(tmp_path, steps=10)
    rates = []
    for step in range(11):
        run.step = step
        rates.append(run.rate())
    assert rates[0] < rates[1] == max(rates)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
