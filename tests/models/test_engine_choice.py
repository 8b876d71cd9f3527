"""The fastest engine of a machine is found once, kept with what it depends on, and never in doubt."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prosect.models import engine_choice
from prosect.models.engine_choice import choose_engine, load, processor, small, store
from prosect.networks.vista3d import Architecture, Vista3D, vista3d
from prosect.networks.vista3d.branches import Branches, Engine, branches_of

CPU = torch.device("cpu")
WINDOW = (16, 16, 16)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which engines are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "prosect" / "engines.json"


@pytest.fixture(scope="module")
def network() -> Vista3D:
    """Return a network that is worth a choice."""
    return vista3d(Architecture(width=16, blocks=(1, 1), interactive=False)).eval()


class World:
    """A machine on which each engine takes a known time; it counts how often one is asked."""

    def __init__(self, seconds: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.asked, self.seconds = 0.0, 0, seconds
        monkeypatch.setattr(engine_choice, "branches_of", self.branches)
        monkeypatch.setattr(engine_choice, "find_spec", lambda _: "openvino" in seconds or None)
        monkeypatch.setattr(engine_choice, "refuse_engine", lambda *_: None)

    def branches(self, network: Vista3D, device: torch.device, engine: Engine, precision: str) -> Branches:
        def automatic(window: Tensor) -> Tensor:
            self.now += self.seconds[engine]
            self.asked += 1
            return window

        return replace(branches_of(network, device, "modules"), automatic_features=automatic)

    def choose(self, network: Vista3D, **other: object) -> Engine:
        clocks: list[Callable[[], float]] = [lambda: self.now] * 2
        return choose_engine(network, CPU, WINDOW, clocks=clocks, **other)  # type: ignore[arg-type]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("fastest", ["modules", "fast", "openvino"])
def test_the_engine_that_takes_the_least_time_is_chosen(
    fastest: str, network: Vista3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {name: 1.0 if name == fastest else 2.0 for name in ("modules", "fast", "openvino")}
    assert World(seconds, monkeypatch).choose(network) == fastest


def test_what_was_found_is_kept_and_not_asked_again(
    cache: Path, network: Vista3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert World({"modules": 2.0, "fast": 1.0}, monkeypatch).choose(network) == "fast"
    again = World({"modules": 1.0, "fast": 2.0}, monkeypatch)
    assert again.choose(network) == "fast"
    assert again.asked == 0
    (key,) = json.loads(cache.read_text())
    assert {"processor", "threads", "torch", "openvino", "width", "window", "precision"} <= set(json.loads(key))


@pytest.mark.usefixtures("cache")
def test_another_precision_or_number_of_threads_is_asked_anew(
    network: Vista3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World({"modules": 2.0, "fast": 1.0}, monkeypatch)
    world.choose(network)
    before = world.asked
    world.choose(network, precision="bfloat16")
    assert world.asked == 2 * before
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    world.choose(network)
    assert world.asked == 3 * before


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "gpu"}', "\x00"])
def test_a_damaged_file_is_made_anew(
    content: str, cache: Path, network: Vista3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert World({"modules": 2.0, "fast": 1.0}, monkeypatch).choose(network) == "fast"
    assert list(load(cache).values()) == ["fast"]


def test_where_nothing_can_be_kept_it_is_chosen_all_the_same(
    cache: Path, network: Vista3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.write_text("a file where a folder should be")
    assert World({"modules": 2.0, "fast": 1.0}, monkeypatch).choose(network) == "fast"


def test_whoever_comes_first_decides_for_all_processes(tmp_path: Path) -> None:
    place = tmp_path / "engines.json"
    store(place, "key", "modules")
    assert store(place, "key", "fast")["key"] == "modules"
    assert store(place, "other", "fast") == {"key": "modules", "other": "fast"}
    left = tmp_path / ".engines.json.tmp-999999999-0000"
    left.touch()  # by a process that was killed
    store(place, "third", "fast")
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    assert list(tmp_path.iterdir()) == [place], "nothing is left beside it"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("width", "device"), [(8, "cpu"), (16, "cuda"), (16, "mps")])
def test_nothing_is_asked_where_there_is_nothing_to_choose(
    width: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World({"modules": 1.0, "fast": 1.0}, monkeypatch)
    net = vista3d(Architecture(width=width, blocks=(1, 1), interactive=False))
    assert choose_engine(net, torch.device(device), WINDOW) == "auto"
    assert world.asked == 0


@pytest.mark.parametrize(("width", "window"), [(16, (64, 64, 64)), (48, (128, 128, 128)), (48, (32, 512, 96))])
def test_the_window_that_is_asked_for_is_small_and_fits_the_network(width: int, window: tuple[int, int, int]) -> None:
    net = vista3d(Architecture(width=width, blocks=(1, 1, 1), interactive=False, classes=1))
    found = small(net, window)
    assert all(n % 4 == 0 and 8 <= n <= most for n, most in zip(found, window, strict=True))
    a, b, c = found
    assert a * b * c * width <= 1.01 * engine_choice.LARGEST


def test_the_processor_is_named_by_what_the_system_says(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: A Fast One\nflags : avx\n")
    assert processor(info).startswith("A Fast One, ")
    assert processor(tmp_path / "none").endswith(torch.backends.cpu.get_cpu_capability())


@pytest.mark.usefixtures("cache")
def test_the_real_engines_can_be_asked(network: Vista3D) -> None:
    ticks: Iterator[float] = itertools.count()
    assert choose_engine(network, CPU, WINDOW, clocks=[lambda: next(ticks)] * 2) in ("modules", "fast", "openvino")
