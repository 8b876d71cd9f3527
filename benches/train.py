"""Training steps against the official order of work: same network, same crop, one process per run.

`python benches/train.py --width 48 --patch 64 --runs 3` interleaves the sides and prints seconds per crop and the peak
memory of an interactive and of an automatic step. The official interactive step (Vista3dTrainer and the research
trainer) runs encoder, decoder and head, a backward pass and an optimiser step anew for every round of clicks; ours
encodes and decodes once, asks the head in every round, takes gradients of the first and the last, and steps once. So
the interactive figure is per crop with its clicks, not per step. The official automatic step is ours in what it
computes. `--bfloat16` adds ours in mixed precision. Needs `official`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches.automatic import Peak, make_weights

ROUNDS = 5
OBJECTS = 4
SIDES = ("official", "ours", "bfloat16")


def crop(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return intensities in [0, 1] and labels 1 to 6 (i j k) of smooth random shapes."""
    import torch

    coarse = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 1, 6, 6, 6)))
    field = torch.nn.functional.interpolate(coarse, size=(side,) * 3, mode="trilinear")[0, 0].float().numpy()
    edges = np.quantile(field, [0.3, 0.45, 0.6, 0.72, 0.84, 0.93])
    return (field - field.min()) / np.ptp(field), np.digitize(field, edges).astype(np.uint8)


def official_steps(weights: Path, side: int, branch: str) -> Any:
    """Return what does one official step on the crop, as its trainers order the work."""
    import torch
    from monai.apps.vista3d.sampler import sample_prompt_pairs
    from monai.losses import DiceCELoss
    from tests.official import monai_pipeline

    state = torch.load(weights, weights_only=True)
    net = monai_pipeline.network(0, int(state["class_head.mlp.0.weight"].shape[0])).train()
    net.load_state_dict(state)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-5, weight_decay=1e-5)
    loss_of = DiceCELoss(sigmoid=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-5)
    intensities, labels = crop(side)
    image, truth = torch.from_numpy(intensities)[None, None], torch.from_numpy(labels)[None, None].float()
    np.random.seed(0)

    def one_pass(prompts: Any, points: Any, signs: Any, ids: Any) -> Any:
        optimizer.zero_grad()
        out = net(input_images=image, point_coords=points, point_labels=signs, class_vector=prompts, prompt_class=ids)
        loss = sum(loss_of(out[[n]], (truth == ids[n]).float()) for n in range(len(ids))) / len(ids)
        loss.backward()
        optimizer.step()
        return out.detach()

    def step() -> None:
        interactive = branch == "interactive"
        prompts, points, signs, ids = sample_prompt_pairs(
            truth, list(range(1, 7)), max_point=1, max_foreprompt=OBJECTS if interactive else 32,
            max_backprompt=0, drop_label_prob=float(interactive), drop_point_prob=float(not interactive),
        )  # fmt: skip
        ids = torch.as_tensor(ids if ids is not None else prompts).reshape(-1, 1)
        if not interactive:
            one_pass(prompts, None, None, ids)
            return
        for _ in range(ROUNDS):
            found = one_pass(None, points, signs, ids) > 0
            missed = torch.stack([(~found[n, 0] & (truth[0, 0] == ids[n])).nonzero()[:1] for n in range(len(ids))])
            points = torch.cat([points, missed.reshape(len(ids), -1, 3)[:, :1].float()], 1)
            signs = torch.cat([signs, torch.ones(len(ids), points.shape[1] - signs.shape[1])], 1)

    return step


def our_steps(weights: Path, side: int, branch: str, bfloat16: bool) -> Any:
    """Return what does one of our steps on the crop."""
    import torch

    from prosect.checkpoints.files import read_weights
    from prosect.checkpoints.fit import fit
    from prosect.training.loop import TrainingLoop
    from prosect.training.loop_settings import LoopSettings
    from prosect.training.objectives.automatic import AutomaticObjective, ClassTeaching, Prompted
    from prosect.training.objectives.interactive import Clickable, ClickRules, InteractiveObjective, Teaching
    from prosect.training.patches import Patch

    network, _ = fit(read_weights(weights))
    network.requires_grad_(True).train()
    intensities, labels = crop(side)
    integers = torch.from_numpy(labels).int()
    patch = Patch(torch.from_numpy(intensities)[None, None], integers, torch.zeros_like(integers), torch.ones(6).bool())
    generator = np.random.default_rng(0)
    teaching = ClassTeaching(bfloat16, Prompted(), augment=lambda image, _: image)
    objective: Any = AutomaticObjective(network, lambda: patch, generator, range(1, 7), {}, teaching)
    if branch == "interactive":
        rules = ClickRules(rounds=ROUNDS, objects=OBJECTS, remap=0)
        objective = InteractiveObjective(
            network, lambda: patch, generator, Clickable(range(1, 7)), rules,
            Teaching(bfloat16, train_encoder=True, augment=lambda image, _: image),
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        loop = TrainingLoop(network, objective, generator, LoopSettings(learning_rate=2e-5), Path(folder))
    return loop._one_step


def child(which: str, branch: str, folder: Path, args: argparse.Namespace) -> None:
    """Run one side, and print the seconds of its fastest step and its peak memory."""
    import torch

    torch.set_num_threads(args.threads)
    weights = folder / "weights.pt"
    with Peak() as peak:
        if which == "official":
            step = official_steps(weights, args.patch, branch)
        else:
            step = our_steps(weights, args.patch, branch, which == "bfloat16")
        seconds = []
        for _ in range(args.steps):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": min(seconds), "peak_gib": peak.gib}))


def measure(which: str, branch: str, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return one side's report from a process of its own."""
    numbers = [str(n) for key in ("patch", "threads", "steps") for n in (f"--{key}", getattr(args, key))]
    words = [sys.executable, __file__, "--child", which, branch, "--folder", str(folder), *numbers]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="in each process; the fastest counts")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--branches", nargs="+", default=["automatic", "interactive"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child, args.folder, args)
        return
    sides = SIDES if args.bfloat16 else SIDES[:2]
    with tempfile.TemporaryDirectory() as name:
        make_weights(Path(name) / "weights.pt", args.width)
        for branch in args.branches:
            runs = [{side: measure(side, branch, Path(name), args) for side in sides} for _ in range(args.runs)]
            for side in sides:
                seconds, peak = (np.median([run[side][key] for run in runs]) for key in ("seconds", "peak_gib"))
                ratio = np.median([run["official"]["seconds"] / run[side]["seconds"] for run in runs])
                print(f"{branch:12} {side:9} {seconds:7.2f} s per crop, {ratio:5.2f} times, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
