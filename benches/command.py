"""From the command to the file: `prosect segment` with the shipped models, each engine in turn.

`python benches/command.py SCAN --ways auto:float32 modules:float32 auto:bfloat16` starts the command anew each
time, Python and all its libraries included, and prints the medians of the seconds waited and of the CPU seconds. The
first round is not counted: in it the engine is chosen.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def run(scan: Path, way: str, output: Path) -> tuple[float, float]:
    """Return the seconds waited and the CPU seconds of one command."""
    engine, precision = way.split(":")
    words = ["segment", str(scan), "-o", str(output), "--overwrite", "--quiet"]
    words += ["--engine", engine, "--precision", precision]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "prosect", *words], check=True)
    waited, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return waited, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--ways", nargs="+", default=["auto:float32", "modules:float32"], help="ENGINE:PRECISION")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in args.ways}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 + args.rounds):
            for way in args.ways:
                taken[way].append(run(args.scan, way, Path(folder) / "labels.nii.gz"))
    for way, costs in taken.items():
        waited, computed = np.median(costs[1:], axis=0)
        print(f"{way:20} {waited:6.2f} s, {computed:6.2f} CPU s")


if __name__ == "__main__":
    main()
