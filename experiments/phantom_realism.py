"""How near the torso phantom comes to people: volumes beside normal ranges, attenuation beside a real CT.

python experiments/phantom_realism.py                                     (12 people, about a minute)
python experiments/phantom_realism.py --real CT.nii.gz LABELS.nii.gz  (beside a scan with TotalSegmentator v1 labels)

The ranges are what is usual in adults, rounded outwards; they are no citation. Volumes count structures that do not
reach the edge of the scan. The overlap is the shared area of two histograms of HU, the phantom's from people
without contrast agent: 1 is alike, 0 has nothing in common.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import prosect
from prosect.measure import measure
from prosect.phantom.body import FIELD_OF_VIEW, body_anatomy, draw_person
from prosect.phantom.people import scan
from prosect.phantom.scanner import covering_grid
from prosect.vocabulary.crosswalk import crosswalk

# Structure: normal volume in mL, least and greatest.
NORMAL: dict[str, tuple[float, float]] = {
    "liver": (900, 2300), "spleen": (70, 420), "right kidney": (90, 260), "left kidney": (90, 270),
    "pancreas": (30, 140), "gallbladder": (6, 70), "stomach": (80, 900), "bladder": (30, 700), "duodenum": (30, 160),
    "aorta": (130, 480), "inferior vena cava": (50, 200), "heart": (330, 1000), "right adrenal gland": (2, 9),
    "left adrenal gland": (2, 9), "small bowel": (250, 1600), "colon": (350, 2200), "thyroid gland": (7, 40),
    "trachea": (20, 90), "esophagus": (20, 70), "vertebrae L1": (38, 90), "vertebrae L3": (40, 95),
    "vertebrae T12": (30, 75), "vertebrae T6": (14, 42), "sacrum": (120, 330), "right hip": (280, 620),
    "left hip": (280, 620), "left autochthon": (400, 1300), "right iliopsoas": (220, 750),
    "left gluteus medius": (150, 600), "left gluteus minimus": (40, 170), "left gluteus maximus": (350, 1500),
    "sternum": (30, 110), "left rib 6": (9, 45), "left scapula": (35, 130), "left clavicula": (14, 60),
    "right lung": (1200, 4200), "left lung": (1000, 3700), "prostate": (15, 110), "spinal cord": (12, 45),
}  # fmt: skip
LUNGS = {"right lung": ("upper", "middle", "lower"), "left lung": ("upper", "lower")}
EDGES = np.arange(-1050.0, 1500.0, 10.0)


def main() -> int:
    """Print the tables; 1 where a mean volume lies outside its range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--spacing", type=float, default=3.0)
    parser.add_argument("--noise", type=float, default=16.0)
    parser.add_argument("--real", type=Path, nargs=2, metavar=("CT", "LABELS"))
    args = parser.parse_args()
    volumes, histograms, means = phantoms(args.people, args.spacing, args.noise)
    real = {} if args.real is None else of_scan(*args.real)
    print(f"| structure | normal mL | phantom mL: least, median, greatest of {args.people} | real mL |")
    print("|---|---|---|---|")
    outside = 0
    for name, (low, high) in NORMAL.items():
        found = sorted(volumes.get(name, []))
        if not found:
            continue
        outside += not low <= float(np.median(found)) <= high
        cut = real.get(name)
        seen = "" if cut is None else f"{cut[0]:.0f}{' (cut)' if cut[3] else ''}"
        print(f"| {name} | {low:.0f}-{high:.0f} | {found[0]:.0f}, {np.median(found):.0f}, {found[-1]:.0f} | {seen} |")
    if real:
        print("\n| structure | phantom native HU: mean, sd | real HU: mean, sd | overlap |\n|---|---|---|---|")
        rows = []
        for name, (_, _, other, _, mean, sd) in real.items():
            if name not in histograms:
                continue
            share = float(np.minimum(normalised(histograms[name]), normalised(other)).sum())
            rows.append(share)
            ours = means[name]
            print(f"| {name} | {np.mean(ours[0]):.0f}, {np.mean(ours[1]):.0f} | {mean:.0f}, {sd:.0f} | {share:.2f} |")
        print(f"\nmedian overlap {np.median(rows):.2f} of {len(rows)} structures")
    return int(outside > 0)


def phantoms(people: int, spacing: float, noise_hu: float) -> tuple[dict, dict, dict]:
    """Return volumes by structure, and native histograms, means and deviations."""
    volumes: dict[str, list[float]] = defaultdict(list)
    histograms: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(EDGES) - 1))
    means: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for seed in range(people):
        generator = np.random.default_rng(seed)
        person = draw_person(generator)
        person = replace(person, enhancement=replace(person.enhancement, moment=0.0, oral=0.0))
        anatomy = body_anatomy(generator, person)
        grid = covering_grid(*FIELD_OF_VIEW, (spacing,) * 3, None)
        volume, labels = scan(anatomy, grid, generator, noise_hu, "torso phantom")
        lungs: dict[str, float] = defaultdict(float)
        for m in measure(labels, volume):
            inside = volume.array[labels.array == m.index]
            histograms[m.name] += np.histogram(inside, EDGES)[0]
            means[m.name][0].append(float(inside.mean()))
            means[m.name][1].append(float(inside.std()))
            side = m.name.split(" ")[0] + " lung"
            if side in LUNGS and m.name.startswith(side):
                lungs[side] += m.volume_ml
            elif not m.touches_border:
                volumes[m.name].append(m.volume_ml)
        for side, total in lungs.items():
            volumes[side].append(total)
    return volumes, histograms, means


def of_scan(image: Path, labels: Path) -> dict[str, tuple]:
    """Return volume, shape, histogram, whether it is cut, mean and deviation of each structure of a real scan."""
    volume = prosect.read(image)
    stored = prosect.io.read_labels(labels)
    values = np.asarray(stored.array)
    found: dict[str, tuple] = {}
    words = prosect.vocabulary.load("prosect")
    for entry in crosswalk("totalsegmentator-v1").entries:
        mask = values == entry.value
        if entry.index is None or mask.sum() < 60:
            continue
        places = np.argwhere(mask)
        cut = bool((places.min(axis=0) == 0).any() or (places.max(axis=0) == np.asarray(mask.shape) - 1).any())
        inside = volume.array[mask]
        ml = float(mask.sum() * volume.grid.voxel_volume_ml)
        counts = np.histogram(inside, EDGES)[0]
        found[words[entry.index].name] = (ml, mask.shape, counts, cut, float(inside.mean()), float(inside.std()))
    return found


def normalised(counts: NDArray) -> NDArray[np.float64]:
    """Return counts as shares of their sum."""
    return counts / max(float(np.sum(counts)), 1.0)


if __name__ == "__main__":
    sys.exit(main())
