"""Why the `prosect` profile is what it is: Dice and seconds of other choices, one change at a time.

`python experiments/profiles.py --data OPENKBP [--weights FILE] [--every N]` segments head-neck validation scans with
the shipped model and prints a Markdown table. Times are of the whole `segment` call, variants interleaved scan by scan.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import prosect

VARIANTS: dict[str, dict[str, Any]] = {
    "prosect": {},
    "overlap 0": {"overlap": 0.0},
    "overlap 0.5": {"overlap": 0.5},
    "overlap 0.625": {"overlap": 0.625},
    "constant blending": {"blending": "constant"},
    "zero padding to full windows": {"padding": "constant", "fit_windows": False},
    "nearest labels": {"interpolation": "nearest"},
    "no crop to content": {"crop": None},
}
STRUCTURES = {
    "Brainstem": (1, "Brain-Stem"), "SpinalCord": (2, "spinal cord"), "RightParotid": (3, "right parotid"),
    "LeftParotid": (4, "left parotid"), "Esophagus": (5, "esophagus"), "Larynx": (6, "larynx"),
    "Mandible": (7, "mandible"),
}  # fmt: skip


def variant(model: Any, changes: dict[str, Any]) -> Any:
    """Return the model under a changed profile."""
    changes = dict(changes)
    chosen = model.profile
    if "crop" in changes:
        chosen = replace(chosen, preparation=replace(chosen.preparation, crop_above=changes.pop("crop")))
    return replace(model, profile=replace(chosen, **changes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    model = prosect.load(weights=args.weights, device="cpu")
    models = {name: variant(model, changes) for name, changes in VARIANTS.items()}
    with (args.data / "cases.tsv").open() as table:
        cases = [row for row in csv.DictReader(table, delimiter="\t") if row["case"].startswith("valid")]
    dice: dict[str, dict[str, list[float]]] = {name: {s: [] for s in STRUCTURES} for name in models}
    seconds = dict.fromkeys(models, 0.0)
    for row in cases[:: args.every]:
        volume = prosect.read(args.data / f"{row['case']}_ct.nii.gz")
        truth = prosect.read_labels(args.data / f"{row['case']}_oars.nii.gz").array
        for name, chosen in models.items():
            started = time.perf_counter()
            labels = chosen.segment(volume)
            seconds[name] += time.perf_counter() - started
            for structure in row["labelled"].split("|"):
                value, label = STRUCTURES[structure]
                found, drawn = labels.mask(label), truth == value
                dice[name][structure].append(2 * float((found & drawn).sum()) / float(found.sum() + drawn.sum()))
    print(f"{len(cases[:: args.every])} scans\n\n| variant | mean Dice | seconds per scan |\n|---|---|---|")
    for name, by_structure in dice.items():
        mean = np.mean([np.mean(values) for values in by_structure.values() if values])
        print(f"| {name} | {mean:.4f} | {seconds[name] / len(cases[:: args.every]):.2f} |")


if __name__ == "__main__":
    main()
