"""Automatic segmentation against MONAI's own pipeline: same weights, same scan, same profile, one process per run.

`python benches/automatic.py --width 48 --size 160 --classes 117 --runs 2` interleaves the two and prints wall and CPU
seconds, peak memory above the loaded model, the ratio run by run, and how many voxels agree. `--precisions float32
bfloat16` runs ours in both, by the engine that a model takes itself; `--busy 2` has so many neighbours compute
meanwhile. Needs `official`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches.engine import neighbours


def make_scan(path: Path, size: int) -> None:
    """Write a smooth random scan of positive HU, so that nothing is cropped and no window is empty."""
    import nibabel
    import torch

    coarse = torch.from_numpy(np.random.default_rng(0).normal(300, 120, (1, 1, 12, 12, 12))).clamp(min=20)
    array = torch.nn.functional.interpolate(coarse, size=(size,) * 3, mode="trilinear")[0, 0].numpy()
    nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), np.diag([1.5, 1.5, 1.5, 1.0])), path)


def make_weights(path: Path, width: int) -> None:
    """Write random weights of the official network."""
    import torch
    from tests.official import monai_pipeline

    torch.save(monai_pipeline.network(0, width).state_dict(), path)


class Peak:
    """The largest resident size while the block runs, above its size at the start, in GiB."""

    def __enter__(self) -> Peak:
        self.process = psutil.Process()
        self.start = self.top = self.process.memory_info().rss
        self.running = True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.top = max(self.top, self.process.memory_info().rss)
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()
        self.gib = (self.top - self.start) / 2**30


def child(which: str, folder: Path, classes: list[int], patch: int) -> None:
    """Run one side once and print what it took."""
    scan, weights = folder / "scan.nii.gz", folder / "weights.pt"
    report: dict[str, object] = {}
    if which == "official":
        import torch
        from tests.official import monai_pipeline

        width = torch.load(weights, weights_only=True)["class_head.mlp.0.weight"].shape[0]
        net = monai_pipeline.network(0, int(width))

        def work() -> np.ndarray:
            return monai_pipeline.run(net, scan, classes, "bundle", (1.5, 1.5, 1.5), (patch,) * 3)
    else:
        from dataclasses import replace

        import prosect

        model = prosect.load("vista3d", weights=weights, device="cpu", profile="bundle", precision=which)
        report["engine"] = model.engine_used
        model = replace(model, spec=replace(model.spec, window=(patch,) * 3))

        def work() -> np.ndarray:
            volume = prosect.read(scan)
            labels = model.segment(volume, classes)
            report["seconds_inside"] = labels.provenance["seconds"]
            report["planned_gib"] = model.plan(volume, classes).peak / 2**30
            return labels.array

    before = resource.getrusage(resource.RUSAGE_SELF)
    with Peak() as peak:
        started = time.perf_counter()
        array = work()
        wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    np.save(folder / f"{which}.npy", array.astype(np.uint16))
    print(json.dumps({"wall": wall, "cpu": cpu, "peak_gib": peak.gib, **report}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--classes", type=int, default=117)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--precisions", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--busy", type=int, default=0, help="neighbours that compute meanwhile")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    from prosect import vocabulary

    classes = list(vocabulary.load("vista3d-ct").everything("CT"))[: args.classes]
    if args.child:
        child(args.child, args.folder, classes, args.patch)
        return
    with tempfile.TemporaryDirectory() as name, neighbours(args.busy):
        folder = Path(name)
        make_scan(folder / "scan.nii.gz", args.size)
        make_weights(folder / "weights.pt", args.width)
        ratios: dict[str, list[float]] = {which: [] for which in args.precisions}
        for _ in range(args.runs):
            found = {}
            for which in ("official", *args.precisions):
                same = ["--width", str(args.width), "--classes", str(args.classes), "--patch", str(args.patch)]
                command = [sys.executable, __file__, "--child", which, "--folder", name, *same]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found[which] = json.loads(out.strip().splitlines()[-1])
                print(which, json.dumps(found[which]), flush=True)
            for which, so_far in ratios.items():
                so_far.append(found["official"]["wall"] / found[which]["wall"])
        official = np.load(folder / "official.npy")
        for which, each in ratios.items():
            equal = float((official == np.load(folder / f"{which}.npy")).mean())
            print(
                f"width {args.width}, {args.size}^3, {args.classes} classes, {which}: official over prosect "
                f"{', '.join(f'{r:.2f}' for r in each)}; equal voxels {100 * equal:.4f} %"
            )


if __name__ == "__main__":
    main()
