"""Go on training the automatic branch of the shipped model, in three phases; the clicks follow by another script.

`python runs/train_small_v3.py more --scans K --start ONE --work TWO`, with the scans of the work folder K of
`train_small_v2.py` and the averaged weights of `train_small_v1.py`; then `full --start TWO --work THREE`, in which the
background weighs in full, because structures came out up to twice too large; then `head --start THREE --work FOUR`, in
which only class embeddings learn, on patches as large as the windows of inference and mostly of background, so that
features and clicks stay as they are. Then `ablate_supervoxels.py train`, and `export_small_v3.py`. Killed at any time,
a phase goes on from its last saved step.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from prosect.networks.vista3d import vista3d
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.stream import PatchStream
from train_small_v1 import ARCHITECTURE, CLASSES, NESTED, SPACING_MM

# What is drawn more or less often than in the training of clicks; the rest keeps its proportions.
SHARES = {"torso": 0.04, "warped": 0.17, "person": 0.12}


@dataclass(frozen=True)
class Phase:
    """One phase: settings of the loop and of its patches."""

    settings: LoopSettings
    side: int
    degrees: float
    zoom: tuple[float, float]
    foreground: float
    background: float
    head_only: bool = False


PHASES = {
    "more": Phase(LoopSettings(6500, 1.5e-3, ema=0.998, bfloat16=True, seed=3), 48, 15, (0.78, 1.28), 0.88, 0.3),
    "full": Phase(LoopSettings(1200, 6e-4, ema=0.998, bfloat16=True, seed=4), 48, 15, (0.78, 1.28), 0.8, 1.0),
    "head": Phase(
        LoopSettings(500, 1e-3, weight_decay=0.0, warmup_steps=20, bfloat16=True, seed=6),
        64, 10, (0.85, 1.18), 0.6, 3.0, head_only=True,
    ),
}  # fmt: skip


def reweighted(scans: Sequence[TrainingScan], weights: Sequence[float]) -> list[float]:
    """Return the weights of scans so that each kind in `SHARES` has its share."""
    kinds = [scan.name.split("_")[0] for scan in scans]
    totals: dict[str, float] = defaultdict(float)
    for kind, weight in zip(kinds, weights, strict=True):
        totals[kind] += weight
    rest = sum(total for kind, total in totals.items() if kind not in SHARES)
    left = 1 - sum(SHARES.values())
    return [
        weight * (SHARES[kind] / totals[kind] if kind in SHARES else left / rest)
        for kind, weight in zip(kinds, weights, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    phase = PHASES[args.phase]
    scans, weights = pickle.loads((args.scans / "scans.pickle").read_bytes())
    weights = weights if phase.head_only else reweighted(scans, weights)
    generator = np.random.default_rng(phase.settings.seed)
    side = (phase.side, phase.side, phase.side)
    sampler = PatchSampler(side, SPACING_MM, generator, phase.degrees, phase.zoom, phase.foreground)
    stream = PatchStream(PatchSource(scans, weights, sampler), phase.settings.seed)
    network = vista3d(ARCHITECTURE)
    network.load_state_dict(torch.load(args.start / "state.pt", weights_only=True)["average"])
    head = [*network.class_head.class_embeddings.parameters(), *network.class_head.mlp.parameters()]
    trained = head if phase.head_only else list(network.parameters())
    network.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    nested = {CLASSES.index(index): bit for index, bit in NESTED.items()}
    objective = AutomaticObjective(network, CLASSES, nested, stream, generator, True, background=phase.background)
    loop = TrainingLoop(network, objective, generator, phase.settings, args.work, [(trained, 1.0)], stream=stream)
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
