"""The outlines of a structure set on the slices of a scan.

An outline lies on the slice that it names, as long as it is the nearest or as near; else on the slice at its position.
An outline between two slices has no mask on this scan and is refused, not rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from prosect.errors import GeometryError
from prosect.geometry import FloatArray
from prosect.io.dicom.contours import fill
from prosect.io.dicom.label_target import LPS_TO_RAS, NEAR, TOLD, Pieces, Target, off_by
from prosect.io.dicom.structures import Outline, Region

__all__ = ["on_planes", "pieces_of"]

# Half a slice, and what rounding of coordinates adds to it: beyond, another slice is nearer than the one that is named.
HALF = 0.5 + 1e-3


@dataclass(frozen=True, eq=False)
class Ring:
    """An outline on a slice.

    Attributes:
        name: Its region, for messages.
        axis: The axis of the grid across it.
        index: The slice along this axis; it may lie beyond the scan.
        places: Its points (n, 3) in voxels.
        named: Whether it is on the slice that it names; None where it names none of the scan.
    """

    name: str
    axis: int
    index: int
    places: FloatArray
    named: bool | None

    @property
    def depth(self) -> float:
        """Where it lies along the axis, in voxels."""
        return float(self.places[:, self.axis].mean())

    @property
    def away(self) -> FloatArray:
        """How far its points (n, 3) lie from its slice, in voxels: 0 but along the axis."""
        away = np.zeros_like(self.places)
        away[:, self.axis] = self.places[:, self.axis] - self.index
        return away

    @property
    def flat(self) -> FloatArray:
        """Its points (n, 2) in the indices of the other two axes."""
        return np.delete(self.places, self.axis, axis=1)


@dataclass(frozen=True, eq=False)
class Plane:
    """The outlines of one region on one slice.

    Attributes:
        label: The label value of the region.
        axis: The axis across the slice.
        index: The slice along this axis.
        rings: The outlines, each once.
    """

    label: int
    axis: int
    index: int
    rings: tuple[Ring, ...]


def on_planes(name: str, regions: Sequence[Region], target: Target) -> tuple[list[Plane], tuple[str, ...]]:
    """Return the outlines by region and slice, without those beyond the scan, and what is to be told of them.

    Raises:
        GeometryError: An outline lies across the slices or between two, outlines of two planes fall on one slice, or
            all lie outside the scan (`LABELS_ELSEWHERE`).
    """
    planes: list[Plane] = []
    kept: list[Ring] = []
    total = repeated = 0
    for region in regions:
        rings = [ring_of(outline, target) for outline in region.outlines]
        total += len(rings)
        for (axis, index), there in sorted(by_slice(rings).items()):
            if not 0 <= index < target.grid.shape[axis]:
                continue
            for ring in there:
                require_near(ring, target)
            require_one_plane(there, target)
            single = without_copies(there)
            planes.append(Plane(region.label, axis, index, single))
            kept += there
            repeated += len(there) - len(single)
    if total and not kept:
        raise GeometryError(
            f"{name}: all {total} outlines lie outside the scan. Is it another patient's or series'?",
            code="LABELS_ELSEWHERE",
        )
    return planes, tuple(doubts_of(kept, total, repeated, target))


def pieces_of(planes: Iterable[Plane], target: Target) -> Pieces:
    """Yield the voxels in the outlines of each region, slice by slice."""
    for plane in planes:
        shape = np.delete(target.grid.shape, plane.axis)
        inside = np.argwhere(fill([ring.flat for ring in plane.rings], (int(shape[0]), int(shape[1]))))
        if len(inside):
            yield plane.label, np.insert(inside, plane.axis, plane.index, axis=1)


def ring_of(outline: Outline, target: Target) -> Ring:
    """Return an outline on its slice."""
    places = target.grid.to_voxel(outline.points_lps * LPS_TO_RAS)
    extents = np.ptp(places, axis=0)
    # A line along a column or row has no extent in the slice either; it is the slice that it lies in.
    axis = 2 if extents[2] <= TOLD else int(extents.argmin())
    index = round(float(places[:, axis].mean()))
    named = target.slices.get((outline.source, 0))
    if named is None or axis != 2:
        return Ring(outline.name, axis, index, places, None)
    is_near = np.abs(places[:, 2] - named).max() <= HALF
    return Ring(outline.name, axis, named if is_near else index, places, bool(is_near))


def by_slice(rings: Iterable[Ring]) -> dict[tuple[int, int], list[Ring]]:
    """Return outlines by axis and slice."""
    found: dict[tuple[int, int], list[Ring]] = defaultdict(list)
    for ring in rings:
        found[ring.axis, ring.index].append(ring)
    return found


def require_near(ring: Ring, target: Target) -> None:
    """Refuse an outline that lies on no slice.

    Raises:
        GeometryError: It lies across the slices, or between two of them (`LABELS_ELSEWHERE`).
    """
    worst = float(np.abs(ring.away).max())
    if ring.named or worst <= NEAR:
        return
    distance = target.grid.spacing_mm[ring.axis]
    raise GeometryError(
        f"An outline of '{ring.name}' lies across the slices of the scan or between two of them: up to "
        f"{worst * distance:.2f} mm from the nearest slice, where slices lie {distance:.2f} mm apart and a quarter of "
        "that is allowed. Give the scan that it was drawn on.",
        code="LABELS_ELSEWHERE",
    )


def require_one_plane(rings: Sequence[Ring], target: Target) -> None:
    """Refuse outlines of one slice that were drawn on several: what lies in two of them would count as a hole.

    Raises:
        GeometryError: They lie on several planes (`LABELS_ELSEWHERE`).
    """
    depths = [ring.depth for ring in rings]
    away = np.zeros((1, 3))
    away[0, rings[0].axis] = max(depths) - min(depths)
    between = off_by(away, target.grid)
    if between:
        raise GeometryError(
            f"Outlines of '{rings[0].name}' on two planes, {between:.2f} mm apart, would fall on one slice of the "
            "scan. Give the scan that it was drawn on.",
            code="LABELS_ELSEWHERE",
        )


def without_copies(rings: Iterable[Ring]) -> tuple[Ring, ...]:
    """Return outlines without those that are there already: two of a kind would be a hole in each other."""
    single: list[Ring] = []
    for ring in rings:
        if not any(np.array_equal(ring.places, other.places) for other in single):
            single.append(ring)
    return tuple(single)


def doubts_of(kept: Sequence[Ring], total: int, repeated: int, target: Target) -> Iterator[str]:
    """Yield what is to be told of outlines on a scan.

    Args:
        kept: The outlines on its slices.
        total: How many there are, with those outside.
        repeated: How many are there a second time.
        target: The scan.
    """
    if total > len(kept):
        yield f"{total - len(kept)} of {total} outlines lie outside the scan and were left out."
    if repeated:
        yield f"{repeated} of {total} outlines are there twice and were taken once."
    elsewhere = sum(ring.named is False for ring in kept)
    if elsewhere:
        yield f"{elsewhere} of {total} outlines name another slice than that at their position; the position counts."
    worst = max((off_by(ring.away, target.grid) for ring in kept), default=0.0)
    if worst:
        yield (
            f"Outlines lie up to {worst:.2f} mm from the slices that they were put on. Were they drawn on another "
            "series?"
        )
