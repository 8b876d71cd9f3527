"""The memory plan against the measured peak, one process per scan: `python benches/memory.py [--weights FILE]`.

The peak is resident memory above the loaded model, the scan included. The scans are stored LPS, as DICOM stores them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
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
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        child(args.child, args.weights)
        return
    for name in SCANS:
        command = [sys.executable, __file__, "--child", name]
        command += ["--weights", str(args.weights)] if args.weights else []
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        plan, peak = json.loads(out.strip().splitlines()[-1])
        print(
            f"{name:<14} planned {plan / 2**30:6.3f} GiB, measured {peak / 2**30:6.3f}, ratio {plan / peak:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
