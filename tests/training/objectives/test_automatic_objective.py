"""The automatic branch's objective: which classes compete, which are asked for by themselves, and who learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from prosect.training.losses import binary_loss, exclusive_loss, marginal_loss, published_loss
from prosect.training.objectives.automatic import AutomaticObjective, ClassTeaching, Prompted
from prosect.training.patches import Patch

CLASSES = (1, 2, 7)
PLAIN = ClassTeaching(augment=lambda image, _generator: image)


@pytest.fixture(scope="module")
def network() -> Vista3D:
    torch.manual_seed(0)
    return vista3d(Architecture(width=8, blocks=(1, 1), classes=9, interactive=False))


def patch(known: tuple[bool, ...] = (True, True, True)) -> Patch:
    """Return a patch with two structures and one that contains them."""
    labels = torch.zeros(8, 8, 8, dtype=torch.int32)
    labels[1:4, 1:4, 1:4], labels[5:7, 5:7, 2:6] = 1, 2
    image = labels[None, None].float() / 3
    return Patch(image, labels, (labels > 0).int() << 2, torch.tensor(known))


def objective(network: Vista3D, teaching: ClassTeaching = PLAIN, drawn: Patch | None = None) -> AutomaticObjective:
    shown = drawn or patch()
    return AutomaticObjective(network, lambda: shown, np.random.default_rng(0), CLASSES, {2: 2}, teaching)


def logits_of(network: Vista3D, shown: Patch) -> Tensor:
    pyramid = network.image_encoder.encoder(shown.image)
    return network.class_logits(pyramid, list(CLASSES))[0].float()


@pytest.mark.parametrize("background", [1.0, 0.3])
def test_classes_compete_and_one_that_contains_others_is_judged_by_itself(network: Vista3D, background: float) -> None:
    shown = patch()
    logits = logits_of(network, shown)
    known = torch.tensor([True, True, False])
    expected = exclusive_loss(logits, shown.labels, known, background)
    expected = expected + 0.5 * binary_loss(logits[[2]], (shown.labels > 0)[None])
    found = objective(network, replace(PLAIN, background=background))()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_container_of_which_the_scan_says_nothing_costs_nothing(network: Vista3D) -> None:
    shown = patch((True, True, False))
    expected = exclusive_loss(logits_of(network, shown), shown.labels, shown.known)
    torch.testing.assert_close(objective(network, drawn=shown)(), expected, rtol=1e-4, atol=1e-5)


def test_unknown_classes_compete_where_that_is_asked_for_and_containers_never(network: Vista3D) -> None:
    shown = patch((True, False, False))
    logits = logits_of(network, shown)
    # The container's logit is made as good as impossible, and so wins nothing.
    rivals = torch.cat([logits[:2], torch.full_like(logits[2:], -1e4)])
    expected = marginal_loss(rivals, shown.labels, shown.known)
    found = objective(network, replace(PLAIN, marginal=True), shown)()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    plain = objective(network, drawn=shown)()
    assert float(found.detach()) != pytest.approx(float(plain.detach()), rel=1e-3)


def test_classes_asked_for_by_themselves_have_the_published_loss(network: Vista3D) -> None:
    shown = patch()
    logits = logits_of(network, shown)
    masks = torch.stack([(shown.labels == 1), (shown.labels == 2), (shown.labels > 0)]).int()
    found = objective(network, replace(PLAIN, prompted=Prompted()), shown)()
    torch.testing.assert_close(found, published_loss(logits, masks), rtol=1e-4, atol=1e-5)


def test_no_more_classes_are_asked_for_than_that(network: Vista3D, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    original = network.class_logits

    def watched(pyramid: object, classes: list[int]) -> Tensor:
        asked.append(list(classes))
        return original(pyramid, classes)  # type: ignore[arg-type]

    monkeypatch.setattr(network, "class_logits", watched)
    taught = objective(network, replace(PLAIN, prompted=Prompted(foreground=1, background=0)))
    for _ in range(6):
        taught()
    assert all(len(classes) == 1 for classes in asked)
    assert len({classes[0] for classes in asked}) > 1, "drawn anew each time"


def test_absent_classes_are_asked_for_apart_from_those_that_are_there(network: Vista3D) -> None:
    nothing = replace(patch(), labels=torch.zeros(8, 8, 8, dtype=torch.int32), nested=torch.zeros(8, 8, 8).int())
    silent = objective(network, replace(PLAIN, prompted=Prompted(foreground=3, background=0)), nothing)()
    assert float(silent.detach()) == 0, "nothing is there, and nothing else is asked for"
    loud = objective(network, replace(PLAIN, prompted=Prompted(foreground=3, background=3)), nothing)()
    assert float(loud.detach()) > 0


def test_intensities_are_changed_before_the_network_sees_them(network: Vista3D) -> None:
    seen: list[float] = []

    def darken(image: Tensor, _generator: np.random.Generator) -> Tensor:
        seen.append(float(image.max()))
        return image * 0

    dark = objective(network, ClassTeaching(augment=darken))()
    assert seen == [pytest.approx(2 / 3)]
    shown = patch()
    black = replace(shown, image=shown.image * 0)
    torch.testing.assert_close(dark, objective(network, drawn=black)(), rtol=1e-4, atol=1e-5)


def test_every_part_of_the_automatic_branch_learns_and_only_the_classes_asked_for(network: Vista3D) -> None:
    network.zero_grad(set_to_none=True)
    objective(network)().backward()
    rows = network.class_head.class_embeddings.weight.grad
    assert rows is not None
    assert rows.abs().sum(1).nonzero().flatten().tolist() == list(CLASSES)
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.image_encoder.encoder.parameters())


def test_mixed_precision_is_near_the_exact_loss(network: Vista3D) -> None:
    exact, mixed = (objective(network, replace(PLAIN, bfloat16=half))() for half in (False, True))
    assert float(mixed.detach()) == pytest.approx(float(exact.detach()), rel=0.05)
    assert mixed.dtype == torch.float32


def test_the_default_teaching_augments() -> None:
    assert ClassTeaching().prompted is None
    assert (ClassTeaching().background, ClassTeaching().bfloat16, ClassTeaching().marginal) == (1.0, False, False)
