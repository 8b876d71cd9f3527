"""Train the first shipped model, in two runs; the model card says which.

`python runs/train_small_v1.py --data DATA --work ONE`, then
`python runs/train_small_v1.py --data DATA --work TWO --start ONE --steps 2600 --rate 1e-3 --torso 0.4 --others 12`,
because at a tenth of the patches the one torso scan had taught nothing. Reads the public scans described in the model
card, computes body and lung by physics, and trains the automatic branch. Killed at any time, it goes on from its last
saved step. `export_small_v1.py` writes the averaged weights.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import prosect
from prosect.networks.vista3d import Architecture, vista3d
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan

ARCHITECTURE = Architecture(width=16, blocks=(1, 1, 2, 2, 1), interactive=False)
SPACING_MM = 4.0
PATCH = (48, 48, 48)
HU_WINDOW = (-963.8247715525971, 1053.678477684517)

HEAD_NECK = {1: 220, 2: 121, 3: 205, 4: 204, 5: 11, 6: 210, 7: 347}  # label of the head-neck set -> class index
NAMES = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")
TORSO = {  # label of the torso reference -> class index
    40: 1, 77: 3, 39: 5, 38: 14, 78: 12, 3: 6, 37: 7, 9: 62, 76: 19, 80: 15, 73: 97, 27: 95, 28: 96, 13: 93, 14: 94,
    4: 104, 5: 105, 35: 106, 36: 107, 16: 98, 17: 99, 18: 100, 19: 101, 46: 4, 11: 11, 92: 33, 91: 34, 90: 35, 89: 36,
    88: 37,
}  # fmt: skip
LUNG_LOBES = (41, 42, 43, 44, 45)
LUNG, BODY = 20, 346
CLASSES = (*sorted({*HEAD_NECK.values(), *TORSO.values()}), LUNG, BODY)
NESTED = {LUNG: 0, BODY: 1}  # class index -> bit
ABSENT_IN_NECK = {*TORSO.values()} - {11, 104, 105}
ABSENT_IN_TORSO = {220, 205, 204, 210, 347}


def load_ras(path: Path) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Return intensities with axes nearest to RAS, and their spacing."""
    volume = prosect.read(path)
    order = volume.grid.to_ras()
    return np.ascontiguousarray(order.apply(volume.array)), volume.grid.reorder(order).spacing_mm


