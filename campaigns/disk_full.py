"""Write a result when the disk is almost full: the old result stays, and the error says so.

python campaigns/disk_full.py --count 20

As root on Linux each trial has a small tmpfs of its own; other users get a limit on the size of a file instead, which
stops the writing in the same place.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import prosect
from prosect import vocabulary
from prosect.errors import ResourceError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap

SHAPE = (96, 96, 64)
OLD = b"an older result"
DONE, REFUSED, OTHER = 0, 5, 1


def main() -> int:
    """Print one line of figures; the status is 1 where an old result was harmed or the error was another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="disk sizes (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(Path(folder), args.count, args.seed)
    print(json.dumps(counts) if args.json else f"disk_full: {counts.total()} disks: {counts['old intact']} full with "
          f"the old result intact, {counts['written']} large enough, {counts['harmed']} results harmed")  # fmt: skip
    return int(counts["harmed"] > 0 or counts["old intact"] == 0)


def campaign(folder: Path, count: int, seed: int) -> Counter[str]:
    """Return how writing ended on disks from far too small to just large enough."""
    values = np.random.default_rng(seed).integers(0, 100, SHAPE, dtype=np.uint8)
    labels = LabelMap(values, Grid(SHAPE, np.diag([1.5, 1.5, 1.5, 1.0])), vocabulary.load("vista3d-ct"))
    whole = prosect.write(labels, folder / "whole.nii.gz").read_bytes()
    counts: Counter[str] = Counter()
    for size in np.linspace(len(whole) // 20, len(whole) * 1.1, count).astype(int):
        with small_disk(folder, int(size) + 8192) as (place, limit):
            path = place / "labels.nii.gz"
            path.write_bytes(OLD)
            status = ended(labels, path, limit)
            found, others = path.read_bytes(), len(list(place.iterdir())) - 1
        if status == REFUSED and found == OLD and not others:
            counts["old intact"] += 1
        else:
            counts["written" if status == DONE and found == whole and not others else "harmed"] += 1
    return counts


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[tuple[Path, int | None]]:
    """Yield an empty folder that holds `size` bytes, and None, or a size that no file may exceed."""
    place = folder / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
        ).returncode
    )
    try:
        yield place, None if mounted else size
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
        for path in place.iterdir():
            path.unlink()
        place.rmdir()


def ended(labels: LabelMap, path: Path, limit: int | None) -> int:
    """Write in a child process and return its status."""
    process = os.fork()
    if process == 0:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            prosect.write(labels, path)
        except ResourceError as error:
            os._exit(REFUSED if error.code == "DISK_FULL" else OTHER)
        except BaseException:
            os._exit(OTHER)
        os._exit(DONE)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
