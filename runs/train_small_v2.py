"""Train the interactive branch of the shipped model; encoder and automatic branch stay as they are.

Two runs, from the averaged weights of `train_small_v1.py`: `python runs/train_small_v2.py --data DATA --automatic WORK
--work ONE --patch 32`, then the same with `--work TWO --start ONE --patch 48 --rate 1e-3`: in small patches an object
is found sooner, in large ones it is whole. The interactive decoder begins as a copy of the automatic one. Beside the
scans of the first model it sees synthetic people and warped copies of the one labelled torso. Only CT is trained on,
so that MR shows what a modality never seen gives; the tumours of the thigh are held out, too. Killed at any time, it
goes on from its last saved step.
"""

from __future__ import annotations

import argparse
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import prosect
from prosect import phantom
from prosect.labelmap import LabelMap
from prosect.networks.vista3d import Vista3D, vista3d
from prosect.phantom.warp import recontrast, warp_arrays
from prosect.training.loop import LoopSettings, TrainingLoop
from prosect.training.objectives.interactive import ClickRules, InteractiveObjective
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.volume import Volume
from train_small_v1 import (
    ABSENT_IN_TORSO,
    ARCHITECTURE,
    CLASSES,
    HEAD_NECK,
    LUNG,
    LUNG_LOBES,
    NESTED,
    SPACING_MM,
    TORSO,
    chest_scan,
    head_neck_scans,
    load_ras,
    local,
    scan_of,
    unlabelled_scans,
)

BOTH = replace(ARCHITECTURE, interactive=True, click_head="maps")
LOBES = (28, 29, 30, 31, 32)  # classes that make up the lung
LARYNX = 210
# Structures that only clicks can ask for are stored above every class of the automatic branch.
ONLY_CLICKED = 100
# How much of the training each kind of scan is; head and neck has the rest.
SHARES = {"torso": 0.05, "warped": 0.15, "people": 0.2, "spine": 0.03, "chest": 0.03, "unlabelled": 0.04}


def stored(values: NDArray[np.integer], classes: dict[int, int]) -> NDArray[np.uint8]:
    """Return labels as training keeps them: classes of the automatic branch by their local id, others above."""
    table = np.zeros(int(values.max()) + 1, dtype=np.uint8)
    others = ONLY_CLICKED
    for value in np.unique(values):
        if value and int(value) in classes:
            table[value] = local(classes[int(value)])
        elif value:
            others += 1
            table[value] = others
    return table[values]


def torso_scan(
    name: str, hu: NDArray[np.float32], values: NDArray[np.integer], spacing: tuple[float, float, float]
) -> TrainingScan:
    """Return a scan labelled as the torso reference is."""
    known = {*TORSO.values()} | ABSENT_IN_TORSO
    return scan_of(name, hu, spacing, stored(values, TORSO), known, np.isin(values, LUNG_LOBES))


def person_scan(volume: Volume, labels: LabelMap) -> TrainingScan:
    """Return a synthetic person; its labels are class indices."""
    order = volume.grid.to_ras()
    hu, values = np.ascontiguousarray(order.apply(volume.array)), np.ascontiguousarray(order.apply(labels.array))
    values = np.where(values == prosect.vocabulary.load("prosect")["body"].index, 0, values)
    known = {*TORSO.values()} | ABSENT_IN_TORSO - {LARYNX}
    classes = {index: index for index in {*TORSO.values(), *HEAD_NECK.values()}}
    spacing = volume.grid.reorder(order).spacing_mm
    return scan_of("person", hu, spacing, stored(values, classes), known, np.isin(values, LOBES))


def people(count: int) -> list[TrainingScan]:
    """Return synthetic people."""
    return [
        person_scan(*phantom.case(np.random.default_rng(1000 + n), "torso", spacing_mm=(3.0, 3.0, 3.0)))
        for n in range(count)
    ]


def warped(folder: Path, count: int) -> list[TrainingScan]:
    """Return the torso reference as other people."""
    volume = prosect.read(folder / "example_ct.nii.gz")
    found = prosect.read_labels(folder / "example_seg_v1_104classes.nii.gz")
    classes = np.array([TORSO.get(value, 0) for value in range(int(found.array.max()) + 1)], dtype=np.uint16)
    named = LabelMap(classes[found.array], found.grid, prosect.vocabulary.load("prosect"), {})
    order = volume.grid.to_ras()
    spacing = volume.grid.reorder(order).spacing_mm
    scans = []
    for n in range(count):
        generator = np.random.default_rng(2000 + n)
        phase = recontrast(volume, named, generator).array
        hu, values = warp_arrays(phase, found.array, generator, spacing_mm=volume.grid.spacing_mm)
        hu, values = (np.ascontiguousarray(order.apply(a)) for a in (hu, values))
        scans.append(torso_scan("warped", hu, values, spacing))
    return scans


