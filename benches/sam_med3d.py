"""SAM-Med3D's encoder and one training step of a block against medim's: same weights, one process per run.

`python benches/sam_med3d.py --runs 3` interleaves the two at the published size (100 million parameters, crop 128). It
prints the seconds of the encoder and of a click on an encoded crop, their ratios, how far the answers agree, and for
one windowed block the memory of a forward and backward pass: the peak above the start, and what is kept for the
backward pass, counted tensor by tensor. Needs `official`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches.automatic import Peak

CLICKS = 3
SIZES = {"image_size": "crop", "vit_patch_size": "patch", "encoder_embed_dim": "width", "encoder_depth": "depth"}


def official_network(args: argparse.Namespace) -> Any:
    """Return medim's network with random weights; those that begin at zero get a random part, so that each matters."""
    import medim
    import torch

    torch.manual_seed(0)
    asked = {theirs: getattr(args, ours) for theirs, ours in SIZES.items()}
    with contextlib.redirect_stdout(io.StringIO()):
        network = medim.create_model("SAM-Med3D", **asked).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                weight.normal_(std=0.1)
    return network


def our_network(args: argparse.Namespace) -> Any:
    """Return ours with the same weights."""
    from prosect.checkpoints.files import RawWeights
    from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d

    return fit_sam_med3d(RawWeights(dict(official_network(args).state_dict()), "", "torch"))[0]


def click_of(which: str, network: Any) -> Callable[..., Any]:
    """Return the function that answers a click on an encoded crop."""
    import torch

    def ask(features: Any, point: list[float], label: int, previous: Any) -> Any:
        points, labels = torch.tensor([[point]]), torch.tensor([[label]])
        if which == "ours":
            return network.refine(features, points, labels, previous)
        sparse, dense = network.prompt_encoder(points=[points, labels], boxes=None, masks=previous)
        pe = network.prompt_encoder.get_dense_pe()
        return network.mask_decoder(features, pe, sparse, dense)[0]

    return ask


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def inference(which: str, args: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """Return the seconds of one side and its last answer."""
    import torch

    network = our_network(args) if which == "ours" else official_network(args)
    encode = network.embed if which == "ours" else network.image_encoder
    ask = click_of(which, network)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(1, 1, *(args.crop,) * 3)).astype(np.float32))
    side = 4 * args.crop // args.patch
    with torch.inference_mode(), Peak() as peak:
        features, wall, cpu = timed(lambda: encode(image))
        answer, clicks = torch.zeros(1, 1, side, side, side), []
        for n in range(CLICKS):
            point = (rng.random(3) * args.crop).tolist()
            answer, seconds, _ = timed(lambda p=point, n=n, a=answer: ask(features, p, n % 2, a))
            clicks.append(seconds)
    return {"encoder": wall, "encoder_cpu": cpu, "click": min(clicks), "peak": peak.gib}, answer.numpy()


def training(which: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return time and memory of one windowed block, forward and backward."""
    import torch

    network = our_network(args) if which == "ours" else official_network(args)
    block = network.image_encoder.blocks[0].requires_grad_(True)
    grid = args.crop // args.patch
    tokens = torch.randn(1, grid, grid, grid, args.width, generator=torch.Generator().manual_seed(0))
    for weight in block.parameters():
        weight.grad = torch.zeros_like(weight)
    kept: dict[int, int] = {}

    def count(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {weight.untyped_storage().data_ptr() for weight in block.parameters()}
    with Peak() as peak:
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            out, forward, _ = timed(lambda: block(tokens))
        held = sum(size for place, size in kept.items() if place not in weights)
        _, backward, _ = timed(lambda: out.square().mean().backward())
    return {"step": forward + backward, "kept_mib": held / 2**20, "peak_mib": peak.gib * 1024}


def child(which: str, what: str, folder: Path, args: argparse.Namespace) -> None:
    """Run one side once, leave its answer in a file, and print what it took."""
    import torch

    torch.set_num_threads(args.threads)
    if what == "training":
        print(json.dumps(training(which, args)))
        return
    found, answer = inference(which, args)
    np.save(folder / f"{which}.npy", answer)
    print(json.dumps(found))


def measure(which: str, what: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return one side's report from a process of its own."""
    numbers = [str(n) for name in (*SIZES.values(), "threads") for n in (f"--{name}", getattr(args, name))]
    words = [sys.executable, __file__, "--child", which, "--what", what, "--folder", str(folder), *numbers]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--child", choices=("ours", "official"), help=argparse.SUPPRESS)
    parser.add_argument("--what", choices=("inference", "training"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.what, args.folder, args)
        return
    sides = ("official", "ours")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [
            {(side, what): measure(side, what, folder, args) for what in ("inference", "training") for side in sides}
            for _ in range(args.runs)
        ]
        theirs, ours = (np.load(folder / f"{side}.npy") for side in sides)
    for what, keys in (("inference", ("encoder", "encoder_cpu", "click", "peak")),
                       ("training", ("step", "kept_mib", "peak_mib"))):  # fmt: skip
        for key in keys:
            a, b = (np.array([run[side, what][key] for run in runs]) for side in sides)
            print(f"{key:12} official {np.median(a):9.3f}  ours {np.median(b):9.3f}  {np.median(a / b):6.2f} times")
    print(f"answers after {CLICKS} clicks differ by {np.abs(ours - theirs).max() / theirs.std():.1e} of their spread")


if __name__ == "__main__":
    main()
