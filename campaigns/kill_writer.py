"""Kill the writer (SIGKILL) at random moments: the file is the old one or the new one, to the last byte.

python campaigns/kill_writer.py --count 1000

`--naive` writes with open(..., "wb") instead, to show that the kills do hit the writing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import prosect
from prosect import vocabulary
from prosect.geometry import Grid
from prosect.labelmap import LabelMap

SHAPE = (96, 96, 64)


def main() -> int:
    """Print one line of figures; the status is 1 where our file was neither the old nor the new one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="kills (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--naive", action="store_true", help="write without care")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(Path(folder), args.count, args.seed, args.naive)
    print(json.dumps(counts) if args.json else summary(counts, args.naive))
    return int(counts["partial"] > 0 and not args.naive)


def summary(counts: Counter[str], naive: bool) -> str:
    """Return the one line."""
    return (
        f"kill_writer{' (naive)' * naive}: {counts['killed']} kills: {counts['partial']} partial files, "
        f"{counts['old']} times the old file, {counts['new']} times the new one, "
        f"{counts['leftovers']} temporaries left after the next write"
    )


def campaign(folder: Path, count: int, seed: int, naive: bool = False) -> Counter[str]:
    """Return what was found under the name after each of `count` kills."""
    rng = np.random.default_rng(seed)
    grid = Grid(SHAPE, np.diag([1.5, 1.5, 1.5, 1.0]))
    labels = LabelMap(rng.integers(0, 100, SHAPE, dtype=np.uint8), grid, vocabulary.load("vista3d-ct"))
    path = folder / "labels.nii.gz"
    new = prosect.write(labels, path).read_bytes()
    begin = time.perf_counter()
    prosect.write(labels, path)
    lasts = time.perf_counter() - begin
    old = new[: len(new) // 2][::-1]
    write: Callable[[], object] = (lambda: carelessly(path, new)) if naive else (lambda: prosect.write(labels, path))
    counts: Counter[str] = Counter(killed=0, partial=0, old=0, new=0, leftovers=0)
    while counts["killed"] < count:
        path.write_bytes(old)
        if killed(write, float(rng.uniform(0, 0.01 if naive else lasts))):
            found = path.read_bytes()
            counts.update(["killed", "old" if found == old else "new" if found == new else "partial"])
    prosect.write(labels, path)
    counts["leftovers"] = len(list(folder.iterdir())) - 1
    return counts


def carelessly(path: Path, content: bytes) -> None:
    """Write as most programs do, a little at a time."""
    with open(path, "wb") as handle:
        for start in range(0, len(content), 4096):
            handle.write(content[start : start + 4096])
            time.sleep(0.0001)


def killed(write: Callable[[], object], delay_s: float) -> bool:
    """Write in a child process, kill it `delay_s` after it began, and return whether it was still at work."""
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.write(into, b"x")
        write()
        os._exit(0)
    os.read(out, 1)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    _, state = os.waitpid(process, 0)
    os.close(out)
    os.close(into)
    return os.WIFSIGNALED(state)


if __name__ == "__main__":
    sys.exit(main())