def spine_scan(folder: Path) -> TrainingScan:
    """Return a crop of a spine with its vertebrae; nothing else is known."""
    hu, spacing = load_ras(folder / "sub-ct_label-22_ct.nii.gz")
    values, _ = load_ras(folder / "sub-ct_seg-vert_label-22_msk.nii.gz")
    i, j, k = (max(1, int(2.0 / s)) for s in spacing)
    hu, values = (np.ascontiguousarray(a[::i, ::j, ::k]) for a in (hu, values))
    coarse = (spacing[0] * i, spacing[1] * j, spacing[2] * k)
    return scan_of("spine", hu, coarse, stored(values.astype(np.int64), {}), set(), np.zeros(hu.shape, dtype=bool))


def all_scans(data: Path) -> tuple[list[TrainingScan], list[float]]:
    """Return every training scan and how often it is drawn."""
    neck = head_neck_scans(data / "openkbp", "train")
    weights = [1.0 + sum(local(index) in scan.present for index in (11, LARYNX)) for scan in neck]
    total = sum(weights) / (1 - sum(SHARES.values()))
    folder = data / "totalsegmentator_refs"
    hu, spacing = load_ras(folder / "example_ct.nii.gz")
    values, _ = load_ras(folder / "example_seg_v1_104classes.nii.gz")
    kinds = {
        "torso": [torso_scan("torso", hu, values.astype(np.int64), spacing)],
        "warped": warped(folder, 40),
        "people": people(80),
        "spine": [spine_scan(data / "tptbox_spine")],
        "chest": [chest_scan(data / "cip_chest64")],
        "unlabelled": unlabelled_scans(data),
    }
    scans = list(neck)
    for kind, more in kinds.items():
        scans += more
        weights += [SHARES[kind] * total / len(more)] * len(more)
    return scans, weights


def start(automatic: Path) -> Vista3D:
    """Return the network with the averaged weights of the first model, its decoder copied for clicks."""
    network = vista3d(BOTH)
    trained = torch.load(automatic / "state.pt", weights_only=True)["average"]
    network.load_state_dict({**network.state_dict(), **trained})
    network.image_encoder.up_layers.load_state_dict(network.image_encoder.up_layers_auto.state_dict())
    return network


def prepared(data: Path, work: Path) -> tuple[list[TrainingScan], list[float]]:
    """Return `all_scans`, kept in the work folder after the first time."""
    cache = work / "scans.pickle"
    if not cache.exists():
        work.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(".part")
        part.write_bytes(pickle.dumps(all_scans(data)))
        part.replace(cache)
    scans: tuple[list[TrainingScan], list[float]] = pickle.loads(cache.read_bytes())
    return scans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--automatic", type=Path, required=True, help="work folder of train_small_v1.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--patch", type=int, default=32, help="voxels of the training patch along an axis")
    parser.add_argument("--start", type=Path, help="work folder of an earlier run of this script to start from")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = LoopSettings(steps=args.steps, learning_rate=args.rate, bfloat16=True)
    torch.manual_seed(settings.seed)
    scans, weights = prepared(args.data, args.start or args.work)
    generator = np.random.default_rng(settings.seed)
    shape = (args.patch, args.patch, args.patch)
    sampler = PatchSampler(shape, SPACING_MM, generator, max_degrees=20.0, zoom=(0.7, 1.5), foreground=0.95)
    source = PatchSource(scans, weights, sampler)
    network = start(args.automatic)
    if args.start:
        network.load_state_dict(torch.load(args.start / "state.pt", weights_only=True)["average"])
    supported = [*range(1, len(CLASSES) + 1), -1 - NESTED[LUNG]]
    lung = {CLASSES.index(LUNG): NESTED[LUNG]}
    clicks = InteractiveObjective(network, source, generator, supported, lung, ClickRules(), bfloat16=True)
    loop = TrainingLoop(network, clicks, generator, settings, args.work, clicks.trained())
    loop.resume()
    loop.run(stop_at=None if args.minutes is None else time.time() + 60 * args.minutes)


if __name__ == "__main__":
    main()
