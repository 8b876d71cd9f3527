"""What a GPU does, in one run of at most six minutes: is it right, how fast is each stage, does the plan hold.

`python benches/gpu.py` checks first that small shapes give the processor's answer, then times the sizes of the paper's
Table 2 by stage, the same by MONAI's pipeline where that is installed and time is left, clicks, a training step, and
SAM-Med3D. Every step is written to `--log` as it ends: started again with the same file the script goes on where it
stopped, and at the end it prints what it reached. Random weights of the published size unless `--weights` names some.
`--tiny` does every step with a small network on small scans, on a processor, too: so the script is known to run.

The figures that others state for such scans stand beside ours; they are from their machines, not from this one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        width: Channels of the network at full resolution.
        blocks: Its residual blocks by level.
        window: Voxels of a window along each axis.
        sizes: The scans that are timed.
        clicked: The scan that is clicked in, voxels along each axis.
        classes: Structures asked for.
        sam: SAM-Med3D's build.
    """

    width: int
    blocks: tuple[int, ...]
    window: int
    sizes: tuple[tuple[int, int, int], ...]
    clicked: int
    classes: int
    sam: str


PUBLISHED = Scale(48, (1, 2, 2, 4, 4), 128, SIZES, 160, CLASSES, "vit_b_ori")
TINY = Scale(8, (1, 1, 1), 16, ((24, 20, 22), (20, 20, 20)), 20, 3, "small")


def scale_of(args: argparse.Namespace) -> Scale:
    """Return how large everything is."""
    return TINY if args.tiny else PUBLISHED


def scan_of(shape: tuple[int, int, int]) -> Any:
    """Return a smooth random scan in Hounsfield units without air, so that no window is skipped."""
    import torch

    import prosect

    coarse = torch.from_numpy(np.random.default_rng(0).normal(300, 120, (1, 1, 12, 12, 12))).float().clamp(min=20)
    array = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")[0, 0].numpy()
    return prosect.Volume(array, prosect.Grid(shape, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])))


def model_on(args: argparse.Namespace, device: str, precision: str = "auto", engine: str = "auto") -> Any:
    """Return the network of a scale, with random weights where none are given."""
    import torch

    import prosect
    from prosect.networks.vista3d import Architecture, vista3d

    scale, weights = scale_of(args), args.weights
    if weights is None:
        weights = args.log.with_name(f"gpu_bench_random_{scale.width}.pt")
        if not weights.exists():
            torch.manual_seed(0)
            torch.save(vista3d(Architecture(scale.width, scale.blocks)).state_dict(), weights)
    model: Any = prosect.load("vista3d", weights=weights, device=device, precision=precision, engine=engine)
    return replace(model, spec=replace(model.spec, window=(scale.window,) * 3))


def settle(device: str) -> None:
    """Wait for the device."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def peak_gib(device: str) -> float:
    """Return the most memory that was taken of the device so far, and begin to count anew; 0 where it counts none."""
    import torch

    if torch.device(device).type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return peak


def right(args: argparse.Namespace, precision: str, least: float, engine: str = "auto") -> dict[str, Any]:
    """Compare a small scan with the processor's answer."""
    shape = (24, 20, 22) if args.tiny else (96, 80, 72)
    scan, found = scan_of(shape), []
    for device, exact, way in (("cpu", "float32", "modules"), (args.device, precision, engine)):
        model = model_on(args, device, exact, way)
        side = min(64, scale_of(args).window)
        model = replace(model, spec=replace(model.spec, window=(side,) * 3))
        found.append(model.segment(scan, list(range(1, 12))).array)
    equal = float((found[0] == found[1]).mean())
    return {"equal": equal, "right": equal >= least}


def sized(args: argparse.Namespace, shape: tuple[int, int, int], engine: str = "auto") -> dict[str, Any]:
    """Segment one size, all classes, and return seconds by stage and memory against the plan."""
    model = model_on(args, args.device, engine=engine)
    scan = scan_of(shape)
    peak_gib(args.device)
    started = time.perf_counter()
    labels = model.segment(scan, list(model.vocabulary.everything("CT"))[: scale_of(args).classes])
    settle(args.device)
    seconds, peak = time.perf_counter() - started, peak_gib(args.device)
    plan = model.plan(scan).peak / 2**30
    return {"seconds": seconds, "stages": labels.provenance["seconds"], "peak_gib": peak, "plan_gib": plan}


