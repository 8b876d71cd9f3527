"""Train the interactive branch of the first shipped model, its encoder and automatic branch left as they are.

Two runs: `python runs/train_small_clicks.py --data DATA --automatic WORK --work ONE --patch 32`, then the same with
`--work TWO --start ONE --patch 48 --rate 1e-3`: in small patches an object is found sooner, in large ones it is whole.
The first starts from the averaged weights of `train_small_v1.py`; the interactive decoder begins as a copy of the
automatic one. Only CT is trained on, so that MR shows what a modality never seen gives; the tumours of the thigh are
held out, too. Killed at any time, it goes on from its last saved step. Not shipped: after 4,500 steps at 32 voxels
answers are little more than balls around the clicks (mean Dice on validation patches 0.28 after one click, 0.40 after
five).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prosect.networks.vista3d import Vista3D, vista3d
from prosect.training.interactive import InteractiveObjective
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.point_start import look_where_clicked
from train_small_v1 import (
    ARCHITECTURE,
    HEAD_NECK,
    LUNG,
    LUNG_LOBES,
    NESTED,
    SPACING_MM,
    chest_scan,
    head_neck_scans,
    load_ras,
    local,
    scan_of,
)

CLICKABLE = replace(ARCHITECTURE, interactive=True, point_heads=1, point_downsample=1)
# Above every label of the head-neck scans: structures that only the torso scans have.
TORSO_LABELS = 100


def clickable(scan: TrainingScan) -> TrainingScan:
    """Return a scan whose only nested structure is the lung, and that only where it is known."""
    known = bool(scan.known[local(LUNG) - 1])
    lung = scan.nested & (1 << NESTED[LUNG]) if known else np.zeros_like(scan.nested)
    return replace(scan, nested=lung)


def torso_scans(data: Path) -> list[TrainingScan]:
    """Return CT scans with every structure that another model found in them, whatever it is called."""
    folder = data / "totalsegmentator_refs"
    spine = data / "tptbox_spine"
    sources = [
        (folder / "example_ct.nii.gz", folder / "example_seg_v1_104classes.nii.gz", LUNG_LOBES),
        (folder / "example_ct_dicom", folder / "example_seg_dicom.nii.gz", ()),
        (spine / "sub-ct_label-22_ct.nii.gz", spine / "sub-ct_seg-vert_label-22_msk.nii.gz", ()),
    ]
    scans = []
    for image, found, lobes in sources:
        hu, spacing = load_ras(image)
        values, _ = load_ras(found)
        step = tuple(slice(None, None, max(1, int(2.0 / s))) for s in spacing)
        hu, values = np.ascontiguousarray(hu[step]), np.ascontiguousarray(values[step])
        i, j, k = (s * t.step for s, t in zip(spacing, step, strict=True))
        labels = np.where(values > 0, values + TORSO_LABELS, 0).astype(np.uint8)
        lung: NDArray[np.bool_] = np.isin(values, lobes)
        scans.append(scan_of(image.name, hu, (i, j, k), labels, {LUNG} if lobes else set(), lung))
    return scans


def start(automatic: Path) -> Vista3D:
    """Return the network with the averaged weights of the automatic run, its decoder copied for clicks."""
    network = vista3d(CLICKABLE)
    trained = torch.load(automatic / "state.pt", weights_only=True)["average"]
    network.load_state_dict({**network.state_dict(), **trained})
    network.image_encoder.up_layers.load_state_dict(network.image_encoder.up_layers_auto.state_dict())
    look_where_clicked(network.point_head)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--automatic", type=Path, required=True, help="work folder of train_small_v1.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--torso", type=float, default=0.25, help="share of the patches that show the torso")
    parser.add_argument("--patch", type=int, default=32, help="voxels of the training patch along an axis")
    parser.add_argument("--start", type=Path, help="work folder of an earlier run of this script to start from")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, bfloat16=True)
    torch.manual_seed(settings.seed)
    scans = [clickable(scan) for scan in head_neck_scans(args.data / "openkbp", "train")]
    weights = [1.0 + sum(local(index) in scan.present for index in (11, 210)) for scan in scans]
    torso = [clickable(scan) for scan in (*torso_scans(args.data), chest_scan(args.data / "cip_chest64"))]
    shares = np.array([0.6, 0.2, 0.1, 0.1])
    weights += (shares * args.torso / (1 - args.torso) * sum(weights)).tolist()
    generator = np.random.default_rng(settings.seed)
    sampler = PatchSampler((args.patch,) * 3, SPACING_MM, generator, max_degrees=20.0, zoom=(0.7, 1.6), foreground=0.95)
    network = start(args.automatic)
    if args.start:
        network.load_state_dict(torch.load(args.start / "state.pt", weights_only=True)["average"])
    supported = [local(index) for index in HEAD_NECK.values()] + [-1 - NESTED[LUNG]]
    source = PatchSource([*scans, *torso], weights, sampler)
    objective = InteractiveObjective(network, source, generator, supported, bfloat16=True)
    loop = TrainingLoop(network, objective, generator, settings, args.work, objective.trained())
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
