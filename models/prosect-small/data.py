"""Write the data lists that version 5 of prosect-small learns from: files with labels in the vocabulary's indices.

`python models/prosect-small/data.py --data DATA -o models/prosect-small/lists`, then the recipes `mirrored.toml` and
`recipe.toml`. Of the torso it learns eight large structures in place of the 29 small ones of earlier versions, which
the few scans could not teach. The torso reference is labelled by a newer segmentation, which knows the spinal cord as
well. Files that are there already are not written again.
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
from scipy import ndimage

import prosect
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

# Names of the head-neck set in the order of its label values 1 to 7, and the structures that they mean.
NAMES = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")

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


def store(scan: Scan, folder: Path, cut: bool) -> Entry:
    """Write a scan with its labels, and with supervoxels where it is to be cut, and return its entry."""
    torch.set_num_threads(1)
    shape: tuple[int, int, int] = scan.hu.shape  # type: ignore[assignment]
    grid = Grid(shape, np.diag([*scan.spacing_mm, 1.0]))
    image, label, regions = (folder / part / f"{scan.name}.nii.gz" for part in ("images", "labels", "supervoxels"))
    volume = Volume(scan.hu.round().astype(np.float32), grid, "CT")
    values = np.where((scan.labels == 0) & body_mask(scan.hu), BODY, scan.labels).astype(np.uint16)
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
    hu, spacing = load_ras(folder / f"{row['case']}_ct.nii.gz")
    organs, _ = load_ras(folder / f"{row['case']}_oars.nii.gz")
    meaning = np.array([0, *NECK])
    lung, certain = lung_mask(hu, body_mask(hu), spacing)
    names = dict(zip(NAMES, NECK, strict=True))
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
    hu, spacing = load_ras(data / "cip_chest64/ct-64.nrrd")
    lung, _ = load_ras(data / "cip_chest64/wholeLung-64.nrrd")
    scans = [Scan("chest", hu, spacing, np.zeros(hu.shape, dtype=int), lung > 0, (220, 205, 204, 347))]
    for path, known in (
        ("crlm_ct/CRLM-CT-1004", ONLY_NECK),
        ("moose_neck_ct/CT_enhance_pet_1446_neck_slice", ()),
    ):
        hu, spacing = load_ras(data / f"{path}.nii.gz")
        i, j, k = (max(1, int(2.0 / each)) for each in spacing)
        hu, spacing = np.ascontiguousarray(hu[::i, ::j, ::k]), (spacing[0] * i, spacing[1] * j, spacing[2] * k)
        found, certain = lung_mask(hu, body_mask(hu), spacing)
        name = Path(path).name
        scans.append(Scan(name, hu, spacing, np.zeros(hu.shape, dtype=int), found if certain else None, known))
    return scans


def make_and_store(make: partial[Scan], output: Path, cut: bool, argument: object) -> Entry:
    """Make and store one scan; for a process of its own."""
    return store(make(argument), output, cut)


def write_list(entries: Sequence[Entry], absent: Sequence[int], path: Path) -> None:
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
        people = pool.map(partial(make_and_store, person, out, False), range(80))
        torsos = pool.map(partial(make_and_store, reference, out, False), range(1, 41))
        necks = list(pool.map(partial(make_and_store, partial(neck, args.data / "openkbp"), out, True), rows))
        write_list(list(torsos), (), out / "warped.json")
        write_list(list(people), (), out / "people.json")
    write_list([store(torso(args.data / "totalsegmentator_refs", 0), out, True)], (), out / "torso.json")
    write_list([store(scan, out, True) for scan in others(args.data)], (), out / "others.json")
    rare = [e.split == "training" and bool({*RARE} & {*(e.labelled or ())}) for e in necks]
    write_list([e for e, few in zip(necks, rare, strict=True) if few], ABSENT_IN_NECK, out / "neck_rare.json")
    write_list([e for e, few in zip(necks, rare, strict=True) if not few], ABSENT_IN_NECK, out / "neck.json")


if __name__ == "__main__":
    main()
