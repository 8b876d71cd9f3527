"""The engines side by side on one window of the automatic branch: same weights, same window, interleaved.

`python benches/engine.py --width 48 --windows 64 96` asks each engine in turn, in a process of its own that stays,
first on the machine as it is and then with two busy neighbours that the bench starts. Prints seconds, CPU seconds
(user and system, of all threads) and page faults of a window, and how many voxels have the first engine's label. The
median of the rounds counts; each engine has one round before that nobody counts. A star marks the engine that a model
would take by itself of those that are compared (`auto`); a line says where it costs more than the first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 117
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
KEYS = ("wall", "cpu", "faults")
# Two runs of the same engine differ by so much.
NOISE = 1.05
NEIGHBOUR = "import numpy as np\na = np.random.rand(300, 300)\nwhile True: a @ a"


def processor() -> str:
    """Return the processor's name and those of its features that decide between engines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    known = [flag for flag in FLAGS if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', 'unknown processor')}, {os.cpu_count()} cores, {' '.join(known)}"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep this many other processes busy inside the block."""
    single = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    busy = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR], env=single) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def make_network(width: int, weights: str | None) -> Any:
    """Return a network of random weights, or that of a model by name."""
    import torch

    import prosect
    from prosect.networks.vista3d import Architecture, vista3d

    if weights is not None:
        model: Any = prosect.load(weights, device="cpu")
        return model.network
    torch.manual_seed(0)
    return vista3d(Architecture(width=width, interactive=False)).eval()


def child(args: argparse.Namespace) -> None:
    """Answer each line of the standard input, a window's side, with the cost of one window."""
    import torch

    from prosect.models.engine_choice import measure, weigh
    from prosect.networks.vista3d.branches import branches_of

    torch.set_num_threads(args.threads)
    network = make_network(args.width, args.model)
    branches = branches_of(network, torch.device("cpu"), args.child, args.precision)
    vectors = network.class_vectors(range(1, CLASSES + 1))
    for line in sys.stdin:
        word, number = line.split()
        side = int(number)
        if word == "choose":
            costs = measure(network, (side,) * 3, args.precision, (time.perf_counter, time.process_time))
            print(json.dumps({engine: weigh(*cost) for engine, cost in costs.items()}), flush=True)
            continue
        window = torch.from_numpy(np.random.default_rng(0).random((1, 1, side, side, side), dtype=np.float32))
        with torch.inference_mode():
            before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            features = branches.automatic_features(window)
            wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
            labels = torch.einsum("qc,bcijk->bqijk", vectors, features[..., ::4, ::4, ::4].float()).argmax(1)
        args.folder.mkdir(parents=True, exist_ok=True)
        np.save(args.folder / f"{args.child}.npy", labels.numpy())
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = {"wall": wall, "cpu": cpu, "faults": after.ru_minflt - before.ru_minflt}
        print(json.dumps(found), flush=True)


class Asked:
    """An engine in a process of its own.

    Args:
        engine: Its name.
        args: What was typed.
    """

    def __init__(self, engine: str, args: argparse.Namespace) -> None:
        self.engine, self.folder = engine, args.folder
        same = ["--width", str(args.width), "--threads", str(args.threads), "--folder", str(args.folder)]
        same += ["--precision", args.precision]
        if args.model:
            same += ["--model", args.model]
        command = [sys.executable, __file__, "--child", engine, *same]
        # A bench says itself how many threads there are.
        env = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def ask(self, side: int, word: str = "run") -> dict[str, float]:
        """Return the cost of one window of this side; or, where the word is `choose`, what `auto` thinks of each."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word} {side}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the engine {self.engine} failed")
        found: dict[str, float] = json.loads(line)
        return found

    def labels(self) -> np.ndarray:
        """Return the labels of the last window."""
        return np.load(self.folder / f"{self.engine}.npy")

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


class Costs:
    """The medians of an engine's rounds.

    Args:
        rounds: What each window took.
    """

    def __init__(self, rounds: Sequence[dict[str, float]]) -> None:
        self.wall, self.cpu, self.faults = (float(np.median([cost[key] for cost in rounds])) for key in KEYS)


def print_table(costs: dict[str, Costs], chosen: str) -> None:
    """Print a line for each engine, with the CPU seconds of the first over its own, and whether the choice was right.

    Args:
        costs: By engine; the first is what others are compared with.
        chosen: The engine that a model would take.
    """
    first = next(iter(costs.values()))
    print(f"{'':12}{'wall s':>9}{'CPU s':>9}{'page faults':>12}{'wall':>9}{'CPU':>9}")
    for engine, cost in costs.items():
        marked = f"{engine} *" if engine == chosen else engine
        ratios = f"{first.wall / cost.wall:9.2f}{first.cpu / cost.cpu:9.2f}"
        print(f"{marked:12}{cost.wall:9.2f}{cost.cpu:9.2f}{cost.faults:12,.0f}{ratios}", flush=True)
    taken = costs[chosen]
    if max(taken.wall / first.wall, taken.cpu / first.cpu) > NOISE:
        print(f"{chosen} was chosen and costs more than {next(iter(costs))}")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=["modules", "fast"])
    parser.add_argument("--windows", nargs="+", type=int, default=[64, 96])
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--model", help="a model by name, instead of random weights of a width")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 2], help="neighbours of each table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")), help="for scratch files")
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    print(f"{processor()}; {args.threads} threads; {args.model or f'width {args.width}'}; {args.precision}")
    with ExitStack() as stack:
        engines = [Asked(engine, args) for engine in args.engines]
        for each in engines:
            stack.callback(each.end)
        for side in args.windows:
            for each in engines:
                each.ask(side)
            first = engines[0].labels()
            for each in engines[1:]:
                print(f"{side:4}^3 {each.engine}: {100 * float((each.labels() == first).mean()):.4f} % equal labels")
            thought = engines[0].ask(side, "choose")
            chosen = min(args.engines, key=lambda engine: thought[engine])
            for count in args.busy:
                with neighbours(count):
                    rounds = [[each.ask(side) for each in engines] for _ in range(args.rounds)]
                load = ", ".join(f"{n:.1f}" for n in os.getloadavg()[:2])
                print(f"{side:4}^3, {count} busy neighbours, load {load}")
                of_each = zip(*rounds, strict=True)
                print_table(dict(zip(args.engines, map(Costs, of_each), strict=True)), chosen)


if __name__ == "__main__":
    main()
