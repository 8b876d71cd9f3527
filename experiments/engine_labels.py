"""Do the engines and precisions give the modules' labels, and bfloat16 the same Dice, on real scans?

`python experiments/engine_labels.py MODEL SCAN TRUTH "liver=6" ... --ways modules:float32 openvino:bfloat16` segments
one scan in each way. Prints for each the share of voxels with the label of the first way, and Dice against the truth of
the structures that are named with their value there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import prosect


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Dice of two masks."""
    return 2 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("scan", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("structures", nargs="+", help="NAME=VALUE, in the truth")
    parser.add_argument("--ways", nargs="+", default=["modules:float32", "fast:float32"])
    args = parser.parse_args()
    volume = prosect.read(args.scan, modality="CT")
    truth = prosect.read(args.truth).array
    first = None
    for way in args.ways:
        engine, precision = way.split(":")
        model = prosect.require_finds(prosect.load(args.model, device="cpu", engine=engine, precision=precision))
        started = time.process_time()
        labels = model.segment(volume)
        seconds = time.process_time() - started
        array = np.asarray(labels.array)
        first = array if first is None else first
        scores = []
        for pair in args.structures:
            name, value = pair.rsplit("=", 1)
            scores.append(dice(array == model.vocabulary[name].index, truth == int(value)))
        equal = 100 * float((array == first).mean())
        print(
            f"{args.scan.name} {way:20} {equal:9.4f} % equal, Dice {np.mean(scores):.4f}, {seconds:.1f} CPU s",
            flush=True,
        )


if __name__ == "__main__":
    main()
