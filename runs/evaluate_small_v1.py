"""Dice of an automatic model on labelled head-neck scans, on their own grids.

`python runs/evaluate_small_v1.py --data OPENKBP [--weights FILE] [--every N] [--json FILE]`. A structure
counts where a scan is labelled for it; one that is labelled and not found scores 0. The others are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch

import prosect

NAMES = {
    "Brainstem": (1, "Brain-Stem"),
    "SpinalCord": (2, "spinal cord"),
    "RightParotid": (3, "right parotid"),
    "LeftParotid": (4, "left parotid"),
    "Esophagus": (5, "esophagus"),
    "Larynx": (6, "larynx"),
    "Mandible": (7, "mandible"),
}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Dice overlap of two masks of which at least one is not empty."""
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--split", default="valid")
    parser.add_argument("--every", type=int, default=1, help="use each Nth case")
    parser.add_argument("--profile", default="prosect")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    model = prosect.load("prosect-small", weights=args.weights, device="cpu", profile=args.profile)
    rows = []
    with (args.data / "cases.tsv").open() as table:
        cases = [r for r in csv.DictReader(table, delimiter="\t") if r["case"].startswith(args.split)]
    for row in cases[:: args.every]:
        labels = model.segment(prosect.read(args.data / f"{row['case']}_ct.nii.gz"))
        truth = prosect.read_labels(args.data / f"{row['case']}_oars.nii.gz").array
        for structure in row["labelled"].split("|"):
            value, name = NAMES[structure]
            rows.append({"case": row["case"], "structure": name, "dice": dice(labels.mask(name), truth == value)})
    print(f"{len(cases[:: args.every])} cases")
    means = []
    for _, name in NAMES.values():
        found = [r["dice"] for r in rows if r["structure"] == name]
        if found:
            means.append(float(np.mean(found)))
            print(f"{name:<16}{np.mean(found):.3f}  median {np.median(found):.3f}  n {len(found)}")
    print(f"{'mean':<16}{np.mean(means):.3f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
