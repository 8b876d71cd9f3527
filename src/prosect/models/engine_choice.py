"""Which engine a model runs on this machine, found once by asking each for a small window.

No rule knows it: it depends on the processor, on how many threads there are, and on what else runs. What is found is
kept in a file, with what it depends on, and said in every report, so that the same bytes can be made again.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch

from prosect.checkpoints import catalog
from prosect.errors import OutputError, ResourceError
from prosect.inference.windows import Shape
from prosect.io.atomic import make_folder, write_atomically
from prosect.networks.vista3d import Vista3D
from prosect.networks.vista3d.branches import LEAST_WIDTH, Engine, Precision, branches_of, refuse_engine

__all__ = ["choose_engine"]

# Voxels of the window that is asked for, times channels: a second or two for all engines together on a quiet machine.
LARGEST = 48**3 * 16
ROUNDS = 2
CPU = torch.device("cpu")


def choose_engine(
    network: Vista3D,
    device: torch.device,
    window: Shape,
    precision: Precision = "auto",
    clocks: Sequence[Callable[[], float]] = (time.perf_counter, time.process_time),
) -> Engine:
    """Return the engine that takes the least time for a window; `auto` where there is nothing to choose.

    Args:
        network: In evaluation mode, on `device`.
        device: Where it runs.
        window: The model's window in voxels.
        precision: In what it multiplies.
        clocks: Seconds that pass, and seconds that this process computes.
    """
    if device.type != "cpu" or network.architecture.width < LEAST_WIDTH:
        return "auto"
    place = catalog.cache_folder() / "engines.json"
    key = json.dumps(facts(network, window, precision), sort_keys=True)
    known = load(place)
    if key not in known:
        costs = measure(network, window, precision, clocks)
        found = min(costs, key=lambda engine: weigh(*costs[engine]))
        known = store(place, key, found)
    return cast(Engine, known[key])


def facts(network: Vista3D, window: Shape, precision: Precision) -> dict[str, object]:
    """Return what the fastest engine depends on."""
    a = network.architecture
    try:
        openvino = version("openvino")
    except PackageNotFoundError:
        openvino = "none"
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "openvino": openvino,
        "width": a.width,
        "blocks": list(a.blocks),
        "window": list(window),
        "precision": precision,
    }


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of the processor and what torch can use of it."""
    named = platform.processor()
    if info.is_file():
        lines = info.read_text(errors="replace").splitlines()
        for line in lines:
            if line.startswith("model name"):
                named = line.split(":", 1)[1].strip()
    return f"{named}, {torch.backends.cpu.get_cpu_capability()}"


def weigh(wall: float, cpu: float) -> float:
    """Return the cost of an engine: what a person waits, and what others on the machine do not get, count alike."""
    return wall + cpu / torch.get_num_threads()


@torch.inference_mode()
def measure(
    network: Vista3D, window: Shape, precision: Precision, clocks: Sequence[Callable[[], float]]
) -> dict[str, tuple[float, float]]:
    """Return the least seconds, waited and computed, that each engine took for a window no larger than this."""
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, *small(network, window)), dtype=np.float32))
    names: list[Engine] = ["modules", "fast"]
    if find_spec("openvino") is not None:
        names.append("openvino")
    costs: dict[str, tuple[float, float]] = {}
    running = {}
    for name in names:
        refuse_engine(name, precision, CPU)
        running[name] = branches_of(network, CPU, name, precision)
        running[name].automatic_features(image)  # kernels are arranged in the first round
    for _ in range(ROUNDS):
        for name, branches in running.items():
            before = [clock() for clock in clocks]
            branches.automatic_features(image)
            wall, cpu = (clock() - start for clock, start in zip(clocks, before, strict=True))
            least = costs.get(name, (wall, cpu))
            costs[name] = (min(wall, least[0]), min(cpu, least[1]))
    return costs


def small(network: Vista3D, window: Shape) -> Shape:
    """Return a window of the same shape that takes no longer than a second or two."""
    divisor, width = network.architecture.divisor, network.architecture.width
    voxels = window[0] * window[1] * window[2]
    # The same along every axis, so that the window keeps its shape.
    factor = min(1.0, (LARGEST / width / voxels) ** (1 / 3))
    a, b, c = (max(2, int(factor * n) // divisor) * divisor for n in window)
    return a, b, c


def load(place: Path) -> dict[str, str]:
    """Return what is known by now; nothing where the file is missing or damaged."""
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    known = ("modules", "fast", "openvino")
    return {key: value for key, value in found.items() if value in known}


def store(place: Path, key: str, engine: str) -> dict[str, str]:
    """Keep what was found, and return what is known by now.

    Another process may have found another one meanwhile: then that counts, so that results on a machine are alike.
    A folder that cannot be written keeps nothing, and the next process asks again.
    """
    known = load(place)
    known.setdefault(key, engine)
    try:
        make_folder(place.parent)
        write_atomically(place, [json.dumps(known, indent=1).encode("ascii")])
    except (OutputError, ResourceError):
        return known
    return {**known, **load(place)}
