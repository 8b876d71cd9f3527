"""Store one scan in all 48 axis orders and segment each: one answer, to the last voxel.

python campaigns/storage_orders.py            (the shipped model on a head-neck phantom)
python campaigns/storage_orders.py --tiny     (a tiny random model)
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import prosect
from killing import tiny_weights
from prosect import models, phantom
from prosect.geometry import AxisOrder
from prosect.volume import Volume
from samples import letter


def main() -> int:
    """Print one line of figures; the status is 1 where there was more than one answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny random model on a small scan")
    parser.add_argument("--profile", default="prosect", help="profile of the model (default: prosect)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=48, help="orders to try (default: 48, all)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = small_scan() if args.tiny else phantom.head_neck(np.random.default_rng(args.seed))[0]
        weights = tiny_weights(Path(folder)) if args.tiny else None
        figures = campaign(scan, weights, args.profile, args.count, Path(folder))
    orders, answers = figures["orders"], figures["answers"]
    print(json.dumps(figures) if args.json else f"storage_orders: {orders} orders, {answers} different answers "
          f"({figures['structures']} structures, profile {args.profile})")  # fmt: skip
    return int(answers != 1)


def small_scan() -> Volume:
    """Return a small asymmetric scan on an oblique grid."""
    values = letter((30, 26, 14)).astype(np.float32)
    return Volume(values, oblique_grid(values.shape), "CT")


def oblique_grid(shape: tuple[int, ...]) -> prosect.Grid:
    """Return a grid turned by 20 degrees."""
    angle, affine = np.radians(20), np.diag([1.4, 1.5, 3.0, 1.0])
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]] @ affine[:2, :2]
    affine[:3, 3] = (-31.5, 12.25, 207.0)
    return prosect.Grid((shape[0], shape[1], shape[2]), affine)


def campaign(scan: Volume, weights: Path | None, profile: str, count: int, folder: Path) -> dict[str, int]:
    """Return how many different answers there were, each brought back to the first order, through files."""
    model = models.load(weights=weights, device="cpu", profile=profile)
    orders = [AxisOrder(axes, flips) for axes in itertools.permutations(range(3))
              for flips in itertools.product((False, True), repeat=3)]  # fmt: skip
    answers, structures = set(), 0
    for order in orders[:count]:
        stored = Volume(order.apply(scan.array).copy(), scan.grid.reorder(order), scan.modality)
        labels = model.segment(prosect.read(prosect.write(stored, folder / "scan.nii.gz"), modality="CT"))
        answers.add(order.inverse().apply(labels.array).tobytes())
        structures = len(labels.present)
    return {"orders": len(orders[:count]), "answers": len(answers), "structures": structures}


if __name__ == "__main__":
    sys.exit(main())
