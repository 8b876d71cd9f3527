"""The interactive branch learns from simulated clicks, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prosect.errors import RecipeError
from prosect.networks.vista3d import Architecture, vista3d
from prosect.training.augment import remap_intensities
from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import LoopSettings
from prosect.training.objectives import interactive
from prosect.training.objectives.automatic import AutomaticObjective, ClassTeaching, Prompted
from prosect.training.objectives.both import BothBranches
from prosect.training.objectives.interactive import Clickable, ClickRules, InteractiveObjective, objects_of
from prosect.training.patches import Patch, PatchSampler, PatchSource, TrainingScan


def scan() -> TrainingScan:
    """Return a scan of two boxes in a third."""
    labels = np.zeros((24, 20, 20), dtype=np.uint8)
    labels[3:10, 5:15, 5:15] = 1
    labels[14:21, 5:15, 5:15] = 2
    nested = np.zeros_like(labels)
    nested[2:22, 3:17, 3:17] = 1
    intensities = (0.2 * nested + 0.3 * (labels == 1) + 0.7 * (labels == 2)).astype(np.float16)
    return TrainingScan("made", intensities, labels, nested, (2.0, 2.0, 2.0), (1, 2), np.array([True]))


def training(folder: Path, steps: int = 100) -> tuple[TrainingLoop, InteractiveObjective]:
    """Return a small run."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), classes=9, click_head="maps"))
    generator = np.random.default_rng(0)
    source = PatchSource([scan()], [1.0], PatchSampler((16, 16, 16), 2.0, generator))
    rules = ClickRules(rounds=3, objects=2, remap=0.0)
    objective = InteractiveObjective(network, source, generator, Clickable({1}), rules)
    settings = LoopSettings(steps=steps, warmup_steps=5, learning_rate=1e-2)
    return TrainingLoop(network, objective, generator, settings, folder, objective.trained()), objective


def test_the_loss_falls_and_the_automatic_branch_stays_bit_for_bit(tmp_path: Path) -> None:
    run, objective = training(tmp_path)
    before = {key: value.clone() for key, value in run.network.state_dict().items()}
    losses = [run._one_step() for _ in range(100)]
    assert np.mean(losses[50:]) < 0.9 * np.mean(losses[:25])
    moved = {key for key, value in run.network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith(("image_encoder.up_layers.", "point_head.")) for key in moved)
    assert {id(p) for group, _ in objective.trained() for p in group} == {id(p) for p in run.trained}


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, _ = training(tmp_path / "whole", steps=6)
    whole.run()
    first, _ = training(tmp_path / "cut", steps=6)
    for _ in range(3):
        first._one_step()
    first.save()
    second, _ = training(tmp_path / "cut", steps=6)
    assert second.resume()
    second.run()
    for key, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[key]), key


def test_objects_are_the_labels_of_a_patch_and_what_is_nested() -> None:
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    labels[3:] = 2
    nested = torch.zeros_like(labels)
    nested[:2] = 0b100
    found = dict(objects_of(Patch(torch.zeros(1, 1, 6, 6, 6), labels, nested, torch.ones(2)), smallest=12, bits=(2,)))
    assert sorted(found) == [-3, 2]
    assert np.array_equal(found[2], labels.numpy() == 2)
    assert np.array_equal(found[-3], nested.numpy() > 0)


def test_objects_known_by_name_are_shown_both_ways_and_others_never_by_name(tmp_path: Path) -> None:
    _, objective = training(tmp_path)
    kinds = torch.stack([objective._zero_shot([1, 2]) for _ in range(40)])
    assert 0 < int(kinds[:, 0].sum()) < 40
    assert bool(kinds[:, 1].all())


def test_a_remapped_patch_keeps_its_range_and_equal_voxels_stay_equal() -> None:
    generator = np.random.default_rng(0)
    image = torch.linspace(0, 1, 11).repeat(1, 1, 11, 11, 1)
    for _ in range(20):
        out = remap_intensities(image, generator)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1
        assert torch.equal(out, out[:, :, :1, :1].expand_as(out))


def test_both_branches_learn_from_one_encoding_and_remapped_patches_teach_clicks_only(tmp_path: Path) -> None:
    loop, clicks = training(tmp_path)
    automatic = AutomaticObjective(clicks.network, clicks.draw, clicks.generator, (1,), {})
    both = BothBranches(automatic, clicks)
    loop.network.zero_grad(set_to_none=True)
    both().backward()
    assert all(p.grad is not None for p in loop.network.image_encoder.parameters())
    clicks.rules = ClickRules(remap=1.0)
    loop.network.zero_grad(set_to_none=True)
    both().backward()
    assert all(p.grad is None for p in loop.network.class_head.parameters())
    assert all(p.grad is not None for p in loop.network.image_encoder.encoder.parameters())


def test_scans_with_nothing_to_click_end_a_run_instead_of_hanging_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactive, "MOST_DRAWN", 3)
    _, objective = training(tmp_path)
    empty = replace(scan(), labels=np.zeros((24, 20, 20), dtype=np.uint8), present=())
    objective.draw = PatchSource([empty], [1.0], PatchSampler((16, 16, 16), 2.0, objective.generator))
    with pytest.raises(RecipeError, match="nothing to click"):
        objective()


def test_a_patch_that_says_nothing_of_any_class_costs_nothing_though_the_encoder_is_frozen(tmp_path: Path) -> None:
    run, _ = training(tmp_path)
    network = run.network
    network.image_encoder.encoder.requires_grad_(False)
    unknown = replace(scan(), known=np.array([False]))
    source = PatchSource([unknown], [1.0], PatchSampler((16, 16, 16), 2.0, run.generator))
    loss = AutomaticObjective(network, source, run.generator, [1], {}, ClassTeaching(prompted=Prompted()))()
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(not p.grad.any() for p in network.class_head.parameters() if p.grad is not None)


def test_both_branches_end_where_every_image_is_remapped_and_nothing_can_be_clicked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prosect.training.objectives.both.MOST_DRAWN", 3)
    network = vista3d(Architecture(width=8, blocks=(1, 1), classes=9, click_head="maps"))
    generator = np.random.default_rng(0)
    empty = replace(scan(), labels=np.zeros((24, 20, 20), dtype=np.uint8), present=())
    source = PatchSource([empty], [1.0], PatchSampler((16, 16, 16), 2.0, generator))
    automatic = AutomaticObjective(network, source, generator, [1, 2], {})
    clicks = InteractiveObjective(network, source, generator, Clickable({1}), ClickRules(remap=1.0))
    with pytest.raises(RecipeError, match="nothing to click"):
        BothBranches(automatic, clicks)()


def test_at_another_scale_every_target_is_an_object_of_its_own() -> None:
    # A name is clicked at the model's own scale alone, so the name must teach nothing at another.
    generator = np.random.default_rng(0)
    source = PatchSource([scan()], [1.0], PatchSampler((16, 16, 16), 2.0, generator))
    rules = ClickRules(unnamed=0.0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), classes=9, click_head="maps"))
    objective = InteractiveObjective(network, source, generator, Clickable({1, 2}), rules)
    patch, named = objective.clickable(source)
    assert not objective._shown(named).any()
    coarse = objective.objects(replace(patch, scale=2.0))
    assert len(coarse) == len(named)
    assert objective._shown(coarse).all()
