"""Losses against their formulas written out voxel by voxel, and laws that hold for every scan."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prosect.training.losses import (
    SMOOTH,
    binary_loss,
    clicked_loss,
    exclusive_loss,
    marginal_loss,
    published_loss,
    soft_dice_loss,
)

SHAPE = (3, 2, 2)
CLASSES = 3
seeds = st.integers(0, 10**6)
few = settings(max_examples=25, deadline=None)


def drawn(seed: int, most: int = CLASSES) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits (q i j k), labels (i j k) up to `most` and which classes are known (q)."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (CLASSES, *SHAPE)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, most + 1, SHAPE))
    known = torch.from_numpy(rng.random(CLASSES) < 0.6)
    return logits, labels, known


def masks_of(seed: int, count: int = 3) -> tuple[Tensor, Tensor]:
    """Return logits and binary masks (q i j k), none of them empty."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, *SHAPE)) < 0.4
    masks[:, 0, 0, 0] = True
    return torch.from_numpy(rng.normal(0, 2, (count, *SHAPE))), torch.from_numpy(masks)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def dice(probabilities: list[list[float]], masks: list[list[int]]) -> float:
    """Return one minus the mean soft Dice, by its definition."""
    found = []
    for p, m in zip(probabilities, masks, strict=True):
        overlap = sum(a * b for a, b in zip(p, m, strict=True))
        found.append((2 * overlap + SMOOTH) / (sum(p) + sum(m) + SMOOTH))
    return 1 - sum(found) / len(found)


def exclusive_twin(logits: Tensor, labels: Tensor, known: Tensor, background: float) -> float:
    """Return the loss of classes that exclude each other, one voxel after another."""
    classes = [q for q in range(CLASSES) if known[q]]
    cost = weights = 0.0
    shares: dict[int, list[float]] = {q: [] for q in classes}
    inside: dict[int, list[int]] = {q: [] for q in classes}
    for voxel in np.ndindex(*SHAPE):
        truth = int(labels[voxel]) - 1
        truth = truth if truth in classes else -1
        numbers = [0.0, *(float(logits[(q, *voxel)]) for q in classes)]
        total = sum(math.exp(n) for n in numbers)
        chance = [math.exp(n) / total for n in numbers]
        place = 0 if truth < 0 else classes.index(truth) + 1
        weight = background if place == 0 else 1.0
        cost -= weight * math.log(chance[place])
        weights += weight
        for number, q in enumerate(classes, start=1):
            shares[q].append(chance[number])
            inside[q].append(int(q == truth))
    loss = cost / weights
    present = [q for q in classes if any(inside[q])]
    if present:
        loss += dice([shares[q] for q in present], [inside[q] for q in present])
    return loss


@few
@given(seeds, st.sampled_from([1.0, 0.3]))
def test_classes_that_exclude_each_other_cost_what_the_formula_says(seed: int, background: float) -> None:
    logits, labels, known = drawn(seed, most=CLASSES + 2)
    found = float(exclusive_loss(logits, labels, known, background))
    assert found == pytest.approx(exclusive_twin(logits, labels, known, background), rel=1e-4, abs=1e-6)


