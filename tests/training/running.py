"""A run small enough to be repeated: `python running.py FOLDER STEPS [RANK WORLD STORE]` does one in a process."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prosect.networks.vista3d import Architecture, vista3d
from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import LoopSettings, Surroundings
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.parallel import ranks_here
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.stream import PatchStream


def scans() -> list[TrainingScan]:
    """Return two scans whose intensity tells their labels, left and right differing."""
    made = []
    for name, shift in (("first", 0), ("second", 3)):
        labels = np.zeros((30, 20, 24), dtype=np.uint8)
        labels[4 + shift : 12, 5:15, 5:15] = 1
        labels[18:26, 5:15, 5 + shift : 15] = 2
        nested = (labels > 0).astype(np.uint8)
        intensities = (labels / 2).astype(np.float16)
        known = np.array([True, True, True])
        made.append(TrainingScan(name, intensities, labels, nested, (2.0, 3.0, 2.5), (1, 2), known))
    return made


def loop(
    folder: Path,
    steps: int = 6,
    threads: int = 0,
    patches: int = 1,
    validate: Callable[[dict[str, Tensor]], float] | None = None,
    lineage: str = "",
    **settings: float,
) -> TrainingLoop:
    """Return a small run."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), classes=9, interactive=False))
    chosen = LoopSettings(**{"steps": steps, "warmup_steps": 2, "patches_per_step": patches, **settings})
    generator = np.random.default_rng(0)
    source = PatchSource(scans(), [1.0, 1.0], PatchSampler((8, 8, 8), 3.0, generator))
    stream = PatchStream(source, chosen.seed, threads)
    objective = AutomaticObjective(network, stream, generator, [1, 2, 7], {2: 0})
    ranks = ranks_here("cpu")
    around = Surroundings(stream, validate, f"{lineage} {steps}", lineage, ranks=ranks)
    return TrainingLoop(network, objective, generator, chosen, folder, around=around)


def digest(run: TrainingLoop) -> str:
    """Return a hash of weights and their average."""
    sha = hashlib.sha256()
    for tensors in (run.network.state_dict(), run.average):
        for value in tensors.values():
            sha.update(value.numpy().tobytes())
    return sha.hexdigest()


def main() -> None:
    folder, steps, *group = sys.argv[1:]
    torch.set_num_threads(1)
    patches = 1
    if group:
        rank, world, store = int(group[0]), int(group[1]), group[2]
        patches = world
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    run = loop(Path(folder), int(steps), patches=patches)
    run.resume()
    run.run(save_every=3)
    print(digest(run))
    if group:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
