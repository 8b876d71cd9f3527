"""Targets made from supervoxels are what their mode says, their clicks show it, and without supervoxels none is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from prosect.errors import RecipeError
from prosect.geometry import Grid
from prosect.networks.vista3d.point_head import IGNORED
from prosect.simulated_user import centre_click, error_click
from prosect.training.augment import augment_intensities, remap_intensities
from prosect.training.losses import clicked_loss
from prosect.training.objectives.interactive import Clickable, ClickRules, InteractiveObjective, Teaching, objects_of
from prosect.training.patches import Patch
from prosect.training.targets import MODES, Mode, SamplerRules, Target, Voxel, sample_targets

Mask = NDArray[np.bool_]
Structures = list[tuple[int, Mask]]
CUBE = np.ones((3, 3, 3))
RULES = SamplerRules(border=2, smallest=150)


def only(mode: Mode, rules: SamplerRules = RULES) -> SamplerRules:
    """Return rules that try one mode."""
    a, b, c, d, e = (float(mode == each) for each in MODES)
    return replace(rules, shares=(a, b, c, d, e))


def structures_of(labels: NDArray[np.int32]) -> Structures:
    return [(int(value), labels == value) for value in np.unique(labels) if value]


def plain_scene() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return labels of two organs, and supervoxels for which each mode has something to make of organ 1."""
    labels = np.zeros((28, 28, 28), dtype=np.int32)
    labels[8:18, 4:14, 4:14] = 1
    labels[3:8, 4:7, 4:14] = 1
    labels[21:25, 6:11, 6:11] = 2
    pieces = np.zeros_like(labels)
    pieces[3:13, 4:14, 4:14] = 1  # a half of organ 1, and what lies in its corner
    pieces[13:18, 4:14, 4:14] = 2  # the other half
    pieces[19:27, 4:14, 4:14] = 3  # organ 2 and around it
    pieces[3:25, 17:26, 3:25] = 4  # nothing that is known
    return labels, pieces


