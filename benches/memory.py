"""The memory plan against the measured peak, one process per scan: `python benches/memory.py [--weights FILE]`.

The peak is resident memory above the loaded model, the scan included. The scans are stored LPS, as DICOM stores them.
`--published` takes the first volume of the paper's Table 2 (333 x 333 x 603 voxels of 1.5 mm) instead, 117 classes, and
random weights of the official network at the shipped width and the official one. Only its corners hold signal: windows
of pure air share one evaluation, which changes the time but not the memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches.automatic import Peak

SCANS = {  # shape, spacing in mm
    "small CT": ((122, 101, 112), (3.0, 3.0, 3.0)),
    "thick slices": ((512, 512, 41), (0.8, 0.8, 5.0)),
    "chest": ((512, 512, 150), (0.75, 0.75, 2.0)),
    "torso": ((512, 512, 400), (0.8, 0.8, 1.5)),
}


PUBLISHED = {"width 16": 16, "width 48": 48}
PUBLISHED_SHAPE = (333, 333, 603)


def published(name: str) -> None:
    """Segment the published size with random weights and print plan and peak in bytes."""
    import torch

    import prosect
    from prosect.networks.vista3d import Architecture, vista3d

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        torch.save(vista3d(Architecture(width=PUBLISHED[name])).state_dict(), Path(folder) / "model.pt")
        model = prosect.load("vista3d", weights=Path(folder) / "model.pt", device="cpu")
    classes = list(model.vocabulary.everything("CT"))
    with Peak() as peak:
        array = np.full(PUBLISHED_SHAPE, -1000, np.float32)
        array[:9, :9, :9] = array[-9:, -9:, -9:] = 300
        volume = prosect.Volume(array, prosect.Grid(PUBLISHED_SHAPE, np.diag([-1.5, -1.5, 1.5, 1.0])))
        model.segment(volume, classes)
    print(json.dumps([model.plan(volume, classes).peak, peak.gib * 2**30]))


def child(name: str, weights: Path | None) -> None:
    """Segment one made-up scan and print plan and peak in bytes."""
    import prosect

    shape, spacing = SCANS[name]
    model = prosect.load(weights=weights, device="cpu")
    warm = prosect.Volume(np.zeros((8, 8, 8), np.float32), prosect.Grid((8, 8, 8), np.eye(4)))
    model.segment(warm)
    with Peak() as peak:
        ramp = np.linspace(0, 40, shape[0], dtype=np.float32)[:, None, None]
        array = 300 * np.sin(ramp + np.linspace(0, 30, shape[2], dtype=np.float32)) + np.zeros(shape, np.float32)
        volume = prosect.Volume(array, prosect.Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])))
        model.segment(volume)
    print(json.dumps([model.plan(volume).peak, peak.gib * 2**30]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        if args.published:
            published(args.child)
        else:
            child(args.child, args.weights)
        return
    for name in PUBLISHED if args.published else SCANS:
        command = [sys.executable, __file__, "--child", name]
        command += ["--weights", str(args.weights)] if args.weights else []
        command += ["--published"] if args.published else []
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        plan, peak = json.loads(out.strip().splitlines()[-1])
        print(
            f"{name:<14} planned {plan / 2**30:6.3f} GiB, measured {peak / 2**30:6.3f}, ratio {plan / peak:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
