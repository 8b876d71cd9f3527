"""Surface Dice: seconds against MONAI's same measure, on masks like organs, and whether both say the same.

`python benches/surface_dice.py [--repeats N] [--json FILE]` needs the `official` extra. Repeats are interleaved, the
fastest counts.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from prosect.evaluation.surface import surface_dice
from prosect.evaluation.surfels import area_vectors
from prosect.geometry import Grid

TOLERANCE_MM = 2.0
# Box and half axes in voxels, and spacing.
ORGANS = {
    "gallbladder": ((60, 60, 60), (14, 10, 12), (1.5, 1.5, 1.5)),
    "kidney": ((100, 100, 100), (20, 18, 38), (1.0, 1.0, 1.5)),
    "liver": ((190, 170, 140), (80, 70, 58), (1.5, 1.5, 1.5)),
}


def masks(name: str) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Return two ellipsoids with ripples that differ by a voxel or two, and their grid."""
    shape, axes, spacing = ORGANS[name]
    place = np.stack(np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij"), -1)
    ripple = 0.03 * np.sin(place / 5).sum(-1)
    found, truth = (
        (((place - shift) / axes) ** 2).sum(-1) < 1 + sign * ripple for shift, sign in ((1.3, -1.0), (0.0, 1.0))
    )
    return found, truth, Grid(shape, np.diag([*spacing, 1.0]))


def theirs(found: np.ndarray, truth: np.ndarray, grid: Grid) -> float:
    """Return MONAI's answer."""
    from monai.metrics import compute_surface_dice

    tensors = [torch.from_numpy(mask)[None, None] for mask in (found, truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            compute_surface_dice(
                *tensors, [TOLERANCE_MM], include_background=True, spacing=grid.spacing_mm, use_subvoxels=True
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    area_vectors()
    rows = []
    print("| organ | ours s | MONAI s | ratio | ours | MONAI |\n|---|---|---|---|---|---|")
    for name in ORGANS:
        found, truth, grid = masks(name)
        seconds: dict[str, list[float]] = {"ours": [], "monai": []}
        values: dict[str, float | None] = {}
        for _ in range(args.repeats):
            for who, measure in (
                ("ours", lambda *given: surface_dice(*given, TOLERANCE_MM)),
                ("monai", theirs),
            ):
                started = time.perf_counter()
                values[who] = measure(found, truth, grid)
                seconds[who].append(time.perf_counter() - started)
        a, b = min(seconds["ours"]), min(seconds["monai"])
        rows.append({"organ": name, "ours_s": a, "monai_s": b, "ratio": b / a, **values})
        print(f"| {name} | {a:.4f} | {b:.3f} | {b / a:.1f} | {values['ours']:.6f} | {values['monai']:.6f} |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
