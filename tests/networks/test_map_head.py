"""The click head for narrow networks: laws that any set of clicks keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect.networks.vista3d import Architecture, vista3d
from prosect.networks.vista3d.map_head import MapHead

SHAPE = (16, 24, 16)
INSIDE, OTHER, OUTSIDE = (5.0, 11.25, 7.0), (12.0, 3.0, 2.0), (0.0, 23.0, 15.0)

Clicks = list[tuple[tuple[float, float, float], int]]


@pytest.fixture(scope="module")
def head() -> MapHead:
    torch.manual_seed(0)
    return MapHead(8, 8).eval()


@pytest.fixture(scope="module")
def features() -> Tensor:
    return torch.randn(1, 8, *SHAPE, generator=torch.Generator().manual_seed(1))


def ask(head: MapHead, features: Tensor, clicks: Clicks, new: bool) -> Tensor:
    """Return the logits (i j k) of one object."""
    points = torch.tensor([[place for place, _ in clicks]])
    labels = torch.tensor([[label for _, label in clicks]])
    with torch.no_grad():
        logits: Tensor = head(features, points, labels, torch.tensor([new]))
    return logits[0, 0]


def test_ambiguous_clicks_are_clicks(head: MapHead, features: Tensor) -> None:
    first = ask(head, features, [(INSIDE, 1), (OTHER, 1), (OUTSIDE, 0)], True)
    assert first.shape == SHAPE
    torch.testing.assert_close(ask(head, features, [(INSIDE, 3), (OTHER, 3), (OUTSIDE, 2)], True), first)


def test_an_answer_builds_on_the_answers_to_the_clicks_before(head: MapHead, features: Tensor) -> None:
    clicks: Clicks = [(INSIDE, 1), (OTHER, 1), (OUTSIDE, 0)]
    points, labels = torch.tensor([[place for place, _ in clicks]]), torch.tensor([[label for _, label in clicks]])
    before: Tensor | None = None
    with torch.no_grad():
        for n in range(1, 4):
            before = head(features, points[:, :n], labels[:, :n], torch.tensor([True]), before)
    assert before is not None
    torch.testing.assert_close(before[0, 0], ask(head, features, clicks, True))
    with torch.no_grad():
        anew = head(features, points, labels, torch.tensor([True]), torch.zeros_like(before))
    assert not torch.allclose(anew, before, atol=1e-3)


def test_place_sign_and_kind_of_a_click_matter(head: MapHead, features: Tensor) -> None:
    first = ask(head, features, [(INSIDE, 1)], True)
    others: list[tuple[Clicks, bool]] = [([(OTHER, 1)], True), ([(INSIDE, 0)], True), ([(INSIDE, 1)], False)]
    for clicks, new in others:
        assert not torch.allclose(ask(head, features, clicks, new), first, atol=1e-3)


def test_objects_of_one_patch_do_not_see_each_other(head: MapHead, features: Tensor) -> None:
    points = torch.tensor([[INSIDE, OUTSIDE], [OTHER, OTHER]])
    labels, kinds = torch.tensor([[1, 0], [1, -1]]), torch.tensor([True, False])
    with torch.no_grad():
        both = head(features, points, labels, kinds)
    torch.testing.assert_close(both[0, 0], ask(head, features, [(INSIDE, 1), (OUTSIDE, 0)], True))
    torch.testing.assert_close(both[1, 0], ask(head, features, [(OTHER, 1), (OTHER, -1)], False))


def test_the_map_of_likeness_is_one_where_clicked_and_where_the_image_is_the_same(head: MapHead) -> None:
    looks = torch.zeros(8, *SHAPE)
    looks[0, :8] = 1
    looks[1, 8:] = 1
    near, far, alike = head._signed(looks, torch.tensor([[4.0, 8.0, 8.0]]))
    assert torch.allclose(alike[:8], torch.ones(8, 24, 16))
    assert float(alike[8:].max()) < 0.01
    clicked = 4 * 24 * 16 + 8 * 16 + 8
    assert int(near.argmax()) == int(far.argmax()) == clicked
    assert float(near.max()) == float(far.max()) == 1


def test_every_weight_is_taught_by_a_click_of_each_sign() -> None:
    torch.manual_seed(0)
    network = vista3d(Architecture(8, (1, 1, 1, 1), 9, click_head="maps"))
    features = network.interactive_features(torch.rand(1, 1, 16, 16, 16))
    points = torch.tensor([[INSIDE, OTHER]])
    logits = network.point_logits(features, points, torch.tensor([[1, 0]]), torch.tensor([True]))
    assert logits.shape == (1, 1, 16, 16, 16)
    logits.square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.point_head.parameters())


@pytest.mark.parametrize(("labels", "zero_shot"), [([1, 1, 0], True), ([3, 2, -1], False), ([-1, -1, -1], False)])
def test_maps_of_clicks_are_what_their_names_say(head: MapHead, labels: list[int], zero_shot: bool) -> None:
    """Voxel by voxel: a bell around the nearest click of a sign, a slow decay from it; and the kind of the object."""
    places = np.array([INSIDE, OTHER, OUTSIDE])
    looks = torch.nn.functional.normalize(torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(4)), dim=0)
    maps = head._maps(looks, torch.tensor(places).float(), torch.tensor(labels), torch.tensor(zero_shot))
    assert maps.shape == (7, *SHAPE)
    assert bool((maps[0] == float(zero_shot)).all())
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    signs = {1: (maps[1], maps[2]), 0: (maps[4], maps[5])}
    for sign, (near, far) in signs.items():
        mine = [place for place, label in zip(places, labels, strict=True) if label >= 0 and label % 2 == sign]
        if not mine:
            assert not near.any()
            assert not far.any()
            continue
        distance = np.min([np.linalg.norm(voxels - place, axis=-1) for place in mine], axis=0)
        np.testing.assert_allclose(near.numpy(), np.exp(-(distance**2) / (2 * 1.5**2)), atol=1e-5)
        np.testing.assert_allclose(far.numpy(), np.exp(-distance / 6.0), atol=1e-5)