def body_mask(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the largest solid component with its holes filled slice by slice."""
    solid = ndimage.binary_opening(hu > -300, iterations=1)
    parts, count = ndimage.label(solid)
    if count == 0:
        return np.zeros(hu.shape, dtype=bool)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = parts == sizes.argmax()
    return np.stack([ndimage.binary_fill_holes(body[:, :, k]) for k in range(hu.shape[2])], axis=2)


def lung_mask(
    hu: NDArray[np.float32], body: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[NDArray[np.bool_], bool]:
    """Return aerated lung, and whether that is certain.

    Lung is large air inside the body, denser than the gas of gut, larynx and trachea. Where its
    largest part is between 20 and 150 mL it may be an apex or a wide pharynx: such a scan says nothing about lungs.
    """
    air = (hu < -400) & body
    reach = [max(1, round(7.0 / s)) for s in spacing]
    ball = np.ones([2 * r + 1 for r in reach], dtype=bool)
    core = ndimage.binary_opening(air, ball)
    parts, count = ndimage.label(ndimage.binary_dilation(core, ball) & air)
    lung, largest = np.zeros(hu.shape, dtype=bool), 0.0
    voxel_ml = float(np.prod(spacing)) / 1000
    for part in range(1, count + 1):
        inside = parts == part
        volume_ml = inside.sum() * voxel_ml
        if volume_ml > 20 and -930 < float(hu[inside].mean()) < -550:
            largest = max(largest, volume_ml)
            lung |= inside
    return lung, largest == 0.0 or largest > 150


def scan_of(
    name: str,
    hu: NDArray[np.float32],
    spacing: tuple[float, float, float],
    labels: NDArray[np.uint8],
    known: set[int],
    lung: NDArray[np.bool_] | None = None,
) -> TrainingScan:
    """Assemble a scan; body is always known, lung where its voxels were given or physics is certain."""
    body = body_mask(hu)
    certain = True
    if lung is None:
        lung, certain = lung_mask(hu, body, spacing)
    nested = (lung.astype(np.uint8) << NESTED[LUNG]) | (body.astype(np.uint8) << NESTED[BODY])
    low, high = HU_WINDOW
    scaled = np.clip((hu - low) / (high - low), 0, 1).astype(np.float16)
    known = known | {BODY} | ({LUNG} if certain else set())
    mask = np.array([c in known for c in CLASSES])
    present = tuple(int(v) for v in np.unique(labels) if v)
    return TrainingScan(name, scaled, labels, nested, spacing, present, mask)


def local(index: int) -> int:
    """Return the stored label of a class index (0 is background)."""
    return CLASSES.index(index) + 1


def head_neck_scans(folder: Path, split: str) -> list[TrainingScan]:
    """Return the head-neck scans of a split (`train` or `valid`)."""
    scans = []
    names = dict(zip(NAMES, HEAD_NECK.values(), strict=True))
    with (folder / "cases.tsv").open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if not row["case"].startswith(split):
                continue
            hu, spacing = load_ras(folder / f"{row['case']}_ct.nii.gz")
            organs, _ = load_ras(folder / f"{row['case']}_oars.nii.gz")
            labels = np.zeros(hu.shape, dtype=np.uint8)
            for value, index in HEAD_NECK.items():
                labels[organs == value] = local(index)
            known = {names[s] for s in row["labelled"].split("|") if s} | ABSENT_IN_NECK
            scans.append(scan_of(row["case"], hu, spacing, labels, known))
    return scans


def torso_scan(folder: Path) -> TrainingScan:
    """Return the torso scan with its pseudo-labels."""
    hu, spacing = load_ras(folder / "example_ct.nii.gz")
    organs, _ = load_ras(folder / "example_seg_v1_104classes.nii.gz")
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for value, index in TORSO.items():
        labels[organs == value] = local(index)
    return scan_of("torso", hu, spacing, labels, {*TORSO.values()} | ABSENT_IN_TORSO, np.isin(organs, LUNG_LOBES))


def chest_scan(folder: Path) -> TrainingScan:
    """Return the chest scan whose lungs are labelled."""
    hu, spacing = load_ras(folder / "ct-64.nrrd")
    lung, _ = load_ras(folder / "wholeLung-64.nrrd")
    return scan_of("chest", hu, spacing, np.zeros(hu.shape, dtype=np.uint8), ABSENT_IN_TORSO - {210}, lung > 0)


def unlabelled_scans(data: Path) -> list[TrainingScan]:
    """Return scans that teach body, lung, and what an abdomen does not hold."""
    scans = []
    for name, known in (
        ("crlm_ct/CRLM-CT-1004", ABSENT_IN_TORSO),
        ("moose_neck_ct/CT_enhance_pet_1446_neck_slice", set()),
    ):
        hu, spacing = load_ras(data / f"{name}.nii.gz")
        step = tuple(slice(None, None, max(1, int(2.0 / s))) for s in spacing)
        hu = np.ascontiguousarray(hu[step])
        spacing = tuple(s * t.step for s, t in zip(spacing, step, strict=True))  # type: ignore[assignment]
        scans.append(scan_of(name, hu, spacing, np.zeros(hu.shape, dtype=np.uint8), set(known)))
    return scans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=8350)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--torso", type=float, default=0.1, help="share of the patches that show the torso")
    parser.add_argument("--others", type=float, default=3.0, help="weight of each other scan; a head-neck scan has 1-3")
    parser.add_argument(
        "--start", type=Path, help="work folder of an earlier run, whose averaged weights to start from"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, bfloat16=True)
    torch.manual_seed(settings.seed)
    scans = head_neck_scans(args.data / "openkbp", "train")
    # Oesophagus and larynx are labelled in a third and a half of the scans: draw those scans more often.
    rare = [CLASSES.index(c) for c in (11, 210)]
    weights = [1.0 + sum(bool(s.known[q]) for q in rare) for s in scans]
    scans.append(torso_scan(args.data / "totalsegmentator_refs"))
    weights.append(args.torso / (1 - args.torso) * sum(weights))
    for scan in (chest_scan(args.data / "cip_chest64"), *unlabelled_scans(args.data)):
        scans.append(scan)
        weights.append(args.others)
    sampler = PatchSampler(PATCH, SPACING_MM, np.random.default_rng(settings.seed), foreground=0.9)
    nested = {CLASSES.index(c): bit for c, bit in NESTED.items()}
    network = vista3d(ARCHITECTURE)
    if args.start:
        network.load_state_dict(torch.load(args.start / "state.pt", weights_only=True)["average"])
    source = PatchSource(scans, weights, sampler)
    objective = AutomaticObjective(
        network, CLASSES, nested, source, sampler.generator, settings.bfloat16, background=0.3
    )
    loop = TrainingLoop(network, objective, sampler.generator, settings, args.work)
    loop.resume()
    (args.work / "classes.json").write_text(json.dumps(CLASSES))
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
