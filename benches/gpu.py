"""What a GPU does, in one run of at most six minutes: is it right, how fast is each stage, does the plan hold.

`python benches/gpu.py` checks first that small shapes give the processor's answer, then times the sizes of the paper's
Table 2 by stage, the same by MONAI's pipeline where that is installed and time is left, clicks, a training step, and
SAM-Med3D. Every step is written to `--log` as it ends: started again with the same file the script goes on where it
stopped, and at the end it prints what it reached. Random weights of the published size unless `--weights` names some.

The figures that others state for such scans stand beside ours; they are from their machines, not from this one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

MINUTES = 6.0
SIZES = ((333, 333, 603), (512, 512, 512), (512, 512, 768), (1024, 1024, 512), (1024, 1024, 768))
CLASSES = 117
SPACING_MM = 1.5
ANCHORS = (
    "stated by others, on their machines: TotalSegmentator 29.9 s (240 x 220 x 200) and 377 s (512 x 512 x 531), "
    "KonfAI's run of its weights 7.6 s and 212 s, each on one GPU of 24 GB; FastSegmentator: 2 to 9 times as fast as "
    "TotalSegmentator; VISTA3D's paper (Table 2), on a V100: about 60 s for 333 x 333 x 603"
)
Step = Callable[[], dict[str, Any]]


def scan_of(shape: tuple[int, int, int]) -> Any:
    """Return a smooth random scan in Hounsfield units without air, so that no window is skipped."""
    import torch

    import prosect

    coarse = torch.from_numpy(np.random.default_rng(0).normal(300, 120, (1, 1, 12, 12, 12))).float().clamp(min=20)
    array = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")[0, 0].numpy()
    return prosect.Volume(array, prosect.Grid(shape, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])))


def model_on(device: str, weights: Path | None, precision: str = "auto") -> Any:
    """Return the published network, with random weights where none are given."""
    import torch

    import prosect
    from prosect.networks.vista3d import vista3d

    if weights is None:
        weights = Path("gpu_bench_random.pt")
        if not weights.exists():
            torch.manual_seed(0)
            torch.save(vista3d().state_dict(), weights)
    return prosect.load("vista3d", weights=weights, device=device, precision=precision)


def settle() -> None:
    """Wait for the GPU."""
    import torch

    torch.cuda.synchronize()


def right(args: argparse.Namespace, precision: str, least: float) -> dict[str, Any]:
    """Compare a small scan with the processor's answer."""
    scan, found = scan_of((96, 80, 72)), []
    for device, exact in (("cpu", "float32"), (args.device, precision)):
        model = model_on(device, args.weights, exact)
        model = replace(model, spec=replace(model.spec, window=(64, 64, 64)))
        found.append(model.segment(scan, list(range(1, 12))).array)
    equal = float((found[0] == found[1]).mean())
    return {"equal": equal, "right": equal >= least}


