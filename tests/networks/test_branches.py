"""Which way a network runs is decided by its device and width, and every way gives the same answer."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch

from prosect.errors import ResourceError
from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from prosect.networks.vista3d import branches as ways
from prosect.networks.vista3d.branches import ENGINES, Branches, Engine, branches_of

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def engines() -> list[Engine]:
    """Return the engines for processors that are installed."""
    return ["modules", "fast"] + (["openvino"] if find_spec("openvino") else [])


def network(width: int = 32, **other: object) -> Vista3D:
    """Return a small random network with both branches."""
    torch.manual_seed(0)
    return vista3d(Architecture(width=width, blocks=(1, 1), **other)).eval()  # type: ignore[arg-type]


def refuse(*_: object) -> Branches:
    """Fail: another way was chosen."""
    raise AssertionError("another engine was chosen")


@pytest.mark.parametrize(
    ("width", "device", "engine"),
    [(8, CPU, "modules"), (16, CPU, "fast"), (32, CPU, "fast"), (16, GPU, "gpu"), (48, GPU, "gpu")],
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
        for engine in engines():
            branches = branches_of(net, CPU, engine)
            features = branches.interactive_features(image)
            logits = branches.point_logits(features, points, labels, zero_shot, None)
            answers.append((branches.automatic_features(image), features, logits))
    for slow, *others in zip(*answers, strict=True):
        for fast in others:
            assert slow.shape == fast.shape
            assert float((slow - fast).abs().max() / slow.std()) < 3e-3


def test_a_network_without_a_branch_for_clicks_runs_in_every_way() -> None:
    net = network(interactive=False)
    image = torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        slow = branches_of(net, CPU, "modules").automatic_features(image)
        fast = branches_of(net, CPU, "fast").automatic_features(image)
    assert torch.allclose(slow, fast, atol=1e-4)


def test_a_processor_takes_one_window_at_a_time_and_a_gpu_several() -> None:
    assert branches_of(network(), CPU).first_batch == 1
    assert branches_of(network(), GPU).first_batch > 1


def test_an_answer_that_builds_on_the_one_before_is_told_of() -> None:
    assert branches_of(network(click_head="maps"), CPU).sequential
    assert not branches_of(network(click_head="tokens"), CPU).sequential


def test_engine_and_precision_are_told_of() -> None:
    for engine in engines():
        branches = branches_of(network(16), CPU, engine)
        assert (branches.engine, branches.precision) == (engine, "float32")
    assert branches_of(network(8), GPU).precision == "bfloat16"
    assert branches_of(network(8), GPU, precision="float32").precision == "float32"


@pytest.mark.parametrize(
    ("engine", "device"),
    [("fast", "cuda"), ("compiled", "cpu"), ("openvino", "mps"), ("gpu", "cpu"), ("gpu", "mps"), ("fast", "mps")],
)
def test_an_engine_of_another_device_is_refused(engine: Engine, device: str) -> None:
    with pytest.raises(ResourceError, match=f"'{engine}' does not run on the device '{device}'") as caught:
        branches_of(network(8), torch.device(device), engine)
    assert caught.value.code == "ENGINE_MISSING"


def test_openvino_where_it_is_not_installed_is_refused_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="pip install") as caught:
        branches_of(network(8), CPU, "openvino")
    assert caught.value.code == "ENGINE_MISSING"


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "multiplies_bfloat16", lambda: False)
    with pytest.raises(ResourceError, match="AVX512-BF16") as caught:
        branches_of(network(8), CPU, "modules", "bfloat16")
    assert caught.value.code == "PRECISION_MISSING"


def test_a_compiled_sweep_is_one_graph_for_each_shape_and_its_results_outlive_the_next_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No GPU has run it: torch's compiler is replaced by one that writes to the same memory each time, as graphs do."""
    asked: list[dict[str, object]] = []
    memory: dict[torch.Size, torch.Tensor] = {}

    def replay(function: Callable[[torch.Tensor], torch.Tensor], **options: object) -> Callable[..., torch.Tensor]:
        asked.append(options)

        def run(windows: torch.Tensor) -> torch.Tensor:
            return memory.setdefault(windows.shape, torch.empty(windows.shape)).copy_(windows)

        return run

    monkeypatch.setattr(torch, "compile", replay)
    branches = ways.ENGINES["compiled"](network(8), CPU, "float32")
    assert asked == [{"mode": "reduce-overhead", "dynamic": False}]
    assert branches.engine == "compiled"
    first = branches.automatic_features(torch.ones(1, 1, 8, 8, 8))
    second = branches.automatic_features(torch.zeros(1, 1, 8, 8, 8))
    assert bool((first == 1).all())
    assert bool((second == 0).all())


@pytest.mark.skipif(not ways.multiplies_bfloat16(), reason="this processor has neither AMX nor AVX512-BF16")
def test_bfloat16_reaches_every_engine() -> None:
    net, window = network(16, interactive=False), torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        exact = branches_of(net, CPU, "modules").automatic_features(window)
        for engine in engines():
            found = branches_of(net, CPU, engine, "bfloat16").automatic_features(window).float()
            assert float((found - exact).norm() / exact.norm()) < 0.05
