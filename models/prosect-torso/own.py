"""Write lists in which prosect-torso teaches itself: what it finds by itself in scans without such labels.

`python models/prosect-torso/own.py WEIGHTS lists`, after `data.py`. WEIGHTS shows all structures that were learnt.
Below `lists` it writes:

| list | scans | what they teach besides what `data.py` says of them |
|---|---|---|
| `btcv_own.json` | the abdomens; those of fold 0 as they were | vertebrae, ribs, lung, heart, spinal cord |
| `chests_own.json` | two scans with contrast that show a heart | the same, liver, spleen, kidneys, aorta |
| `plain_own.json` | a chest without contrast | vertebrae, ribs |
| `ascites_own.json` | an abdomen full of fluid | vertebrae, ribs, and that fluid is no liver |
| `necks_own.json` | necks with shoulders | vertebrae, and that skull and shoulders are none |
| `heads_own.json` | the same above the parotids' lower end | the same, and that a skull is no rib |

Only what is sure is kept: one piece where a structure is one, vertebrae near the spinal cord, liver as bright as
tissue. A heart is completed by the hull of what was found of it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

import prosect
from data import largest_part
from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, read_datalist, write_datalist
from prosect.geometry import Grid
from prosect.io.writing import write
from prosect.labelmap import LabelMap
from prosect.models.vista3d import Vista3DModel
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")

BONES = ("vertebrae", "ribs")
TRUNK = (*BONES, "lung", "heart", "spinal cord")
LARGE = ("liver", "spleen", "right kidney", "left kidney", "aorta")
NO_PART_OF_A_HEAD = ("ribs", "lung", "heart", "aorta")
CHESTS, PLAIN, ASCITES, HEAD = ("C3N-00249", "crlm"), "cip", "TCGA-09-2043", "C3N-04457"

TISSUE_HU = -30  # a heart is at least this bright
LIVER_HU = 55  # fluid is darker, a liver in the portal phase brighter
CALM_MM = 4.0
HEART_ML, HEART_SHARE = 100, 0.6  # less of it, or less of its hull, is no sure heart
RIB_ML, LUNG_ML, BONE_ML = 0.5, 30, 3
SPINE_MM = 45.0  # how far a vertebra reaches from the spinal cord, in a slice
WALL_MM = 25.0  # how deep below the flesh's hull a rib lies at most
LAST_VERTEBRA, LOWEST_RIB = 53, 85  # planes of the scan with ascites, by eye: its pelvis is below
EVERY_NECK = 2
PAROTIDS = (3, 4)  # label values of the necks

Numbers = NDArray[np.integer]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """A scan with what the model finds in it, both i j k."""

    volume: Volume
    labels: Numbers

    def of(self, *names: str) -> Mask:
        """Return where one of some structures was found."""
        return np.isin(self.labels, [WORDS[name].index for name in names])

    def pieces(self, mask: Mask, least_ml: float) -> Mask:
        """Return the connected parts of a mask that have at least some volume."""
        parts, _ = ndimage.label(mask)
        large = np.bincount(parts.ravel()) * self.volume.grid.voxel_volume_ml >= least_ml
        large[0] = False
        return np.asarray(large[parts])

    def calm(self) -> NDArray[np.float32]:
        """Return intensities without noise, in HU."""
        sigma = [CALM_MM / 2 / each for each in self.volume.grid.spacing_mm]
        return np.asarray(ndimage.gaussian_filter(self.volume.array, sigma))


def heart_of(found: Found) -> Mask | None:
    """Return a heart completed to its hull, without neighbours, lung and fat; None where it is not sure."""
    core = largest_part(ndimage.binary_opening(found.of("heart")))
    if core.sum() * found.volume.grid.voxel_volume_ml < HEART_ML:
        return None
    hull = np.zeros_like(core)
    box = ndimage.find_objects(core.astype(np.int8))[0]
    hull[box] = convex_hull_image(core[box])  # type: ignore[no-untyped-call]
    others = found.of("liver", "spleen", "stomach", "left kidney", "esophagus", "vertebrae", "ribs", "lung")
    whole = largest_part(ndimage.binary_opening(hull & ~others & (found.calm() > TISSUE_HU)))
    if core.sum() < HEART_SHARE * whole.sum():
        return None
    return whole


def paint(found: Found, masks: Mapping[str, Mask]) -> Numbers:
    """Return vocabulary indices (i j k) of some structures; those that come later win."""
    labels = np.zeros(found.labels.shape, dtype=np.uint16)
    for name, mask in masks.items():
        labels[mask] = WORDS[name].index
    return labels


def ribs_of(found: Found) -> Mask:
    """Return the ribs: pieces in the wall of the trunk, and not bright contrast in the gut."""
    # The largest part is the patient, without the table.
    thin = max(1, round(CALM_MM / found.volume.grid.spacing_mm[0]))
    flesh = largest_part(ndimage.binary_opening(found.calm() > TISSUE_HU, iterations=thin))
    ribs = found.pieces(found.of("ribs") & ndimage.binary_dilation(flesh, iterations=3), RIB_ML)
    parts, count = ndimage.label(ribs)
    depths = np.zeros(ribs.shape, dtype=np.float32)
    for k in np.flatnonzero(ribs.any(axis=(0, 1))):
        trunk = largest_part(flesh[:, :, k])
        hull = convex_hull_image(trunk) if trunk.any() else trunk  # type: ignore[no-untyped-call]
        depths[:, :, k] = ndimage.distance_transform_edt(hull, found.volume.grid.spacing_mm[:2])
    middle = np.asarray(ndimage.median(depths, parts, np.arange(1, count + 1)))
    return np.asarray(np.isin(parts, 1 + np.flatnonzero(middle < WALL_MM)))


def bones(found: Found) -> dict[str, Mask]:
    """Return ribs and vertebrae without crumbs."""
    ribs = ribs_of(found)
    return {"ribs": ribs, "vertebrae": found.pieces(found.of("vertebrae"), BONE_ML)}


def only_bones(found: Found) -> Numbers:
    """Return ribs and vertebrae."""
    return paint(found, bones(found))


def trunk(found: Found) -> Numbers | None:
    """Return bones, lung, spinal cord and heart; None where the heart is not sure."""
    heart = heart_of(found)
    if heart is None:
        return None
    cord = found.pieces(found.of("spinal cord"), 1.0)
    lung = found.pieces(found.of("lung"), LUNG_ML)
    return paint(found, {**bones(found), "spinal cord": cord, "lung": lung, "heart": heart})


def chest(found: Found) -> Numbers | None:
    """Return what `trunk` does, and the large organs of the abdomen in one piece each."""
    labels = trunk(found)
    if labels is None:
        return None
    for name in LARGE:
        part = largest_part(found.of(name))
        labels[part & (labels == 0)] = WORDS[name].index
    return labels


def ascites(found: Found) -> Numbers:
    """Return bones above the pelvis, so that hips are no vertebrae, and the liver without the fluid around it."""
    bright = found.calm() > LIVER_HU
    liver = largest_part(ndimage.binary_opening(found.of("liver") & bright, iterations=2))
    masks = {"liver": liver, **bones(found)}
    masks["ribs"][:, :, :LOWEST_RIB] = False
    masks["vertebrae"][:, :, :LAST_VERTEBRA] = False
    middle = np.nonzero(masks["vertebrae"])[0].mean()
    aside = np.abs(np.arange(len(bright)) - middle) * found.volume.grid.spacing_mm[0] > SPINE_MM
    masks["vertebrae"][aside] = False
    return paint(found, masks)


def neck_bones(found: Found) -> Numbers:
    """Return vertebrae near the spinal cord, which was found, too."""
    cord = largest_part(found.of("spinal cord"))
    spacing = found.volume.grid.spacing_mm
    near = np.zeros_like(cord)
    for k in range(cord.shape[2]):
        if cord[:, :, k].any():
            near[:, :, k] = ndimage.distance_transform_edt(~cord[:, :, k], spacing[:2]) < SPINE_MM
    return paint(found, {"vertebrae": largest_part(found.of("vertebrae") & near)})


class Teacher:
    """The model that teaches, and where it writes."""

    def __init__(self, model: Vista3DModel, folder: Path) -> None:
        self.model = model
        self.folder = folder

    def find(self, image: Path) -> Found:
        """Return what the model finds in a scan."""
        volume = prosect.read(image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", prosect.ProsectWarning)
            labels = self.model.segment(volume)
        return Found(volume, np.asarray(labels.flatten().array))

    def entries(self, entries: Iterable[Entry], rule: Callable[[Found], Numbers | None]) -> list[Entry]:
        """Return the entries, with what was found as pseudo-labels where that is sure."""
        kept = []
        for entry in entries:
            found = self.find(entry.image)
            labels = rule(found)
            if labels is None:
                print(f"{entry.name}: no sure heart")
                kept.append(entry)
            else:
                kept.append(self.store(entry, labels, found.volume.grid))
        return kept

    def store(self, entry: Entry, labels: Numbers, grid: Grid) -> Entry:
        """Write pseudo-labels of a scan, and return its entry."""
        path = self.folder / "own" / f"{entry.name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write(LabelMap(labels.astype(np.uint16), grid, WORDS), path, overwrite=True)
        return replace(entry, pseudo_label=path)


def save(old: DataList, entries: Sequence[Entry], names: Sequence[str], path: Path) -> None:
    """Write a list of scans with pseudo-labels that speak of some structures."""
    indices = tuple(sorted(WORDS[name].index for name in names))
    write_datalist(replace(old, entries=tuple(entries), pseudo_classes=indices), path)


def one(entries: Iterable[Entry], *names: str) -> list[Entry]:
    """Return the entries of some scans."""
    return [entry for entry in entries if entry.name in names]


def head_of(entry: Entry, folder: Path) -> Entry | None:
    """Write a neck above the lower end of its parotids, and return its entry; None where these are not labelled."""
    volume = prosect.read(entry.image)
    stored = np.asarray(prosect.read_labels(entry.label or entry.image).array)
    if not np.isin(PAROTIDS, stored).all():
        return None
    planes = np.flatnonzero(np.isin(stored, PAROTIDS).any(axis=(0, 1)))
    i, j, k = volume.grid.shape
    low, high = int(planes[0]), k
    if volume.grid.affine[2, 2] < 0:  # planes run from the head to the shoulders
        low, high = 0, int(planes[-1]) + 1
    grid = volume.grid.crop((0, 0, low), (i, j, high))
    name = f"{entry.name}_head"
    image, label = folder / "images" / f"{name}.nii.gz", folder / "labels" / f"{name}.nii.gz"
    write(Volume(np.asarray(volume.array)[:, :, low:high], grid, "CT"), image)
    # Their own values, which are no indices of the vocabulary.
    image_of = nib.Nifti1Image(stored[:, :, low:high].astype(np.uint8), grid.affine)  # type: ignore[no-untyped-call]
    nib.save(image_of, label)
    return replace(entry, name=name, image=image, label=label)


def without_labels(entry: Entry, folder: Path, dataset: str) -> Entry:
    """Write labels that say nothing for a scan, so that its list can say what is absent, and return its entry."""
    grid = prosect.read(entry.image).grid
    label = folder / "labels" / f"{entry.name}_nothing.nii.gz"
    write(LabelMap(np.zeros(grid.shape, dtype=np.uint8), grid, WORDS), label)
    return Entry(entry.name, entry.image, label, dataset=dataset, labelled=())


def write_necks(teacher: Teacher, lists: Path) -> None:
    """Write the lists of necks and of heads."""
    necks = read_datalist(lists / "necks.json")
    some = list(necks)[::EVERY_NECK]
    save(necks, teacher.entries(some, neck_bones), ["vertebrae"], lists / "necks_own.json")
    heads = []
    for entry in some:
        head = head_of(entry, lists)
        if head is not None:
            heads.append(head)
    (dataset,) = necks.mappings
    for entry in one(read_datalist(lists / "unlabelled.json"), HEAD):
        heads.append(without_labels(entry, lists, dataset))
    mapping = necks.mappings[dataset]
    missing = {*mapping.absent, *(WORDS[name].index for name in NO_PART_OF_A_HEAD)}
    of_heads = replace(necks, mappings={dataset: replace(mapping, absent=tuple(sorted(missing)))})
    save(of_heads, teacher.entries(heads, neck_bones), ["vertebrae"], lists / "heads_own.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("lists", type=Path)
    args = parser.parse_args()
    lists = args.lists
    teacher = Teacher(prosect.load("prosect-torso", weights=args.weights), lists)
    btcv = read_datalist(lists / "btcv.json")
    others = read_datalist(lists / "unlabelled.json")
    # Scans that judge must not teach, not even by what was found in them.
    learnt = [entry for entry in btcv if entry.fold != 0]
    judging = [entry for entry in btcv if entry.fold == 0]
    save(btcv, [*teacher.entries(learnt, trunk), *judging], TRUNK, lists / "btcv_own.json")
    save(others, teacher.entries(one(others, *CHESTS), chest), (*TRUNK, *LARGE), lists / "chests_own.json")
    save(others, teacher.entries(one(others, PLAIN), only_bones), BONES, lists / "plain_own.json")
    save(others, teacher.entries(one(others, ASCITES), ascites), (*BONES, "liver"), lists / "ascites_own.json")
    write_necks(teacher, lists)


if __name__ == "__main__":
    main()
