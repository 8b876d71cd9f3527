"""Run `prosect segment` under limits of memory from far too little to enough: refused with its code, or done.

python campaigns/memory_limit.py --count 20
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import torch

from killing import noise_scan, prepare, tiny_weights
from prosect.cli.main import main as command

DONE, RESOURCES = 0, 5
MORE_BYTES = 320 << 20


def main() -> int:
    """Print one line of figures; the status is 1 where a run ended in any other way than done or refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="limits (default: 20)")
    parser.add_argument("--size", type=int, default=160, help="voxels along an axis of the scan (default: 160)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, said = campaign(Path(folder), args.count, args.size, args.seed)
    others = counts.total() - counts["done"] - counts["refused"]
    print(json.dumps(counts) if args.json else f"memory_limit: {counts.total()} limits: {counts['done']} done, "
          f"{counts['refused']} refused, {others} ended otherwise")  # fmt: skip
    for text in said:
        print(f"  {text}", file=sys.stderr)
    return int(others > 0)


def campaign(folder: Path, count: int, size: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how the command ended under each limit, and what it said where that was neither done nor refused."""
    prepare()
    scan = noise_scan(folder / "scan.nii.gz", np.random.default_rng(seed), size, 1.5)
    words = ["segment", str(scan), "-w", str(tiny_weights(folder)), "-d", "cpu", "-q", "-o"]
    counts: Counter[str] = Counter()
    said = []
    for step in range(count):
        limit = psutil.Process().memory_info().vms + round(MORE_BYTES * (step + 1) / count)
        out = folder / f"labels{step}.nii.gz"
        status, text = limited([*words, str(out)], limit, folder / "errors.txt")
        whole = out.exists() == (status == DONE) and "Traceback" not in text
        outcome = {DONE: "done", RESOURCES: "refused"}.get(status, f"status {status}") if whole else "not whole"
        counts[outcome] += 1
        if outcome not in ("done", "refused"):
            said.append(f"{limit >> 20} MiB: {outcome}: {text[-300:]!r}")
    return counts, said


def limited(words: list[str], limit: int, errors: Path) -> tuple[int, str]:
    """Run a command in a fork under a limit of address space, and return its status and what it said."""
    process = os.fork()
    if process == 0:
        status = 99
        try:
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            torch.set_num_threads(1)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            status = command(words)
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status, errors.read_text(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