@few
@given(seeds, st.sampled_from([1.0, 0.3]))
def test_an_unlabelled_voxel_may_be_background_or_any_unknown_class(seed: int, background: float) -> None:
    logits, labels, known = drawn(seed, most=CLASSES + 1)
    cost = weights = 0.0
    shares: dict[int, list[float]] = {q: [] for q in range(CLASSES)}
    inside: dict[int, list[int]] = {q: [] for q in range(CLASSES)}
    for voxel in np.ndindex(*SHAPE):
        truth = int(labels[voxel]) - 1
        truth = truth if 0 <= truth < CLASSES and known[truth] else -1
        numbers = [0.0, *(float(logits[(q, *voxel)]) for q in range(CLASSES))]
        total = sum(math.exp(n) for n in numbers)
        chance = [math.exp(n) / total for n in numbers]
        likelihood = chance[truth + 1]
        if truth < 0:
            likelihood += sum(chance[q + 1] for q in range(CLASSES) if not known[q])
        weight = background if truth < 0 else 1.0
        cost -= weight * math.log(likelihood)
        weights += weight
        for q in range(CLASSES):
            shares[q].append(chance[q + 1])
            inside[q].append(int(q == truth))
    expected = cost / weights
    present = [q for q in range(CLASSES) if any(inside[q])]
    if present:
        expected += dice([shares[q] for q in present], [inside[q] for q in present])
    assert float(marginal_loss(logits, labels, known, background)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@few
@given(seeds)
def test_the_published_loss_is_cross_entropy_and_dice_of_squares(seed: int) -> None:
    logits, masks = masks_of(seed)
    masks[2] = False
    entropy, dices = [], []
    for q in range(3):
        p = [sigmoid(float(x)) for x in logits[q].flatten()]
        m = [int(x) for x in masks[q].flatten()]
        entropy += [-math.log(a if b else 1 - a) for a, b in zip(p, m, strict=True)]
        overlap = sum(a * b for a, b in zip(p, m, strict=True))
        dices.append(1 - 2 * overlap / (sum(a * a for a in p) + sum(m) + 1e-5))
    expected = sum(entropy) / len(entropy) + sum(dices) / len(dices)
    assert float(published_loss(logits, masks)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@few
@given(seeds)
def test_a_clicked_object_weighs_its_inside_by_a_quarter(seed: int) -> None:
    logits, masks = masks_of(seed)
    expected, shares, inside = 0.0, [], []
    for q in range(3):
        p = [sigmoid(float(x)) for x in logits[q].flatten()]
        m = [int(x) for x in masks[q].flatten()]
        within = [-math.log(a) for a, b in zip(p, m, strict=True) if b]
        beyond = [-math.log(1 - a) for a, b in zip(p, m, strict=True) if not b]
        expected += sum(within) / len(within) / 4 + sum(beyond) / max(len(beyond), 1) * 3 / 4
        shares.append(p)
        inside.append(m)
    expected = expected / 3 + dice(shares, inside)
    assert float(clicked_loss(logits, masks)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@few
@given(seeds)
def test_masks_that_overlap_cost_their_mean_entropy_and_dice(seed: int) -> None:
    logits, masks = masks_of(seed)
    p = logits.sigmoid().flatten(1).tolist()
    m = masks.flatten(1).int().tolist()
    entropy = [
        -math.log(a if b else 1 - a) for row, truth in zip(p, m, strict=True) for a, b in zip(row, truth, strict=True)
    ]
    expected = sum(entropy) / len(entropy) + dice(p, m)
    assert float(binary_loss(logits, masks)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@few
@given(seeds)
def test_the_order_of_voxels_and_of_classes_does_not_matter(seed: int) -> None:
    logits, masks = masks_of(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(3))
    for loss in (binary_loss, published_loss, clicked_loss):
        plain = float(loss(logits, masks))
        assert float(loss(logits[order], masks[order])) == pytest.approx(plain, rel=1e-4, abs=1e-6)
        assert float(loss(logits.flip(1, 3), masks.flip(1, 3))) == pytest.approx(plain, rel=1e-4, abs=1e-6)


@few
@given(seeds)
def test_classes_in_another_order_cost_the_same(seed: int) -> None:
    logits, labels, known = drawn(seed)
    order = torch.tensor([2, 0, 1])
    place = torch.tensor([0, *(int((order == q).nonzero()) + 1 for q in range(CLASSES))])
    for loss in (exclusive_loss, marginal_loss):
        plain = float(loss(logits, labels, known, 0.4))
        turned = float(loss(logits[order], place[labels], known[order], 0.4))
        assert turned == pytest.approx(plain, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("loss", [exclusive_loss, marginal_loss])
def test_a_step_against_the_gradient_makes_a_loss_smaller(loss) -> None:
    for seed in range(5):
        logits, labels, _ = drawn(seed)
        known = torch.tensor([True, True, False])
        logits.requires_grad_(True)
        before = loss(logits, labels, known)
        before.backward()
        assert logits.grad is not None
        after = loss(logits.detach() - 0.05 * logits.grad, labels, known)
        assert float(after) < float(before.detach())


@pytest.mark.parametrize("loss", [binary_loss, published_loss, clicked_loss])
def test_the_right_answer_costs_next_to_nothing_and_a_wrong_one_more_than_a_guess(loss) -> None:
    _, masks = masks_of(3)
    sure = torch.where(masks, 20.0, -20.0)
    assert float(loss(sure, masks)) < 1e-3
    assert float(loss(-sure, masks)) > float(loss(torch.zeros_like(sure), masks)) > 0.5


def test_less_background_makes_missing_a_structure_dearer() -> None:
    labels = torch.zeros(SHAPE, dtype=torch.long)
    labels[0, 0, 0] = 1
    silent = torch.full((CLASSES, *SHAPE), -4.0)
    known = torch.tensor([True, False, False])
    costs = [float(exclusive_loss(silent, labels, known, background)) for background in (1.0, 0.3, 0.1)]
    assert costs == sorted(costs)


def test_dice_of_nothing_found_where_nothing_is_costs_nothing() -> None:
    nothing = torch.zeros(2, 10)
    assert float(soft_dice_loss(nothing, nothing)) == 0
    assert float(soft_dice_loss(nothing + 1, nothing)) == pytest.approx(1 - SMOOTH / (10 + SMOOTH))
