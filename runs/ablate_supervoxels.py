"""Does training on supervoxels help clicks on modalities never trained on? (VISTA3D's central claim, in small.)

Two steps, each resumable:
`python runs/ablate_supervoxels.py --scans K --work W cut` cuts the real scans of `train_small_v2.py`'s work folder K
into supervoxels; `... train --automatic A --start S --supervoxels` and the same without train the interactive branch
twice from the weights of S, on the same scans with the same settings, so that supervoxels are all that differs;
`export_small_v3.py` makes models of them, for `prosect evaluate clicks LIST --zero-shot`.
"""

from __future__ import annotations

import argparse
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from prosect import supervoxels
from prosect.geometry import Grid
from prosect.networks.vista3d import vista3d
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.losses import binary_loss
from prosect.training.objectives.interactive import ClickRules, InteractiveObjective
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.stream import PatchStream
from prosect.training.targets import SamplerRules
from prosect.volume import Volume
from train_small_v1 import CLASSES, HU_WINDOW, LUNG, NESTED, SPACING_MM
from train_small_v2 import BOTH

SYNTHETIC = ("person", "warped")  # labelled all over: supervoxels would add nothing
# At 4 mm most organs are too thin to be cut, and a mode that fails becomes regular: it is tried more often instead.
SHARES = (0.4, 0.15, 0.15, 0.15, 0.15)


def cut(scans: list[TrainingScan], work: Path) -> None:
    """Cut the real scans into supervoxels, one file each."""
    encoder = supervoxels.load_encoder("intensity", device="cpu")
    work.mkdir(parents=True, exist_ok=True)
    low, high = HU_WINDOW
    for number, scan in enumerate(scans):
        path = work / f"{number:03d}.npy"
        if scan.name in SYNTHETIC or path.exists():
            continue
        hu = scan.intensities.astype(np.float32) * (high - low) + low
        volume = Volume(hu, Grid(hu.shape, np.diag([*scan.spacing_mm, 1.0])), "CT")  # type: ignore[arg-type]
        found = supervoxels.generate(volume, encoder, segments=100)
        np.save(work / "part.npy", found.array.astype(np.uint16))
        (work / "part.npy").replace(path)


def with_supervoxels(scans: list[TrainingScan], work: Path) -> list[TrainingScan]:
    """Return the scans with the supervoxels that were cut."""
    files = {int(path.stem): path for path in work.glob("[0-9]*.npy")}
    return [replace(s, supervoxels=np.load(files[n])) if n in files else s for n, s in enumerate(scans)]


def train(args: argparse.Namespace, scans: list[TrainingScan], weights: list[float]) -> None:
    """Train one of the two interactive branches."""
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, bfloat16=True, seed=5)
    network = vista3d(BOTH)
    state = torch.load(args.start / "state.pt", weights_only=True)["average"]
    automatic = torch.load(args.automatic / "state.pt", weights_only=True)["average"]
    network.load_state_dict({**network.state_dict(), **state, **automatic})
    if args.supervoxels:
        scans = with_supervoxels(scans, args.work / "cut")
    generator = np.random.default_rng(0)
    side = (args.patch, args.patch, args.patch)
    sampler = PatchSampler(side, SPACING_MM, generator, max_degrees=20.0, zoom=(0.7, 1.5), foreground=0.95)
    stream = PatchStream(PatchSource(scans, weights, sampler), settings.seed)
    supported = [*range(1, len(CLASSES) + 1), -1 - NESTED[LUNG]]
    clicks = InteractiveObjective(
        network, stream, generator, supported, {CLASSES.index(LUNG): NESTED[LUNG]}, ClickRules(), bfloat16=True,
        sampler=replace(SamplerRules(shares=SHARES, regular=0).at(SPACING_MM), border=2), loss=binary_loss,
    )  # fmt: skip
    loop = TrainingLoop(network, clicks, generator, settings, folder(args), clicks.trained(), stream=stream)
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


def folder(args: argparse.Namespace) -> Path:
    """Return the work folder of one of the two trainings."""
    return Path(args.work) / ("with" if args.supervoxels else "without")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("cut", "train"))
    parser.add_argument("--scans", type=Path, required=True, help="work folder of train_small_v2.py, for its scans")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--automatic", type=Path, help="work folder whose averaged encoder and automatic branch to use")
    parser.add_argument("--start", type=Path, help="work folder whose averaged interactive branch to start from")
    parser.add_argument("--supervoxels", action="store_true", help="train with them")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scans, weights = pickle.loads((args.scans / "scans.pickle").read_bytes())
    if args.step == "cut":
        cut(scans, args.work / "cut")
    else:
        train(args, scans, weights)


if __name__ == "__main__":
    main()
