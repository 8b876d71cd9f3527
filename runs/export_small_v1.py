"""Write the averaged weights of a run: `python runs/export_small_v1.py --work WORK --data DATA -o FILE`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import prosect
from prosect.case import Intensity
from prosect.checkpoints.files import write_weights
from train_small_v1 import HEAD_NECK, HU_WINDOW, NESTED, SPACING_MM

# Larger than the training patch: on validation scans mean Dice 0.614 instead of 0.587.
WINDOW = (64, 64, 64)
LICENCE = (
    "CC BY 4.0. Trained on OpenKBP (MIT), TotalSegmentator example (Apache-2.0), CRLM-CT (CC BY 4.0), a CIP "
    "chest (BSD-style) and a MOOSE example (Apache-2.0). Research use only."
)


def largest_ml(folder: Path) -> dict[int, float]:
    """Return the largest volume of each head-neck structure in the training scans."""
    largest = dict.fromkeys(HEAD_NECK.values(), 0.0)
    for path in sorted(folder.glob("train*_oars.nii.gz")):
        labels = prosect.read_labels(path)
        counts = np.bincount(labels.array.ravel().astype(np.int64), minlength=max(HEAD_NECK) + 1)
        for value, index in HEAD_NECK.items():
            largest[index] = max(largest[index], round(float(counts[value]) * labels.grid.voxel_volume_ml, 1))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    state = torch.load(args.work / "state.pt", weights_only=True)
    metadata = {
        "format": 1,
        "model": "prosect-small",
        "version": 1,
        "vocabulary": "prosect",
        # The torso classes are kept as rivals only: what one scan taught is too weak to be shown, but without it a
        # torso is full of brainstem.
        "classes": sorted({*HEAD_NECK.values(), *NESTED}),
        "exclusive": [c for c in json.loads((args.work / "classes.json").read_text()) if c not in NESTED],
        "largest_ml": largest_ml(args.data / "openkbp"),
        "preprocessing": {
            "spacing_mm": [SPACING_MM] * 3,
            "patch": list(WINDOW),
            "intensity": asdict(Intensity("window", *HU_WINDOW)),
        },
        "training": {"steps": state["step"], "settings": state["settings"]},
        "licence": LICENCE,
    }
    write_weights(args.output, state["average"], metadata, torch.float16)
    print(f"{args.output}: {args.output.stat().st_size / 2**20:.1f} MiB after {state['step']} steps")


if __name__ == "__main__":
    main()
