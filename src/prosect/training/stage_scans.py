"""The scans that a stage of a course learns from, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from prosect.data.datalist import DataList, Entry
from prosect.errors import FormatError, RecipeError
from prosect.phantom.tissues import tissues
from prosect.training.copies import Copies
from prosect.training.course import Course
from prosect.training.export import preparation_of
from prosect.training.mirror import other_sides
from prosect.training.patches import TrainingScan
from prosect.training.recipe import Data, Shape, Stage, Triple
from prosect.training.scan_store import prepared_scans
from prosect.training.scans import Numbering

__all__ = ["KEPT", "copies_of", "pad_to_patch", "weighted_scans"]

KEPT = "scans"
LEFT_OUT = 0.01  # share of a list's scans that may turn out unreadable after all were looked at

Weighted = tuple[TrainingScan, float]


def weighted_scans(course: Course, stage: Stage) -> list[Weighted]:
    """Return the scans that a stage draws from, with how often each is drawn.

    Raises:
        RecipeError: Nothing is left to draw from (`DATALIST_INVALID`), or too many scans have become unreadable
            (`DATALIST_UNFIT`).
    """
    chosen: list[Weighted] = []
    for source in course.sources:
        if source.data.stages and stage.name not in source.data.stages:
            continue
        sides = None
        if source.data.mirror:
            sides = other_sides(course.numbering)
        copies = copies_of(source.data, course.recipe.shape, course.numbering)
        for scan in readable_scans(course, stage, usable_labels(source.training, stage)):
            if stage.supervoxels:
                fitted = scan
            else:
                fitted = replace(scan, supervoxels=None)
            if not teaches(fitted, stage):
                continue
            if stage.beyond == "edge":
                fitted = pad_to_patch(fitted, stage.patch)
            chosen.append((replace(fitted, sides=sides, copies=copies), source.data.weight))
    if not chosen:
        raise RecipeError(f"Stage {stage.name} has no scan to learn from.", code="DATALIST_INVALID")
    if stage.oversample:
        return oversample(chosen)
    return chosen


def copies_of(data: Data, shape: Shape, numbering: Numbering) -> Copies | None:
    """Return how a list of a recipe is copied; None where it is not."""
    if not data.warp and not data.synthesis:
        return None
    by_index = tissues(numbering.vocabulary)
    kinds = {}
    for label, index in enumerate(numbering.order, 1):
        if index in by_index:
            kinds[label] = by_index[index]
    window = None
    if shape.intensity == "window":
        window = (shape.low, shape.high)
    return Copies(data.warp, data.synthesis, kinds, window)


def teaches(scan: TrainingScan, stage: Stage) -> bool:
    """Return whether a stage learns anything from a scan."""
    if scan.present:
        return True
    # Of a scan that is known not to show something, only the automatic branch learns.
    if stage.finds:
        return bool(scan.known.any())
    return scan.supervoxels is not None


def readable_scans(course: Course, stage: Stage, listed: DataList) -> list[TrainingScan]:
    """Return the scans of a list without a few that can no longer be read, which the log names.

    Raises:
        RecipeError: They are more than one in a hundred (`DATALIST_UNFIT`).
    """
    if course.ranks.world > 1:  # each process prepares some, then all read what is there
        _prepare(course, course.ranks.share(listed))
        course.ranks.barrier()
    scans, unreadable = _prepare(course, listed)
    for name, error in unreadable.items():
        if len(unreadable) > LEFT_OUT * len(listed):
            raise RecipeError(
                f"{len(unreadable)} of {len(listed)} scans can no longer be read, the first is {name}: {error}",
                code="DATALIST_UNFIT",
            ) from error
        course.log(stage.name, {"step": 0, "event": "left out", "scan": name, "reason": str(error)})
    return scans


def _prepare(course: Course, listed: DataList) -> tuple[list[TrainingScan], dict[str, FormatError]]:
    """Return the scans of a list that can be read, and the errors of the others by name."""
    unreadable: dict[str, FormatError] = {}
    scans = prepared_scans(
        listed,
        course.numbering,
        preparation_of(course.recipe.shape, course.recipe.shape.scans_mm),
        course.beginning.scans or course.folder / KEPT,
        on_unreadable=unreadable.__setitem__,
        tolerance_mm=course.tolerance_mm,
    )
    return scans, unreadable


def usable_labels(datalist: DataList, stage: Stage) -> DataList:
    """Return a list with only those scans and labels that a stage uses."""

    def fitted(entry: Entry) -> Entry:
        pseudo = None
        if stage.pseudo:
            pseudo = entry.pseudo_label
        supervoxels = None
        if stage.supervoxels:
            supervoxels = entry.supervoxels
        return replace(entry, pseudo_label=pseudo, supervoxels=supervoxels)

    entries = [fitted(entry) for entry in datalist if entry.label is not None or stage.unlabelled]
    return replace(datalist, entries=tuple(entries))


def oversample(scans: Sequence[Weighted]) -> list[Weighted]:
    """Return scans with weights that grow as the rarest structure in them is rarer, by the root of its rarity."""
    counts: dict[int, int] = {}
    for scan, _ in scans:
        for value in scan.present:
            counts[value] = counts.get(value, 0) + 1
    weighted = []
    for scan, weight in scans:
        rarest = min((counts[value] for value in scan.present), default=len(scans))
        weighted.append((scan, weight * (len(scans) / rarest) ** 0.5))
    return weighted


def pad_to_patch(scan: TrainingScan, patch: Triple) -> TrainingScan:
    """Return a scan with its outermost voxels repeated around it on axes (i j k) that are shorter than a patch.

    Inference repeats them, too, and beyond a scan a patch would show air that the scan never had.
    """
    pads = []
    for size, wanted in zip(scan.labels.shape, patch, strict=True):
        pads.append((wanted // 2, wanted // 2) if size < wanted else (0, 0))
    if not any(low for low, _ in pads):
        return scan
    intensities, labels, nested = (np.pad(a, pads, mode="edge") for a in (scan.intensities, scan.labels, scan.nested))
    if scan.supervoxels is None:
        regions = None
    else:
        regions = np.pad(scan.supervoxels, pads, mode="edge")
    # The kept places are flat indices of the smaller scan, so they are looked for anew.
    return replace(scan, intensities=intensities, labels=labels, nested=nested, places={}, supervoxels=regions)
