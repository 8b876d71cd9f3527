"""SAM-Med3D learns from chains of simulated clicks, resumably."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prosect.inference.intensities import mean_and_spread
from prosect.networks.sam_med3d import Architecture, SamMed3D, sam_med3d
from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import LoopSettings
from prosect.training.losses import clicked_loss
from prosect.training.objectives.sam_med3d import ChainedClicks, ChainRules, begin, learning_shares
from prosect.training.patches import Patch, PatchSampler, PatchSource, TrainingScan

TINY = Architecture(crop=16, patch=4, width=24, depth=2, heads=2, global_blocks=(1,), window=3, embedding=48,
                    decoder_hidden=32, positions="fixed")  # fmt: skip


def scan() -> TrainingScan:
    """Return a scan of a bright and a dark box."""
    labels = np.zeros((24, 20, 20), dtype=np.uint8)
    labels[3:10, 5:15, 5:15] = 1
    labels[14:21, 5:15, 5:15] = 2
    intensities = (0.5 + 0.4 * (labels == 1) - 0.4 * (labels == 2)).astype(np.float16)
    return TrainingScan("made", intensities, labels, np.zeros_like(labels), (2.0, 2.0, 2.0), (1, 2), np.array([True]))


def training(folder: Path, steps: int) -> TrainingLoop:
    """Return a small run."""
    torch.manual_seed(0)
    network = sam_med3d(TINY)
    generator = np.random.default_rng(0)
    source = PatchSource([scan()], [1.0], PatchSampler((16, 16, 16), 2.0, generator))
    objective = ChainedClicks(network, source, generator, rules=ChainRules(rounds=4))
    settings = LoopSettings(steps=steps, warmup_steps=5, learning_rate=4e-3)
    return TrainingLoop(network, objective, generator, settings, folder, learning_shares(network))


def test_the_loss_of_a_chain_falls(tmp_path: Path) -> None:
    run = training(tmp_path, 60)
    losses = [run._one_step() for _ in range(60)]
    assert run.skipped == 0
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:15])


def test_prompt_encoder_and_decoder_learn_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    run = training(tmp_path, 60)
    run._one_step()
    fast, slow = (group["lr"] for group in run.optimizer.param_groups)
    assert slow == fast / 10 > 0
    assert len(run.trained) == len(list(run.network.parameters()))


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole", 6)
    whole.run()
    first = training(tmp_path / "cut", 6)
    for _ in range(3):
        first._one_step()
    first.save()
    second = training(tmp_path / "cut", 6)
    assert second.resume()
    second.run()
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def test_every_chain_has_a_round_without_a_click_and_ends_with_one(tmp_path: Path, monkeypatch) -> None:
    run = training(tmp_path, 1)
    seen: list[bool] = []
    network = run.network
    honest = network.refine

    def watched(features, points, labels, previous):  # type: ignore[no-untyped-def]
        seen.append(points is not None)
        return honest(features, points, labels, previous)

    monkeypatch.setattr(network, "refine", watched)
    for _ in range(10):
        seen.clear()
        run.objective()
        assert len(seen) == 4
        assert seen[0]
        assert not seen[-1]
        assert seen.count(False) == 2


def boxes() -> Patch:
    """Return a patch of two even boxes in even surroundings, which only a click can tell apart."""
    labels = torch.zeros(16, 16, 16, dtype=torch.uint8)
    labels[2:7, 3:13, 3:13] = 1
    labels[9:14, 3:13, 3:13] = 2
    image = 0.3 + 0.5 * (labels > 0).float()
    return Patch(image[None, None], labels, torch.zeros_like(labels), torch.tensor([True]))


@torch.no_grad()
def dice_of_a_click(network: SamMed3D) -> float:
    """Return the mean Dice after one click in the middle of each box."""
    patch = boxes()
    mean, spread = mean_and_spread(patch.image)
    features = network.embed((patch.image - mean) / spread)
    points = torch.tensor([[[4.0, 8, 8]], [[11.0, 8, 8]]])
    answer = network.refine(features, points, torch.ones(2, 1, dtype=torch.long), network.blank(features, 2))
    found = network.upsample(answer)[:, 0] > 0
    truth = torch.stack([patch.labels == 1, patch.labels == 2])
    overlap = 2 * (found & truth).sum((1, 2, 3)) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)))
    return float(overlap.mean())


def test_a_click_finds_one_of_two_like_boxes_after_a_few_steps_from_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = sam_med3d(TINY)
    begin(network)
    generator = np.random.default_rng(0)
    rules = ChainRules(rounds=2, objects=2, unasked=False)
    objective = ChainedClicks(network, boxes, generator, rules=rules, loss=clicked_loss)
    settings = LoopSettings(steps=45, warmup_steps=10, learning_rate=4e-3)
    run = TrainingLoop(network, objective, generator, settings, tmp_path, learning_shares(network, decoder=1.0))
    before = dice_of_a_click(network)
    run.run()
    # Both boxes for either click would be a Dice of 2/3.
    assert before < 0.6 < 0.8 < dice_of_a_click(network)


def test_first_weights_for_clicks_need_fixed_positions() -> None:
    with pytest.raises(ValueError, match="fixed positions"):
        begin(sam_med3d(replace(TINY, positions="official")))


def test_the_official_rules_and_shares_are_the_defaults() -> None:
    rules = ChainRules()
    assert (rules.rounds, rules.objects, rules.unasked) == (11, 1, True)
    assert [share for _, share in learning_shares(sam_med3d(TINY))] == [1.0, 0.1]
