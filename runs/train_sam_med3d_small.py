"""Train a small SAM-Med3D-shaped network from nothing on head-neck CT, by chains of simulated clicks: a smoke test.

`python runs/train_sam_med3d_small.py --data DATA --scans WORK --work NEW`, WORK of `train_small_v2.py`,
whose scans it reads. Killed at any time, it goes on from its last saved step. `--judge` says how good it is on held-out
scans after 1, 2, 3 and 5 clicks instead; `--export` writes a file for `prosect.load`.

It departs from the official recipe, by which this network learns to answer "nothing": one learning rate for all parts,
a loss in which the inside of an object has a say, first weights by which a click looks where it is, several objects a
crop, and short chains with a click in every round.
"""

from __future__ import annotations

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from prosect.checkpoints.files import write_weights
from prosect.geometry import Grid
from prosect.inference.crops import mean_and_spread
from prosect.networks.sam_med3d import Architecture, SamMed3D, sam_med3d
from prosect.simulated_user import centre_click, error_click
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.losses import clicked_loss
from prosect.training.objectives.interactive import objects_of
from prosect.training.objectives.sam_med3d import ChainedClicks, ChainRules, begin, learning_shares
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from train_small_v1 import HU_WINDOW, SPACING_MM, head_neck_scans

# Tokens of 4 voxels, so that an answer has the resolution of the crop.
SMALL = Architecture(
    crop=24, patch=4, width=96, depth=4, heads=4, global_blocks=(1, 3), window=4, embedding=96, decoder_hidden=192,
    positions="fixed",
)  # fmt: skip
RULES = ChainRules(rounds=3, objects=4, unasked=False, smallest=30)
CLICKS = (1, 2, 3, 5)


def cached_scans(folder: Path) -> tuple[list[TrainingScan], list[float]]:
    """Return the head-neck scans that `train_small_v2.py` made ready, and how often each is drawn."""
    scans, weights = pickle.loads((folder / "scans.pickle").read_bytes())
    chosen = [n for n, scan in enumerate(scans) if scan.name.startswith("train_")]
    # Built anew, because a cache may be older than a field.
    fields = ("name", "intensities", "labels", "nested", "spacing_mm", "present", "known")
    return [TrainingScan(*(getattr(scans[n], f) for f in fields)) for n in chosen], [weights[n] for n in chosen]


@torch.no_grad()
def judge(network: SamMed3D, data: Path, count: int) -> str:
    """Return the mean Dice on held-out scans after some clicks, in words."""
    generator = np.random.default_rng(0)
    sampler = PatchSampler((SMALL.crop,) * 3, SPACING_MM, generator, max_degrees=0, zoom=(1, 1), foreground=1.0)
    grid = Grid((SMALL.crop,) * 3, np.eye(4))
    found: list[list[float]] = []
    for scan in head_neck_scans(data / "openkbp", "valid")[:count]:
        patch = sampler(scan)
        mean, spread = mean_and_spread(patch.image)
        features = network.embed((patch.image - mean) / spread)
        for _, truth in objects_of(patch, 30):
            answer, mask, row = network.blank(features), np.zeros_like(truth), []
            for number in range(max(CLICKS)):
                click = centre_click(truth, grid) if number == 0 else error_click(truth, mask, grid, generator)
                if click is not None:
                    point = torch.tensor([[click.position_ras]], dtype=torch.float32)
                    answer = network.refine(features, point, torch.tensor([[int(click.positive)]]), answer)
                    mask = (network.upsample(answer)[0, 0] > 0).numpy()
                row.append(2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum()))
            found.append([row[n - 1] for n in CLICKS])
    means = ", ".join(f"{n} {mean:.3f}" for n, mean in zip(CLICKS, np.mean(found, axis=0), strict=True))
    return f"Dice of {len(found)} structures by clicks: {means}"


def export(network: SamMed3D, work: Path, file: Path) -> None:
    """Write the averaged weights with what a scan has to become for them."""
    state = torch.load(work / "state.pt", weights_only=True)
    low, high = HU_WINDOW
    metadata = {
        "model": "sam-med3d",
        "architecture": {"positions": SMALL.positions},
        "preprocessing": {
            "spacing_mm": [SPACING_MM] * 3,
            "intensity": {"kind": "window", "low": low, "high": high},
        },
        "training": {key: state[key] for key in ("step", "settings")},
        "licence": "Trained on OpenKBP scans; research use only.",
    }
    write_weights(file, network.state_dict(), metadata, torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", type=Path, required=True, help="work folder of train_small_v2.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--decoder", type=float, default=1.0, help="its share of the rate (official: 0.1)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--judge", type=int, metavar="N", help="judge on N held-out scans instead of training")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write a file for prosect.load instead of training")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # In float32: on processors, tensors this small are slower in bfloat16.
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, weight_decay=1e-2, ema=0.99)
    torch.manual_seed(settings.seed)
    network = sam_med3d(SMALL)
    begin(network)
    if args.judge or args.export:
        if (args.work / "state.pt").exists():
            network.load_state_dict(torch.load(args.work / "state.pt", weights_only=True)["average"])
        if args.judge:
            print(judge(network.eval(), args.data, args.judge))
        if args.export:
            export(network, args.work, args.export)
        return
    scans, weights = cached_scans(args.scans)
    generator = np.random.default_rng(settings.seed)
    sampler = PatchSampler((SMALL.crop,) * 3, SPACING_MM, generator, max_degrees=10.0, zoom=(0.85, 1.2), foreground=1.0)
    source = PatchSource(scans, weights, sampler)
    chain = ChainedClicks(network, source, generator, rules=RULES, loss=clicked_loss)
    loop = TrainingLoop(network, chain, generator, settings, args.work, learning_shares(network, args.decoder))
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