def official(args: argparse.Namespace) -> dict[str, Any]:
    """Time MONAI's network and window inferer on the first size."""
    import sys

    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from monai.inferers import SlidingWindowInfererAdapt
    from tests.official import monai_pipeline

    scale = scale_of(args)
    net = monai_pipeline.network(0, scale.width).to(args.device).eval()
    classes = torch.arange(1, scale.classes + 1, device=args.device)[:, None]
    # Its network halves the image four times, so that a window has 32 voxels at least.
    side = max(32, scale.window)
    shape = [max(side, n) for n in scale.sizes[0]]
    image = torch.rand(1, 1, *shape, device=args.device)
    inferer = SlidingWindowInfererAdapt(roi_size=(side,) * 3, sw_batch_size=1, overlap=0.25, with_coord=True)
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast(torch.device(args.device).type, dtype=torch.bfloat16):
        inferer(image, lambda x, *_, **__: net(input_images=x, class_vector=classes, patch_coords=None))
    settle(args.device)
    return {"seconds": time.perf_counter() - started}


def clicks(args: argparse.Namespace) -> dict[str, Any]:
    """Time the first click on a patch, and later ones."""
    model = model_on(args, args.device)
    side = scale_of(args).clicked
    session = model.session(scan_of((side, side, side)))
    seconds = []
    for n in range(6):
        started = time.perf_counter()
        session.click((side / 3 + n, side / 3, side / 3), True, "liver", space="voxel")
        settle(args.device)
        seconds.append(time.perf_counter() - started)
    return {"first": seconds[0], "later": float(np.median(seconds[1:]))}


def training(args: argparse.Namespace) -> dict[str, Any]:
    """Time a step of the automatic branch in mixed bfloat16 on one patch."""
    import torch

    from prosect.networks.vista3d import Architecture, vista3d

    scale = scale_of(args)
    network = vista3d(Architecture(scale.width, scale.blocks)).to(args.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-5, fused=True)
    image = torch.rand(1, 1, *[scale.window] * 3, device=args.device)
    peak_gib(args.device)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        with torch.autocast(image.device.type, dtype=torch.bfloat16):
            loss = network(image, range(1, 33)).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        settle(args.device)
        seconds.append(time.perf_counter() - started)
    return {"seconds": min(seconds), "peak_gib": peak_gib(args.device)}


def sam_med3d(args: argparse.Namespace) -> dict[str, Any]:
    """Compare and time SAM-Med3D's encoder in mixed bfloat16 and in float32."""
    import torch

    from prosect.networks.sam_med3d import BUILDS, SamMed3D

    torch.manual_seed(0)
    build = BUILDS[scale_of(args).sam]
    network = SamMed3D(build).to(args.device).eval()
    image = torch.rand(1, 1, *[build.crop] * 3, device=args.device)
    found, seconds = [], []
    for low in (False, True):
        with torch.inference_mode(), torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=low):
            network.embed(image)
            settle(args.device)
            started = time.perf_counter()
            found.append(network.embed(image).float())
            settle(args.device)
        seconds.append(time.perf_counter() - started)
    error = float((found[0] - found[1]).norm() / found[0].norm())
    return {"float32": seconds[0], "bfloat16": seconds[1], "error": error}


def steps(args: argparse.Namespace) -> dict[str, Step]:
    """Return every step by name, in order: what is right before what is fast, what is small before what is large."""
    # A processor may have no bfloat16, and compiles nothing.
    on_gpu = not str(args.device).startswith("cpu")
    low = "bfloat16" if on_gpu else "auto"
    found: dict[str, Step] = {
        "right float32": partial(right, args, "float32", 0.999),
        "right bfloat16": partial(right, args, low, 0.9),
        "clicks": partial(clicks, args),
        "training step": partial(training, args),
        "sam-med3d": partial(sam_med3d, args),
    }
    for number, shape in enumerate(scale_of(args).sizes):
        name = " x ".join(map(str, shape))
        found[name] = partial(sized, args, shape)
        if number == 0:
            found[f"monai {name}"] = partial(official, args)
            if on_gpu:
                found["right compiled"] = partial(right, args, low, 0.9, "compiled")
                found[f"compiled {name}"] = partial(sized, args, shape, "compiled")
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


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments, those of the process by default, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--log", type=Path, default=Path("gpu_bench.jsonl"))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--tiny", action="store_true", help="a small network on small scans, to try the script itself")
    args = parser.parse_args(argv)
    for line in run(steps(args), args.log, 60 * args.minutes):
        print(line)
    print(ANCHORS)


if __name__ == "__main__":
    main()
