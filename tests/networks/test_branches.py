"""Which way a network runs is decided by its device and width, and every way gives the same answer."""

from __future__ import annotations

import pytest
import torch

from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from prosect.networks.vista3d.branches import ENGINES, Branches, Engine, branches_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def network(width: int = 32, **other: object) -> Vista3D:
    """Return a small random network with both branches."""
    torch.manual_seed(0)
    return vista3d(Architecture(width=width, blocks=(1, 1), **other)).eval()  # type: ignore[arg-type]


def refuse(*_: object) -> Branches:
    """Fail: another way was chosen."""
    raise AssertionError("another engine was chosen")


@pytest.mark.parametrize(
    ("width", "device", "engine"), [(16, CPU, "modules"), (32, CPU, "processor"), (16, GPU, "gpu"), (48, GPU, "gpu")]
)
def test_the_device_and_the_width_decide_how_a_network_runs(
    width: int, device: torch.device, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = branches_of(network(width), device, engine)
    for name in ENGINES:
        monkeypatch.setitem(ENGINES, name, refuse)
    monkeypatch.setitem(ENGINES, engine, lambda *_: named)
    assert branches_of(network(width), device) is named


@pytest.mark.parametrize("head", ["tokens", "maps"])
def test_every_branch_of_every_engine_for_processors_gives_one_answer(head: str) -> None:
    net = network(click_head=head)
    image = torch.rand(1, 1, 16, 8, 12)
    points, labels = torch.tensor([[[3.0, 4.0, 5.0], [9.0, 2.0, 7.0]]]), torch.tensor([[1, 0]])
    zero_shot = torch.tensor([True])
    answers = []
    with torch.inference_mode():
        for engine in ("modules", "processor"):
            branches = branches_of(net, CPU, engine)  # type: ignore[arg-type]
            features = branches.interactive_features(image)
            logits = branches.point_logits(features, points, labels, zero_shot, None)
            answers.append((branches.automatic_features(image), features, logits))
    for slow, fast in zip(*answers, strict=True):
        assert slow.shape == fast.shape
        assert float((slow - fast).abs().max() / slow.std()) < 3e-4


def test_a_network_without_a_branch_for_clicks_runs_in_every_way() -> None:
    net = network(interactive=False)
    image = torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        slow = branches_of(net, CPU, "modules").automatic_features(image)
        fast = branches_of(net, CPU, "processor").automatic_features(image)
    assert torch.allclose(slow, fast, atol=1e-4)


def test_a_processor_takes_one_window_at_a_time_and_a_gpu_several() -> None:
    assert branches_of(network(), CPU).first_batch == 1
    assert branches_of(network(), GPU).first_batch > 1


def test_an_answer_that_builds_on_the_one_before_is_told_of() -> None:
    assert branches_of(network(click_head="maps"), CPU).sequential
    assert not branches_of(network(click_head="tokens"), CPU).sequential
