"""How well the shipped model finds the torso, of which it has seen one labelled scan: Dice by structure, in Markdown.

`python experiments/torso.py --data DATA [--weights FILE]`. Four views: the very scan it was taught; that scan as other
people, warped and with other contrast, from numbers never used in training; synthetic people never used; and a slab of
another hospital's CT, never trained on, with another model's labels. A structure is compared where it is labelled.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import prosect
from prosect import phantom
from prosect.labelmap import LabelMap
from prosect.models import Vista3DModel
from prosect.phantom.warp import recontrast, warp_arrays
from prosect.vocabulary.crosswalk import crosswalk
from prosect.volume import Volume

VERTEBRAE, VERTEBRA, LUNG, LOBES = 146, (*range(33, 57), 127), 20, (28, 29, 30, 31, 32)
UNSEEN = 3
SMALLEST_ML = 5.0

Labels = NDArray[np.integer]
View = tuple[str, Volume, Labels]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    model = prosect.load(weights=args.weights)
    found: dict[str, dict[str, list[float]]] = {}
    views: list[str] = []
    for view, volume, labels in all_views(args.data / "totalsegmentator_refs"):
        if view not in views:
            views.append(view)
        for name, dice in scores(model, volume, labels).items():
            found.setdefault(name, {}).setdefault(view, []).append(dice)
        print(view, file=sys.stderr)
    print(f"| structure | {' | '.join(views)} |\n|---|{'---|' * len(views)}")
    for name, by_view in found.items():
        cells = [f"{np.mean(by_view[view]):.2f}" if view in by_view else "" for view in views]
        print(f"| {name} | {' | '.join(cells)} |")


def all_views(folder: Path) -> Iterator[View]:
    """Yield what is looked at, with labels as vocabulary indices."""
    ours = crosswalk("totalsegmentator-v2").indices()
    table = np.array([ours.get(value, 0) for value in range(118)])
    volume = prosect.read(folder / "example_ct.nii.gz")
    labels = table[prosect.read_labels(folder / "example_seg_fast_force_split.nii.gz").array]
    yield "taught", volume, labels
    named = LabelMap(labels.astype(np.uint16), volume.grid, prosect.vocabulary.load("prosect"), {})
    for number in range(UNSEEN):
        generator = np.random.default_rng(9000 + number)
        phase = recontrast(volume, named, generator).array
        hu, values = warp_arrays(phase, labels.astype(np.uint16), generator, spacing_mm=volume.grid.spacing_mm)
        yield "warped", Volume(hu, volume.grid, "CT"), values
    for number in range(UNSEEN):
        person, truth = phantom.case(np.random.default_rng(9000 + number), "torso", spacing_mm=(3.0, 3.0, 3.0))
        yield "synthetic", person, truth.array
    slab, other = prosect.read(folder / "example_ct_dicom"), prosect.read_labels(folder / "example_seg_dicom.nii.gz")
    yield "another hospital", aligned(slab), table[other.grid.to_ras().apply(other.array)]


def aligned(volume: Volume) -> Volume:
    """Return a scan with its axes nearest to RAS."""
    order = volume.grid.to_ras()
    return Volume(np.ascontiguousarray(order.apply(volume.array)), volume.grid.reorder(order), volume.modality)


def scores(model: Vista3DModel, volume: Volume, labels: Labels) -> dict[str, float]:
    """Return Dice by name of every structure that the model offers and the labels show."""
    result = model.segment(volume)
    voxel_ml = float(np.prod(volume.grid.spacing_mm)) / 1000
    dice: dict[str, float] = {}
    for structure in model.vocabulary:
        inside = {VERTEBRAE: VERTEBRA, LUNG: LOBES}.get(structure.index, (structure.index,))
        truth = np.isin(labels, inside)
        if structure.supported and truth.sum() * voxel_ml >= SMALLEST_ML:
            mask = result.mask(structure.index)
            dice[structure.name] = float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    return dice


if __name__ == "__main__":
    main()
