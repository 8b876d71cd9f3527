"""Train a small SAM-Med3D-shaped network on CT by chains of simulated clicks: a smoke test of its recipe.

`python runs/train_sam_med3d_small.py --data DATA --scans WORK --work NEW`, WORK of `train_small_v2.py`,
whose scans it reads. Killed at any time, it goes on from its last saved step. `--judge` says how good it is on held-out
head-neck scans after 1, 2, 3 and 5 clicks instead.
"""

from __future__ import annotations

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from prosect.geometry import Grid
from prosect.inference.crops import mean_and_spread
from prosect.networks.sam_med3d import Architecture, SamMed3D, sam_med3d
from prosect.simulated_user import centre_click, error_click
from prosect.training.interactive import objects_of
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.patches import PatchSampler, PatchSource
from prosect.training.sam_med3d import ChainedClicks, ChainRules, learning_shares
from train_small_v1 import SPACING_MM, head_neck_scans

SMALL = Architecture(
    crop=48, patch=8, width=144, depth=4, heads=4, global_blocks=(1, 3), window=4, embedding=96, decoder_hidden=192,
    positions="fixed",
)  # fmt: skip
LUNG_BIT = 0
CLICKS = (1, 2, 3, 5)


@torch.no_grad()
def judge(network: SamMed3D, data: Path, count: int) -> None:
    """Print the mean Dice on held-out scans after some clicks."""
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
    print(f"Dice of {len(found)} structures by clicks: {means}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", type=Path, required=True, help="work folder of train_small_v2.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate of the encoder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--judge", type=int, metavar="N", help="judge on N held-out scans instead of training")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, weight_decay=0.1, bfloat16=True)
    torch.manual_seed(settings.seed)
    network = sam_med3d(SMALL)
    if args.judge:
        if (args.work / "state.pt").exists():
            network.load_state_dict(torch.load(args.work / "state.pt", weights_only=True)["average"])
        judge(network.eval(), args.data, args.judge)
        return
    scans, weights = pickle.loads((args.scans / "scans.pickle").read_bytes())
    generator = np.random.default_rng(settings.seed)
    sampler = PatchSampler((SMALL.crop,) * 3, SPACING_MM, generator, max_degrees=20.0, zoom=(0.7, 1.5), foreground=0.95)
    source = PatchSource(scans, weights, sampler)
    chain = ChainedClicks(network, source, generator, (LUNG_BIT,), ChainRules(rounds=5, smallest=30), bfloat16=True)
    loop = TrainingLoop(network, chain, generator, settings, args.work, learning_shares(network))
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
