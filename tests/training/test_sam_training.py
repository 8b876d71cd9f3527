"""SAM-Med3D learns from chains of simulated clicks, resumably."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from prosect.networks.sam_med3d import Architecture, sam_med3d
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.sam_med3d import ChainedClicks, ChainRules, learning_shares

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
    run = training(tmp_path, 90)
    losses = [run._one_step() for _ in range(90)]
    assert run.skipped == 0
    assert np.mean(losses[-30:]) < 0.9 * np.mean(losses[:15])


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
