"""Write the data lists that version 5 of the small model learns from: files with labels in the vocabulary's indices.

`python runs/list_small_v5.py --data DATA -o runs/lists`, then `small_v5_mirrored.toml` and `small_v5.toml`. Of the
torso it learns eight large structures in place of the 29 small ones of earlier versions, which the few scans
could not teach. The torso reference is labelled by a newer segmentation, which knows the spinal cord as well. Files
that are there already are not written again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import prosect
import train_small_v1 as first
from prosect import phantom, supervoxels, vocabulary
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.mapping import mapping_of
from prosect.geometry import Grid
from prosect.io.writing import write
from prosect.labelmap import LabelMap
from prosect.phantom.warp import recontrast, warp_arrays
from prosect.vocabulary.crosswalk import crosswalk
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
CORD, OESOPHAGUS, LARYNX, VERTEBRAE, LUNG, BODY = 121, 11, 210, 146, 20, 346
TORSO = (1, 3, 5, 14, 15, 95, 96, VERTEBRAE)
NECK = (220, CORD, 205, 204, OESOPHAGUS, LARYNX, 347)
ONLY_NECK = (220, 205, 204, LARYNX, 347)
ABSENT_IN_NECK = (1, 3, 5, 14, 15, 95, 96)
EACH_VERTEBRA, LOBES = (*range(33, 57), 127), (28, 29, 30, 31, 32)
RARE = (OESOPHAGUS, LARYNX)

Numbers = NDArray[np.integer]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Scan:
    """One scan to be written, its axes nearest to RAS.

    Attributes:
        name: The case.
        hu: Intensities (i j k).
        spacing_mm: Voxel size.
        labels: Vocabulary indices (i j k).
        lung: Where lung is (i j k); None where nobody knows.
        known: Structures that the labels speak of, besides lung and body.
        split: Of its list.
    """

    name: str
    hu: NDArray[np.float32]
    spacing_mm: Spacing
    labels: Numbers
    lung: NDArray[np.bool_] | None
    known: tuple[int, ...]
    split: str = "training"


def stored(scan: Scan, folder: Path, cut: bool) -> Entry:
    """Write a scan with its labels, and with supervoxels where it is to be cut, and return its entry."""
    torch.set_num_threads(1)
    shape: tuple[int, int, int] = scan.hu.shape  # type: ignore[assignment]
    grid = Grid(shape, np.diag([*scan.spacing_mm, 1.0]))
    image, label, regions = (folder / part / f"{scan.name}.nii.gz" for part in ("images", "labels", "supervoxels"))
    volume = Volume(scan.hu.round().astype(np.float32), grid, "CT")
    values = np.where((scan.labels == 0) & first.body_mask(scan.hu), BODY, scan.labels).astype(np.uint16)
    if scan.lung is not None:
        values[scan.lung & ((values == 0) | (values == BODY))] = LUNG
    for path, thing in ((image, volume), (label, LabelMap(values, grid, WORDS, {}))):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(thing, path)
    cut = cut and scan.split == "training"
    if cut and not regions.exists():
        regions.parent.mkdir(parents=True, exist_ok=True)
        found = supervoxels.generate(volume, supervoxels.load_encoder("intensity", device="cpu"), segments=100)
        write(found, regions)
    seen = {int(index) for index in np.unique(values)} - {0}
    known = tuple(sorted({*scan.known, BODY, *seen, *(() if scan.lung is None else (LUNG,))}))
    return Entry(
        scan.name, image, label, supervoxels=regions if cut else None, dataset="small", split=scan.split, labelled=known
    )


def neck(folder: Path, row: dict[str, str]) -> Scan:
    """Return a scan of the head-neck set."""
    hu, spacing = first.load_ras(folder / f"{row['case']}_ct.nii.gz")
    organs, _ = first.load_ras(folder / f"{row['case']}_oars.nii.gz")
    meaning = np.array([0, *first.HEAD_NECK.values()])
    lung, certain = first.lung_mask(hu, first.body_mask(hu), spacing)
    names = dict(zip(first.NAMES, first.HEAD_NECK.values(), strict=True))
    known = tuple(names[name] for name in row["labelled"].split("|") if name)
    split = {"train": "training", "validation": "validation"}[row["case"].split("_")[0]]
    return Scan(row["case"], hu, spacing, meaning[organs.astype(int)], lung if certain else None, known, split)


def merged(labels: Numbers) -> Numbers:
    """Return labels with all vertebrae as one, and without the lungs and the body."""
    table = np.arange(max(int(labels.max()), BODY) + 1)
    table[list(EACH_VERTEBRA)] = VERTEBRAE
    table[[BODY, *LOBES]] = 0
    return np.asarray(table[labels])


def person(number: int) -> Scan:
    """Return a synthetic person. Its larynx is not drawn as clinics do, and is not asked for."""
    volume, labels = phantom.case(np.random.default_rng(1000 + number), "torso", spacing_mm=(3.0, 3.0, 3.0))
    order = volume.grid.to_ras()
    hu, values = (np.ascontiguousarray(order.apply(each)) for each in (volume.array, labels.array))
    known = {index for index in (*TORSO, *NECK) if index != LARYNX}
    spacing = volume.grid.reorder(order).spacing_mm
    return Scan(f"person_{number:02d}", hu, spacing, merged(values), np.isin(values, LOBES), tuple(sorted(known)))


def torso(folder: Path, number: int) -> Scan:
    """Return the torso reference, as another person in another phase of contrast where the number is not 0."""
    torch.set_num_threads(1)
    volume = prosect.read(folder / "example_ct.nii.gz")
    values = prosect.read_labels(folder / "example_seg_fast_force_split.nii.gz").array
    ours = crosswalk("totalsegmentator-v2").indices()
    table = np.array([ours.get(value, 0) for value in range(118)])
    values = table[values]
    hu = volume.array
    if number:
        generator = np.random.default_rng(2000 + number)
        named = LabelMap(values.astype(np.uint16), volume.grid, WORDS, {})
        phase = recontrast(volume, named, generator).array
        hu, values = warp_arrays(phase, values.astype(np.uint16), generator, spacing_mm=volume.grid.spacing_mm)
    order = volume.grid.to_ras()
    hu, values = (np.ascontiguousarray(order.apply(each)) for each in (hu, values))
    known = tuple(sorted({*TORSO, CORD, OESOPHAGUS, *ONLY_NECK}))
    spacing = volume.grid.reorder(order).spacing_mm
    name = f"warped_{number:02d}" if number else "torso"
    return Scan(name, hu, spacing, merged(values.astype(np.int64)), np.isin(values, LOBES), known)


def others(data: Path) -> list[Scan]:
    """Return the chest whose lungs are labelled, and two scans that teach body, lung and what they do not show."""
    hu, spacing = first.load_ras(data / "cip_chest64/ct-64.nrrd")
    lung, _ = first.load_ras(data / "cip_chest64/wholeLung-64.nrrd")
    scans = [Scan("chest", hu, spacing, np.zeros(hu.shape, dtype=int), lung > 0, (220, 205, 204, 347))]
    for path, known in (
        ("crlm_ct/CRLM-CT-1004", ONLY_NECK),
        ("moose_neck_ct/CT_enhance_pet_1446_neck_slice", ()),
    ):
        hu, spacing = first.load_ras(data / f"{path}.nii.gz")
        i, j, k = (max(1, int(2.0 / each)) for each in spacing)
        hu, spacing = np.ascontiguousarray(hu[::i, ::j, ::k]), (spacing[0] * i, spacing[1] * j, spacing[2] * k)
        found, certain = first.lung_mask(hu, first.body_mask(hu), spacing)
        name = Path(path).name
        scans.append(Scan(name, hu, spacing, np.zeros(hu.shape, dtype=int), found if certain else None, known))
    return scans


def made(make: partial[Scan], output: Path, cut: bool, argument: object) -> Entry:
    """Make and store one scan; for a process of its own."""
    return stored(make(argument), output, cut)


def listed(entries: Sequence[Entry], absent: Sequence[int], path: Path) -> None:
    """Write a list whose label values are vocabulary indices."""
    values = {value for entry in entries for value in (entry.labelled or ())}
    mapping = mapping_of([(value, WORDS[value].name) for value in sorted(values)], WORDS, absent=absent)
    print(write_datalist(DataList(tuple(entries), {"small": mapping}, WORDS), path), len(entries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    out: Path = args.output
    with (args.data / "openkbp/cases.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    with ProcessPoolExecutor(2) as pool:
        reference = partial(torso, args.data / "totalsegmentator_refs")
        people = pool.map(partial(made, person, out, False), range(80))
        torsos = pool.map(partial(made, reference, out, False), range(1, 41))
        necks = list(pool.map(partial(made, partial(neck, args.data / "openkbp"), out, True), rows))
        listed(list(torsos), (), out / "warped.json")
        listed(list(people), (), out / "people.json")
    listed([stored(torso(args.data / "totalsegmentator_refs", 0), out, True)], (), out / "torso.json")
    listed([stored(scan, out, True) for scan in others(args.data)], (), out / "others.json")
    rare = [e.split == "training" and bool({*RARE} & {*(e.labelled or ())}) for e in necks]
    listed([e for e, few in zip(necks, rare, strict=True) if few], ABSENT_IN_NECK, out / "neck_rare.json")
    listed([e for e, few in zip(necks, rare, strict=True) if not few], ABSENT_IN_NECK, out / "neck.json")


if __name__ == "__main__":
    main()