@lru_cache
def random_scene(seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return labels and supervoxels that are cells about random centres; half of the label cells are unlabelled."""
    generator = np.random.default_rng(seed)
    voxels = np.stack(np.indices((26, 26, 26)), -1).reshape(-1, 3)

    def cells(count: int) -> NDArray[np.int32]:
        centres = generator.uniform(0, 26, (count, 3))
        distances = ((voxels[:, None] - centres) ** 2).sum(-1)
        return distances.argmin(1).reshape(26, 26, 26).astype(np.int32)

    labels, pieces = cells(8), cells(12) + 1
    return np.where(labels > 4, 0, labels), np.where(pieces > 10, 0, pieces)


def made(mode: Mode) -> Iterator[tuple[Target, Structures, NDArray[np.int32]]]:
    """Yield what a mode made in many patches, with the structures and supervoxels it was made of."""
    found = 0
    for seed in range(24):
        labels, pieces = plain_scene() if seed % 4 == 0 else random_scene(seed)
        structures = structures_of(labels)
        for target in sample_targets(structures, pieces, np.random.default_rng(seed), only(mode)):
            assert target.mode in (mode, "regular")
            if target.mode == mode:
                found += 1
                yield target, structures, pieces
    assert found >= 8


def holds(mask: Mask, clicks: tuple[Voxel, ...]) -> bool:
    return all(mask[voxel] for voxel in clicks)


@pytest.mark.parametrize("mode", MODES)
def test_first_clicks_lie_on_their_side_of_the_mask_and_differ(mode: Mode) -> None:
    for target, _, _ in made(mode):
        assert target.positives
        assert holds(target.mask, target.positives)
        assert holds(~target.mask, target.negatives)
        assert bool(target.negatives) == (mode == "organ_sub")
        assert target.zero_shot or not mode.startswith("zeroshot")


def test_a_cut_organ_lies_inside_it_and_what_was_cut_is_clicked_as_no_part_of_it() -> None:
    pieces_kept = set()
    for target, structures, pieces in made("organ_sub"):
        organ = dict(structures)[target.value]
        assert not (target.mask & ~organ).any()
        assert 0.1 <= target.mask.sum() / organ.sum() <= 0.9
        assert holds(organ, target.negatives)
        kept, removed = (np.unique(pieces[part]) for part in (target.mask, organ & ~target.mask))
        assert len(kept) == 1 or len(removed) == 1
        pieces_kept.add(len(kept) == 1 < len(removed))
        if len(kept) == 1 < len(removed):
            assert target.zero_shot, "a piece of an organ is not the organ"
    assert pieces_kept == {True, False}, "pieces are kept, and taken away"


def test_a_grown_organ_is_whole_and_touches_the_unlabelled_piece_that_was_added() -> None:
    for target, structures, pieces in made("organ_add"):
        organ = dict(structures)[target.value]
        added = target.mask & ~organ
        assert not (organ & ~target.mask).any()
        assert added.sum() >= 0.1 * organ.sum()
        assert not any((added & mask).any() for _, mask in structures)
        assert len(np.unique(pieces[added])) == 1
        assert ndimage.label(added, CUBE)[1] == 1
        assert (ndimage.binary_dilation(organ, CUBE) & added).any()
        box = ndimage.find_objects(organ.astype(np.int8))[0]
        beside = np.zeros_like(organ)
        beside[box] = True
        assert any(added[voxel] for voxel in target.positives)
        assert holds(beside, target.positives), "no click leads away from the organ"
        assert any(organ[voxel] for voxel in target.positives)


def test_an_unseen_piece_overlaps_no_label() -> None:
    for target, structures, pieces in made("zeroshot_unseen"):
        assert target.value == 0
        assert not any((target.mask & mask).any() for _, mask in structures)
        assert target.mask.sum() >= RULES.smallest
        assert len(np.unique(pieces[target.mask])) == 1
        assert ndimage.label(target.mask, CUBE)[1] == 1


def test_a_random_piece_holds_the_organs_that_it_covers_whole_and_barely_more_than_touches_the_others() -> None:
    merged = 0
    for target, structures, pieces in made("zeroshot_random"):
        assert target.value == 0
        whole = [mask for _, mask in structures if not (mask & ~target.mask).any()]
        for _, mask in structures:
            shared = (mask & target.mask).sum() / mask.sum()
            assert shared == 1 or shared <= 0.1
        own = target.mask & ~np.logical_or.reduce([np.zeros_like(target.mask), *whole])
        assert len(np.unique(pieces[own])) == 1
        assert any(not any(mask[voxel] for _, mask in structures) for voxel in target.positives)
        merged += bool(whole)
    assert merged >= 3


def test_each_organ_that_a_piece_takes_in_is_clicked() -> None:
    labels, pieces = plain_scene()
    around = np.where(pieces == 3, 3, 0)
    target, _ = sample_targets(structures_of(labels), around, np.random.default_rng(0), only("zeroshot_random"))
    assert np.array_equal(target.mask, pieces == 3)
    assert [int(labels[voxel]) for voxel in target.positives] == [2, 0, 0, 0]


def test_the_only_piece_beside_an_organ_is_found() -> None:
    """The official code loops over all components but the last, so it never grows an organ by an only one."""
    labels, pieces = plain_scene()
    beside = np.where(pieces == 1, pieces, 0)
    (target,) = sample_targets([(1, labels == 1)], beside, np.random.default_rng(0), only("organ_add"))
    assert target.mode == "organ_add"
    assert target.mask.sum() == (labels == 1).sum() + ((pieces == 1) & (labels == 0)).sum()


def test_of_two_parts_of_a_piece_the_one_that_touches_the_organ_is_added_though_the_other_is_larger() -> None:
    labels, pieces = plain_scene()
    pieces[:] = np.where(pieces == 1, 1, np.where(pieces == 4, 1, 0))
    (target,) = sample_targets([(1, labels == 1)], pieces, np.random.default_rng(0), only("organ_add"))
    assert target.mode == "organ_add"
    assert np.flatnonzero(target.mask.any(axis=(0, 2))).max() == 13


def test_modes_come_as_often_as_the_paper_says() -> None:
    labels, pieces = plain_scene()
    generator = np.random.default_rng(0)
    asked = [(1, labels == 1)]
    modes = Counter(sample_targets(asked, pieces, generator, RULES)[0].mode for _ in range(600))
    for mode, share in zip(MODES, (0.6, 0.1, 0.1, 0.1, 0.1), strict=True):
        assert abs(modes[mode] / 600 - share) < 0.05, modes


@pytest.mark.parametrize("mode", ["organ_sub", "organ_add"])
def test_a_changed_organ_is_renamed_about_as_often_as_the_rules_say(mode: Mode) -> None:
    labels, pieces = plain_scene()
    generator = np.random.default_rng(0)
    rules = replace(only(mode), kept=0.0)
    flags = [sample_targets([(1, labels == 1)], pieces, generator, rules)[0].zero_shot for _ in range(100)]
    assert 30 < sum(flags) < 70


@pytest.mark.parametrize("mode", MODES)
def test_plain_objects_and_patches_without_supervoxels_stay_regular(mode: Mode) -> None:
    labels, pieces = plain_scene()
    structures = structures_of(labels)
    for given, plain in ((pieces, (1, 2)), (None, ())):
        for seed in range(5):
            for target in sample_targets(structures, given, np.random.default_rng(seed), only(mode), plain=plain):
                assert (target.mode, target.zero_shot) == ("regular", False)
                assert np.array_equal(target.mask, labels == target.value)


@pytest.mark.parametrize("mode", MODES[1:])
def test_what_cannot_be_made_is_regular(mode: Mode) -> None:
    labels, _ = plain_scene()
    whole = np.where(labels == 1, 7, 0).astype(np.int32)  # one piece that is the organ: nothing to cut, nothing to add
    for pieces in (whole, np.zeros_like(whole)):
        (target,) = sample_targets([(1, labels == 1)], pieces, np.random.default_rng(0), only(mode))
        assert target.mode == "regular"
        assert np.array_equal(target.mask, labels == 1)
        assert len(target.positives) == 3


def test_a_piece_that_is_nearly_the_organ_neither_replaces_nor_removes_it() -> None:
    labels, _ = plain_scene()
    pieces = (labels == 1).astype(np.int32)
    pieces[14:18, 10:14, 10:14] = 2
    for seed in range(10):
        (target,) = sample_targets([(1, labels == 1)], pieces, np.random.default_rng(seed), only("organ_sub"))
        assert target.mode == "regular"


def test_air_is_no_piece() -> None:
    labels, pieces = plain_scene()
    (target,) = sample_targets([(1, labels == 1)], pieces * 0, np.random.default_rng(0), only("zeroshot_unseen"))
    assert target.mode == "regular"


def test_one_piece_is_shown_once_in_a_patch() -> None:
    labels, pieces = plain_scene()
    targets = sample_targets(structures_of(labels), np.where(pieces == 4, 4, 0), np.random.default_rng(0),
                             only("zeroshot_unseen"))  # fmt: skip
    assert sorted(target.mode for target in targets) == ["regular", "zeroshot_unseen"]


def test_small_structures_are_no_objects_but_are_labelled() -> None:
    labels, pieces = plain_scene()
    labels[10:12, 20:22, 10:12] = 3
    for seed in range(6):
        targets = sample_targets(structures_of(labels), pieces, np.random.default_rng(seed), only("zeroshot_unseen"),
                                 smallest=12)  # fmt: skip
        assert len(targets) == 2
        assert not any((target.mask & (labels == 3)).any() for target in targets)
    assert sample_targets([(3, labels == 3)], pieces, np.random.default_rng(0), RULES) == []


def test_one_generator_gives_one_answer_and_at_most_so_many_objects() -> None:
    labels, pieces = random_scene(5)

    def drawn(seed: int) -> list[tuple[object, ...]]:
        targets = sample_targets(structures_of(labels), pieces, np.random.default_rng(seed), RULES, most=3)
        assert len(targets) == 3
        return [(t.mode, t.value, t.zero_shot, t.positives, t.negatives, t.mask.tobytes()) for t in targets]

    assert drawn(1) == drawn(1) != drawn(2)


def test_first_clicks_keep_off_the_faces_of_the_patch_where_there_is_room() -> None:
    labels = np.zeros((24, 24, 24), dtype=np.int32)
    labels[:14] = 1
    (target,) = sample_targets([(1, labels == 1)], None, np.random.default_rng(0), replace(RULES, regular=500))
    voxels = np.array(target.positives)
    assert voxels.min() == 2
    assert tuple(voxels.max(axis=0)) == (12, 21, 21), "one voxel inside its border, two inside the patch's"
    labels[:] = 0
    labels[:2, 4:20, 4:20] = 1
    (target,) = sample_targets([(1, labels == 1)], None, np.random.default_rng(0), RULES)
    assert len(target.positives) == 3


def test_rules_keep_their_millimetres_at_another_spacing() -> None:
    scaled = SamplerRules().at(4.0)
    assert (scaled.border, scaled.smallest) == (4, 422)
    assert SamplerRules().at(1.5) == SamplerRules()
    assert replace(scaled, border=10, smallest=8000) == SamplerRules()


def test_rules_that_cannot_work_are_refused() -> None:
    with pytest.raises(RecipeError, match="sum to 1"):
        SamplerRules(shares=(0.6, 0.1, 0.1, 0.1, 0.2))
    with pytest.raises(RecipeError, match="at least 1"):
        SamplerRules(negatives=0)
    labels, pieces = plain_scene()
    with pytest.raises(RecipeError, match=r"SamplerRules\.at"):
        sample_targets(structures_of(labels), pieces, np.random.default_rng(0), SamplerRules(border=14))


def test_where_nothing_is_labelled_pieces_are_the_targets() -> None:
    _, pieces = plain_scene()
    found = [sample_targets([], pieces, np.random.default_rng(seed), RULES, most=2) for seed in range(10)]
    targets = [target for each in found for target in each]
    assert len(targets) >= 10
    for target in targets:
        assert (target.mode, target.value, target.zero_shot) == ("zeroshot_unseen", 0, True)
        assert len(np.unique(pieces[target.mask])) == 1
    assert sample_targets([], None, np.random.default_rng(0), RULES) == []


class Recorder:
    """Stands for the network: keeps what it is asked, and answers with the image."""

    def __init__(self) -> None:
        self.image_encoder = self
        self.asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def parameters(self) -> Iterator[Tensor]:
        return iter([torch.zeros(1)])

    def encoder(self, image: Tensor) -> list[Tensor]:
        return [image]

    def click_features(self, pyramid: list[Tensor]) -> Tensor:
        return pyramid[0]

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        self.asked.append((points.clone(), labels.clone(), zero_shot.clone()))
        return 3 * (features - features.mean() - 0.02 * len(self.asked)).expand(len(points), -1, -1, -1, -1)


def patch_of(supervoxels: NDArray[np.int32] | None, labels: NDArray[np.int32]) -> Patch:
    """Return a patch that shows its labels; half of it is a nested structure."""
    image = torch.from_numpy(labels.astype(np.float32) / 4)[None, None]
    nested = torch.from_numpy((np.indices(labels.shape)[0] < 12).astype(np.int32))
    pieces = None if supervoxels is None else torch.from_numpy(supervoxels)
    return Patch(image, torch.from_numpy(labels), nested, torch.tensor([True]), pieces)


def clicks_on(
    patch: Patch, known: Clickable, sampler: SamplerRules, network: Any = None, rules: ClickRules | None = None
) -> InteractiveObjective:
    """Return what teaches clicks on one patch, again and again."""
    generator = np.random.default_rng(0)
    return InteractiveObjective(
        network or Recorder(), lambda: patch, generator, known, rules, Teaching(sampler=sampler)
    )


def test_the_interactive_branch_is_asked_for_targets_with_their_clicks_and_kinds() -> None:
    labels, pieces = plain_scene()
    network, rules = Recorder(), ClickRules(objects=2, unnamed=0.0)
    patch = patch_of(pieces, labels)
    objective = clicks_on(patch, Clickable({1}), only("organ_sub"), network, rules)
    kinds = set()
    for _ in range(12):
        targets = {target.mode: target for target in objective.objects(patch)}
        cut, other = targets["organ_sub"], targets["regular"]
        assert (cut.value, other.value) == (1, 2), "what the automatic branch does not know stays itself"
        network.asked.clear()
        objective.loss([cut, other], [patch.image])
        points, signs, zero_shot = network.asked[0]
        row = int((signs == 0).any(1).nonzero())
        assert signs[row].tolist() == [1, 1, 1, 0]
        assert sorted(signs[1 - row].tolist()) == [IGNORED, 1, 1, 1]
        assert [tuple(map(int, p)) for p in points[row]] == [*cut.positives, *cut.negatives]
        assert (bool(zero_shot[row]), bool(zero_shot[1 - row])) == (cut.zero_shot, True)
        assert [each[0].shape[1] for each in network.asked] == [*range(4, 4 + len(network.asked))]
        kinds.add(cut.zero_shot)
    assert kinds == {True, False}


@pytest.mark.parametrize(("supported", "plain"), [((2,), ()), ((1, 2), (1,))])
def test_the_interactive_branch_changes_no_object_that_is_ambiguous_or_that_the_other_branch_does_not_know(
    supported: tuple[int, ...], plain: tuple[int, ...]
) -> None:
    labels, pieces = plain_scene()
    patch = patch_of(pieces, labels)
    objective = clicks_on(patch, Clickable(supported, plain=plain), only("organ_sub"))
    assert all(target.mode == "regular" for _ in range(5) for target in objective.objects(patch))


def test_the_interactive_branch_takes_nothing_that_is_labelled_for_unseen_however_small_or_nested() -> None:
    labels, pieces = plain_scene()
    labels[16:18, 20:22, 10:12] = 3
    patch = patch_of(pieces, labels)
    objective = clicks_on(patch, Clickable({1, 2, -1}, {0: 0}), only("zeroshot_unseen"))
    known = (labels > 0) | (patch.nested.numpy() > 0)
    unseen = [target for _ in range(5) for target in objective.objects(patch) if target.mode == "zeroshot_unseen"]
    assert unseen
    assert not any((target.mask & known).any() for target in unseen)


def test_regular_targets_can_keep_the_first_click_of_a_person() -> None:
    labels, pieces = plain_scene()
    network, patch = Recorder(), patch_of(pieces, labels)
    rules = replace(only("regular"), regular=0)
    objective = clicks_on(patch, Clickable({1, 2}), rules, network)
    objective()
    assert network.asked[0][0].shape[1] == 1
    assert (network.asked[0][1] == 1).all()


def without_supervoxels(network: Recorder, patch: Patch, g: np.random.Generator, rules: ClickRules) -> Tensor:
    """Return the loss as it was defined before there were supervoxels, draw by draw."""
    objects = objects_of(patch, rules.smallest, [0])
    shown = remap_intensities(patch.image, g) if g.random() < rules.remap else patch.image
    features = augment_intensities(shown, g)
    chosen = [objects[n] for n in g.permutation(len(objects))[: rules.objects]]
    zero_shot = torch.tensor([value not in (1, -1) or g.random() < rules.unnamed for value, _ in chosen])
    last = int(g.integers(1, rules.rounds))
    truth = np.stack([mask for _, mask in chosen])
    grid = Grid(truth.shape[1:], np.eye(4))
    clicks = []
    for mask in truth:
        centre = g.random() < rules.centre
        clicks.append(centre_click(mask, grid) if centre else error_click(mask, mask & False, grid, g, inner=True))
    points, labels = torch.zeros(len(truth), 0, 3), torch.zeros(len(truth), 0, dtype=torch.long)
    loss = torch.zeros(())
    for number in range(last + 1):
        more = torch.tensor([[c.position_ras if c else (0.0, 0.0, 0.0)] for c in clicks])
        points = torch.cat([points, more], 1)
        labels = torch.cat([labels, torch.tensor([[int(c.positive) if c else IGNORED] for c in clicks])], 1)
        logits = network.point_logits(features, points, labels, zero_shot)[:, 0]
        if number in (0, last):
            loss = loss + clicked_loss(logits, torch.from_numpy(truth)) / 2
        if number < last:
            now = (logits > 0).numpy()
            clicks = [error_click(m, each, grid, g, inner=True) for m, each in zip(truth, now, strict=True)]
    return loss


def test_without_supervoxels_training_is_bit_for_bit_what_it_was() -> None:
    labels, _ = plain_scene()
    patch, rules = patch_of(None, labels), ClickRules(objects=2, remap=0.3)
    one, other = Recorder(), Recorder()
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    objective = InteractiveObjective(one, lambda: patch, first, Clickable({1, -1}, {0: 0}), rules)  # type: ignore[arg-type]
    for _ in range(12):
        assert torch.equal(objective(), without_supervoxels(other, patch, second, rules))
        assert first.bit_generator.state == second.bit_generator.state
    assert len(one.asked) == len(other.asked)
    for ours, theirs in zip(one.asked, other.asked, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
