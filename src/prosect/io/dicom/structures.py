"""A DICOM structure set as it lies in its file: its regions of interest with their outlines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prosect.geometry import FloatArray
from prosect.io.dicom.pixels import PARSE_ERRORS
from prosect.io.dicom.seg_file import HIGHEST_LABEL, own_label
from prosect.io.payload import corrupt

__all__ = ["Outline", "Region", "regions_of"]

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
FEWEST_POINTS = 3


@dataclass(frozen=True, eq=False)
class Outline:
    """One closed outline.

    Attributes:
        name: Its region, for messages.
        points_lps: Its points (n, 3) in LPS mm.
        source: SOP Instance UID of the slice that it was drawn on, empty where none or several are named.
    """

    name: str
    points_lps: FloatArray
    source: str


@dataclass(frozen=True, eq=False)
class Region:
    """One region of interest.

    Attributes:
        label: Its label value: ours where all regions have one, else its number, or its place where numbers are none.
        name: Its name.
        outlines: Its outlines; where several lie on one slice, a place in an odd number of them is inside.
    """

    label: int
    name: str
    outlines: tuple[Outline, ...]


def regions_of(name: str, dataset: Any) -> tuple[tuple[Region, ...], tuple[str, ...]]:
    """Return the regions that have outlines, and sentences on what was left out or numbered anew.

    Raises:
        FormatError: The file is damaged (`INPUT_CORRUPT`).
    """
    try:
        titles = {int(item.ROINumber): str(item.get("ROIName") or "") for item in dataset.StructureSetROISequence}
        labels = labels_of(dataset, list(titles))
        left_out: Counter[str] = Counter()
        regions: list[Region] = []
        for item in dataset.get("ROIContourSequence") or []:
            number = int(item.ReferencedROINumber)
            title = titles.get(number, "").strip()
            outlines = tuple(outlines_of(item, title, left_out))
            if outlines:
                regions.append(Region(labels.get(number, number), title, outlines))
    except PARSE_ERRORS as error:
        raise corrupt(name, f"DICOM structure set: {type(error).__name__}") from error
    said: list[str] = []
    if left_out:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        said.append(f"Contours that are no closed outlines were left out: {listed}.")
    # Numbers of regions are any integers, also 0, which is the background of label maps.
    unusable = [region.label for region in regions if not 0 < region.label <= HIGHEST_LABEL]
    if unusable:
        regions = [replace(region, label=number) for number, region in enumerate(regions, start=1)]
        said.append(
            f"Region number {unusable[0]} is no label value (1 to {HIGHEST_LABEL}); the regions were numbered 1 to "
            f"{len(regions)} in their order."
        )
    return tuple(regions), tuple(said)


def labels_of(dataset: Any, numbers: list[int]) -> dict[int, int]:
    """Return our label value of each region by its number, nothing where not all have one of their own."""
    found: dict[int, int] = {}
    for item in dataset.get("RTROIObservationsSequence") or []:
        value = own_label(str(item.get("ROIObservationDescription") or ""))
        if value is not None:
            found[int(item.ReferencedROINumber)] = value
    complete = set(found) == set(numbers) and len(set(found.values())) == len(found)
    if complete:
        return found
    return {}


def outlines_of(item: Any, title: str, left_out: Counter[str]) -> Iterator[Outline]:
    """Yield the closed outlines of a region, and count what else it has."""
    for contour in item.get("ContourSequence") or []:
        kind = str(contour.get("ContourGeometricType") or "")
        points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
        if kind not in CLOSED or len(points) < FEWEST_POINTS:
            left_out[kind if kind not in CLOSED else "of fewer than 3 points"] += 1
            continue
        images = contour.get("ContourImageSequence") or []
        source = ""
        if len(images) == 1:
            source = str(images[0].get("ReferencedSOPInstanceUID") or "")
        yield Outline(title, points, source)