def sized(args: argparse.Namespace, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Segment one size, all classes, and return seconds by stage and memory against the plan."""
    import torch

    model = model_on(args.device, args.weights)
    scan = scan_of(shape)
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    labels = model.segment(scan, list(model.vocabulary.everything("CT"))[:CLASSES])
    settle()
    seconds, peak = time.perf_counter() - started, torch.cuda.max_memory_allocated()
    plan = model.plan(scan).peak
    stages = labels.provenance["seconds"]
    return {"seconds": seconds, "stages": stages, "peak_gib": peak / 2**30, "plan_gib": plan / 2**30}


def official(args: argparse.Namespace) -> dict[str, Any]:
    """Time MONAI's network and window inferer on the first size."""
    import sys

    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from monai.apps.vista3d.inferer import point_based_window_inferer  # noqa: F401  that the extra is there
    from monai.inferers import SlidingWindowInfererAdapt
    from tests.official import monai_pipeline

    net = monai_pipeline.network(0, 48).to(args.device).eval()
    classes = torch.arange(1, CLASSES + 1, device=args.device)[:, None]
    image = torch.rand(1, 1, *SIZES[0], device=args.device)
    inferer = SlidingWindowInfererAdapt(roi_size=(128, 128, 128), sw_batch_size=1, overlap=0.25, with_coord=True)
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cuda"):
        inferer(image, lambda x, *_, **__: net(input_images=x, class_vector=classes, patch_coords=None))
    settle()
    return {"seconds": time.perf_counter() - started}


def clicks(args: argparse.Namespace) -> dict[str, Any]:
    """Time the first click on a patch, and later ones."""
    model = model_on(args.device, args.weights)
    session = model.session(scan_of((160, 160, 160)))
    seconds = []
    for n in range(6):
        started = time.perf_counter()
        session.click((60.0 + 3 * n, 60.0, 60.0), "liver")
        settle()
        seconds.append(time.perf_counter() - started)
    return {"first": seconds[0], "later": float(np.median(seconds[1:]))}


def training(args: argparse.Namespace) -> dict[str, Any]:
    """Time a step of the automatic branch in mixed bfloat16 on one patch of 128 voxels."""
    import torch

    from prosect.networks.vista3d import vista3d

    network = vista3d().to(args.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-5)
    image = torch.rand(1, 1, 128, 128, 128, device=args.device)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = network(image, range(1, 33)).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        settle()
        seconds.append(time.perf_counter() - started)
    return {"step": min(seconds), "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def sam_med3d(args: argparse.Namespace) -> dict[str, Any]:
    """Compare and time SAM-Med3D's encoder in mixed bfloat16 and in float32."""
    import torch

    from prosect.networks.sam_med3d import SamMed3D

    torch.manual_seed(0)
    network = SamMed3D().to(args.device).eval()
    image = torch.rand(1, 1, 128, 128, 128, device=args.device)
    found, seconds = [], []
    for low in (False, True):
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=low):
            network.embed(image)
            settle()
            started = time.perf_counter()
            found.append(network.embed(image).float())
            settle()
        seconds.append(time.perf_counter() - started)
    error = float((found[0] - found[1]).norm() / found[0].norm())
    return {"float32": seconds[0], "bfloat16": seconds[1], "error": error}


def steps(args: argparse.Namespace) -> dict[str, Step]:
    """Return every step by name, in order: what is right before what is fast, what is small before what is large."""
    found: dict[str, Step] = {
        "right float32": lambda: right(args, "float32", 0.999),
        "right bfloat16": lambda: right(args, "bfloat16", 0.9),
        "clicks": lambda: clicks(args),
        "training step": lambda: training(args),
        "sam-med3d": lambda: sam_med3d(args),
    }
    for number, shape in enumerate(SIZES):
        found[" x ".join(map(str, shape))] = lambda shape=shape: sized(args, shape)  # type: ignore[misc]
        if number == 0:
            found["monai " + " x ".join(map(str, shape))] = lambda: official(args)
    return found


def run(todo: dict[str, Step], log: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> list[str]:
    """Do what the log does not hold yet until the time is up, and return a line for each step.

    A step that fails is logged with its reason and not tried again; the others go on.
    """
    done = {}
    if log.exists():
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            done[entry["step"]] = entry
    stop = clock() + seconds
    for name, step in todo.items():
        if name in done or clock() >= stop:
            continue
        try:
            entry = {"step": name, **step()}
        except Exception as error:
            entry = {"step": name, "failed": f"{type(error).__name__}: {error!s:.200}"}
        done[name] = entry
        with open(log, "a") as handle:
            handle.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)
    lines = []
    for name in todo:
        lines.append(f"{name}: {json.dumps(done[name]) if name in done else 'not reached; run it again'}")
    return lines


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--log", type=Path, default=Path("gpu_bench.jsonl"))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    args = parser.parse_args()
    for line in run(steps(args), args.log, 60 * args.minutes):
        print(line)
    print(ANCHORS)


if __name__ == "__main__":
    main()
