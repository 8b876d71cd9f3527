"""Two models together against each alone: mean Dice by number of clicks on the same scans, structures and click rules.

`python experiments/hybrid.py LIST --split validation --limit 8 --whole FILE` takes a data list, SAM-Med3D weights for
the whole object, and for its refinement the shipped model or `--fine FILE`. Every model is clicked by `--rules` in a
session of its own from nothing, so each meets clicks on its own errors. Intervals are 95 %, by drawing scans.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

import prosect
from prosect.data.datalist import DataList, read_datalist
from prosect.data.labels import read_labelled
from prosect.evaluation.clickers import RULES
from prosect.evaluation.protocols import Rules, clicked_targets, clicks
from prosect.evaluation.scores import Row
from prosect.evaluation.summary import Mean, curve
from prosect.models.hybrid import HybridModel

SHOWN = (1, 3, 5)


def judged(model: Any, scans: DataList, rules: Rules, seed: int) -> list[Row]:
    """Return a row after each click on each structure of each scan."""
    rows: list[Row] = []
    for entry in scans:
        scan = read_labelled(entry, scans)
        generator = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
        targets = clicked_targets(scan, model.vocabulary, zero_shot=rules.zero_shot)
        rows += clicks(scan, model, targets, rules, generator)
    return rows


def line(name: str, rows: list[Row], seed: int) -> str:
    """Return a line of the table: Dice after some clicks with its interval, and the median seconds of a click."""
    found = curve(rows, np.random.default_rng(seed))
    if found is None:
        return f"| {name} | nothing to judge |"
    by_clicks: dict[int, Mean] = dict(zip(found.clicks, found.dice, strict=True))
    held = [by_clicks[n] for n in SHOWN if n in by_clicks]
    words = [f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]" for mean in held]
    return f"| {name} | {' | '.join(words)} | {np.median([row.seconds for row in rows]):.2f} |"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="a data list")
    parser.add_argument("--whole", type=Path, required=True, help="SAM-Med3D weights")
    parser.add_argument("--fine", type=Path, help="weights that refine; the shipped model's by default")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, default=8, help="scans")
    parser.add_argument("--rules", choices=sorted(RULES), default="person")
    parser.add_argument("--zero-shot", action="store_true", help="click structures as objects without a name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    listed = read_datalist(args.list).part(args.split)
    scans = DataList(listed.entries[: args.limit], listed.mappings, listed.vocabulary)
    whole = prosect.load("sam-med3d", weights=args.whole, device="cpu")
    fine = prosect.load(weights=args.fine, device="cpu")
    rules = Rules(clicker=args.rules, count=max(SHOWN), zero_shot=args.zero_shot)
    print(f"{len(scans)} scans of {args.list.name}, {args.split}; clicks by '{args.rules}'")
    print(f"| model | {' | '.join(f'{n} click' + 's' * (n > 1) for n in SHOWN)} | seconds a click |")
    print(f"|---{'|---' * len(SHOWN)}|---|")
    for name, model in {
        "refining model alone": fine,
        "SAM-Med3D alone": whole,
        "both": HybridModel(whole, fine),
    }.items():
        print(line(name, judged(model, scans, rules, args.seed), args.seed), flush=True)


if __name__ == "__main__":
    main()
