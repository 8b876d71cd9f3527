"""Clicks against MONAI's point_based_window_inferer: same weights, same scan, same places, one process per run.

`python benches/clicks.py --width 48 --size 160 --runs 3` interleaves the two and prints the seconds of the first,
second and last click of one object in one patch, their ratios, how far the first answers agree, and the bytes kept
for the patch. `--busy 2` has so many neighbours compute meanwhile. Ours is timed as a person waits: preparing the scan,
merging, and the mask on the scan's own voxels. Theirs is timed on a prepared tensor, and only for the newest click's
window (`point_start`), which is less than the official program does: that runs every click's window again.
`--as-shipped` times that. Needs `official`.
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
from benches.engine import neighbours


def places(size: int, count: int) -> list[tuple[tuple[float, float, float], bool]]:
    """Return voxels near the middle with their signs; the first is positive."""
    rng = np.random.default_rng(1)
    middle = size // 2
    points = [(middle, middle, middle), *rng.integers(middle - 12, middle + 13, (count - 1, 3)).tolist()]
    return [((float(i), float(j), float(k)), n % 3 != 2) for n, (i, j, k) in enumerate(points)]


def scan(size: int) -> np.ndarray:
    """Return a smooth random scan of HU (i j k)."""
    import torch

    coarse = torch.from_numpy(np.random.default_rng(0).normal(100, 300, (1, 1, 12, 12, 12)))
    return torch.nn.functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")[0, 0].float().numpy()


def official(weights: Path, size: int, patch: int, count: int, as_shipped: bool) -> dict[str, Any]:
    """Return seconds per click and the first answer of the official code."""
    import torch
    from monai.apps.vista3d.inferer import point_based_window_inferer
    from tests.official import monai_pipeline

    from prosect.case import Intensity

    state = torch.load(weights, weights_only=True)
    net = monai_pipeline.network(0, int(state["class_head.mlp.0.weight"].shape[0]))
    net.load_state_dict(state)
    image = Intensity().scale(torch.from_numpy(scan(size)))[None, None]
    seconds, first, before = [], None, None
    clicks = places(size, count)
    for n in range(count):
        so_far = clicks[: n + 1]
        started = time.perf_counter()
        with torch.inference_mode():
            before = point_based_window_inferer(
                inputs=image,
                roi_size=(patch,) * 3,
                predictor=net,
                point_coords=torch.tensor([[p for p, _ in so_far]]),
                point_labels=torch.tensor([[int(sign) for _, sign in so_far]]),
                prompt_class=torch.tensor([133]),
                prev_mask=None if before is None or as_shipped else before.nan_to_num(-9999.0),
                point_start=0 if as_shipped else n,
                transpose=True,
            )
        seconds.append(time.perf_counter() - started)
        if first is None:
            first = (torch.as_tensor(before)[0, 0] > 0).numpy()
        if as_shipped and n == 1:
            break
    return {"seconds": seconds, "first": first}


def ours(weights: Path, size: int, patch: int, count: int) -> dict[str, Any]:
    """Return seconds per click, the first answer, and the bytes kept."""
    from dataclasses import replace

    import prosect
    from prosect.boxes import Box
    from prosect.inference.feature_budget import FeatureBudget
    from prosect.inference.question import Question
    from prosect.prompts import LabelledClick

    model = prosect.load("vista3d", weights=weights, device="cpu")
    model = replace(model, spec=replace(model.spec, window=(patch,) * 3))
    volume = prosect.Volume(scan(size), prosect.Grid((size,) * 3, np.diag([1.5, 1.5, 1.5, 1.0])))
    clicks = places(size, count)
    answers = model.responder(volume, FeatureBudget())
    session = model.session(volume, responder=answers)
    seconds = []
    for place, sign in clicks:
        started = time.perf_counter()
        session.click(place, sign, "something new", space="voxel")
        seconds.append(time.perf_counter() - started)
    position = tuple(volume.grid.to_world(clicks[0][0]).tolist())
    question = Question((LabelledClick(position, 1, answers.place(position, [])),), True)
    whole = Box((0, 0, 0), volume.grid.shape)
    _, first = answers.propose(question, whole)
    return {
        "seconds": seconds,
        "first": first,
        "engine": model.engine_used,
        "patches": len(answers.features),
        "bytes": answers.features.nbytes,
    }


def child(which: str, folder: Path, args: argparse.Namespace) -> None:
    """Run one side once, leave its first answer in a file, and print what it took."""
    import torch

    torch.set_num_threads(args.threads)
    weights = folder / "weights.pt"
    with Peak() as peak:
        if which == "ours":
            report = ours(weights, args.size, args.patch, args.clicks)
        else:
            report = official(weights, args.size, args.patch, args.clicks, which == "as-shipped")
    np.save(folder / f"{which}.npy", report.pop("first"))
    print(json.dumps({**report, "peak_gib": peak.gib}))


def measure(which: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return one side's report from a process of its own."""
    numbers = [str(n) for pair in vars(args).items() if pair[0] in PASSED for n in (f"--{pair[0]}", pair[1])]
    words = [sys.executable, __file__, "--child", which, "--folder", str(folder), *numbers]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


PASSED = ("size", "patch", "threads", "width", "clicks")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--size", type=int, default=160, help="voxels of 1.5 mm per axis")
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--busy", type=int, default=0, help="neighbours that compute meanwhile")
    parser.add_argument("--as-shipped", action="store_true", help="also time the second click with every window again")
    parser.add_argument("--child", choices=("ours", "official", "as-shipped"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.folder, args)
        return
    sides = ["official", "ours", *(["as-shipped"] if args.as_shipped else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_weights(folder / "weights.pt", args.width)
        runs = []
        with neighbours(args.busy):
            for _ in range(args.runs):
                runs.append({side: measure(side, folder, args) for side in sides})
        agree = float((np.load(folder / "ours.npy") == np.load(folder / "official.npy")).mean())
    report(runs, agree)


def report(runs: list[dict[str, Any]], agree: float) -> None:
    """Print medians and ratios."""
    last = len(runs[0]["ours"]["seconds"]) - 1
    for n in sorted({0, 1, last}):
        theirs, our = (np.array([run[side]["seconds"][n] for run in runs]) for side in ("official", "ours"))
        ratio = np.median(theirs / our)
        print(f"click {n + 1:2}: official {np.median(theirs):8.3f} s, ours {np.median(our):8.3f} s, {ratio:6.1f} times")
    if "as-shipped" in runs[0]:
        print(f"click  2 as shipped: {np.median([run['as-shipped']['seconds'][1] for run in runs]):.3f} s")
    mine = runs[-1]["ours"]
    print(f"first answers agree on {agree:.6%} of voxels")
    print(f"{mine['patches']} patch kept in {mine['bytes'] / 2**20:.1f} MiB by the engine {mine['engine']}")
    peaks = {side: f"{np.median([run[side]['peak_gib'] for run in runs]):.2f}" for side in ("official", "ours")}
    print(f"peak GiB above the start: {peaks}")


if __name__ == "__main__":
    main()
