"""Laws of the losses for partially labelled scans."""

from __future__ import annotations

import torch

from prosect.training.losses import binary_loss, exclusive_loss, marginal_loss, soft_dice_loss


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (3 i j k) and labels with classes 1 and 3."""
    torch.manual_seed(0)
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    labels[1:3] = 1
    labels[4:] = 3
    return torch.randn(3, 6, 6, 6, requires_grad=True), labels


def test_an_unknown_class_gets_no_gradient_and_changes_nothing() -> None:
    logits, _ = example()
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    labels[:2] = 1
    known = torch.tensor([True, False, True])
    loss = exclusive_loss(logits, labels, known)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    assert logits.grad[0].any()
    assert logits.grad[2].any()
    moved = logits.detach().clone()
    moved[1] += 100
    torch.testing.assert_close(exclusive_loss(moved, labels, known), loss.detach())


def test_the_right_answer_costs_almost_nothing_and_the_wrong_one_much() -> None:
    _, labels = example()
    right = torch.stack([20.0 * (labels == c) - 10 for c in (1, 2, 3)])
    wrong = right.roll(1, dims=0)
    everything = torch.ones(3, dtype=torch.bool)
    assert exclusive_loss(right, labels, everything) < 0.01
    assert exclusive_loss(wrong, labels, everything) > 5


def test_scans_without_any_known_class_cost_nothing() -> None:
    logits, _ = example()
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    loss = exclusive_loss(logits, labels, torch.zeros(3, dtype=torch.bool))
    assert float(loss.detach()) == 0


def test_marginal_loss_is_exclusive_loss_where_all_is_known() -> None:
    logits, labels = example()
    everything = torch.ones(3, dtype=torch.bool)
    for background in (1.0, 0.3):
        expected = exclusive_loss(logits, labels, everything, background)
        torch.testing.assert_close(marginal_loss(logits, labels, everything, background), expected)


def test_marginal_loss_adds_up_what_an_unlabelled_voxel_may_be() -> None:
    logits, labels = example()
    labels[labels == 3] = 0
    known = torch.tensor([True, False, False])
    probability = torch.cat([torch.zeros(1, 6, 6, 6), logits]).softmax(0)
    inside = labels == 1
    cost = -probability[1][inside].log().sum() - 0.5 * (1 - probability[1][~inside]).log().sum()
    expected = cost / (inside.sum() + 0.5 * (~inside).sum()) + soft_dice_loss(
        probability[1].view(1, -1), inside.view(1, -1)
    )
    torch.testing.assert_close(marginal_loss(logits, labels, known, 0.5), expected)


def test_what_is_labelled_excludes_classes_that_the_scan_says_nothing_about() -> None:
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    labels[:2] = 1
    known = torch.tensor([True, False])
    kidney = torch.where(labels == 1, 5.0, -5.0)
    vertebra_in_kidney = torch.where(labels == 1, 9.0, -9.0)
    vertebra_elsewhere = torch.where(labels == 1, -9.0, 9.0)
    assert marginal_loss(torch.stack([kidney, vertebra_in_kidney]), labels, known) > 1
    assert marginal_loss(torch.stack([kidney, vertebra_elsewhere]), labels, known) < 0.1


def test_marginal_loss_of_a_scan_of_which_nothing_is_known_is_nothing() -> None:
    logits, _ = example()
    labels = torch.zeros(6, 6, 6, dtype=torch.uint8)
    assert abs(float(marginal_loss(logits, labels, torch.zeros(3, dtype=torch.bool)).detach())) < 1e-6


def test_nested_masks_are_judged_one_by_one() -> None:
    masks = torch.zeros(2, 4, 4, 4)
    masks[0] = 1
    masks[1, :2] = 1
    right = 20 * masks - 10
    assert binary_loss(right, masks) < 0.01
    assert binary_loss(-right, masks) > 5


def test_soft_dice_equals_its_definition() -> None:
    a, b = torch.rand(2, 50), (torch.rand(2, 50) > 0.5).float()
    expected = 1 - sum((2 * (x * y).sum() + 1) / (x.sum() + y.sum() + 1) for x, y in zip(a, b, strict=True)) / 2
    torch.testing.assert_close(soft_dice_loss(a, b), expected)
