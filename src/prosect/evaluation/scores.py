"""One structure of one scan, judged: the row that every protocol makes and every summary is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.data.labelled import LabelledScan
from prosect.evaluation.dice import dice
from prosect.evaluation.distances import surface_distances
from prosect.evaluation.surface import surface_dice
from prosect.geometry import Grid

__all__ = ["Row", "Target", "row_between", "row_of"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Target:
    """A structure that is judged.

    Attributes:
        index: Its index in the vocabulary of the labels.
        name: Its name there.
        asked: What the model is asked for: its own name of it, or one that nobody knows, for zero-shot.
    """

    index: int
    name: str
    asked: str


@dataclass(frozen=True)
class Row:
    """How well one structure of one scan was found.

    Attributes:
        case: The scan.
        dataset: Its set.
        structure: Name of the structure.
        index: Its index.
        clicks: How many clicks were given so far.
        dice: Dice overlap; None where structure and result are both empty.
        nsd: Surface Dice; None in the same case.
        truth_ml: Volume of the structure; 0 where it is known not to be there.
        found_ml: Volume of the result.
        seconds: What the answer took: all structures of an automatic pass, or one click.
        hd95_mm: See `Distances`; None where structure or result is empty, or distances were not asked for.
        surface_mm: Mean distance of the surfaces; None in the same cases.
    """

    case: str
    dataset: str
    structure: str
    index: int
    clicks: int
    dice: float | None
    nsd: float | None
    truth_ml: float
    found_ml: float
    seconds: float
    hd95_mm: float | None = None
    surface_mm: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Row:
        """Return the row that `to_json` wrote.

        Raises:
            KeyError: A column is missing.
        """
        values = dict(plain)
        # Rows of earlier versions have no distances.
        for name in ("hd95_mm", "surface_mm"):
            values.setdefault(name, None)
        return cls(**{column.name: values[column.name] for column in fields(cls)})


def row_of(
    scan: LabelledScan,
    target: Target,
    found: Mask,
    truth: Mask,
    clicks: int,
    seconds: float,
    tolerance_mm: float,
    distances: bool = False,
) -> Row:
    """Return the row of a result.

    Args:
        scan: Where the structure is.
        target: The structure.
        found: What was found of it (i j k), in the whole scan or in a box that holds it.
        truth: What there is of it, in the same box.
        clicks: Clicks given so far.
        seconds: What the answer took.
        tolerance_mm: See `surface_dice`.
        distances: Measure distances of the surfaces, too.
    """
    grid = scan.volume.grid
    return row_between(
        scan.name, scan.dataset, target, found, truth, grid, clicks, seconds, tolerance_mm, distances=distances
    )


def row_between(
    case: str,
    dataset: str,
    target: Target,
    found: Mask,
    truth: Mask,
    grid: Grid,
    clicks: int,
    seconds: float,
    tolerance_mm: float,
    *,
    distances: bool,
) -> Row:
    """Return the row of two masks (i j k) on a grid; the rest as in `row_of`."""
    # Nothing outside this box counts in any measure, and most of a scan lies outside.
    box = Box.of(found) | Box.of(truth)
    found, truth = found[box.slices], truth[box.slices]
    apart = None
    if distances:
        apart = surface_distances(found, truth, grid)
    return Row(
        case=case,
        dataset=dataset,
        structure=target.name,
        index=target.index,
        clicks=clicks,
        dice=dice(found, truth),
        nsd=surface_dice(found, truth, grid, tolerance_mm),
        truth_ml=volume_ml(truth, grid),
        found_ml=volume_ml(found, grid),
        seconds=seconds,
        hd95_mm=None if apart is None else apart.hd95_mm,
        surface_mm=None if apart is None else apart.mean_mm,
    )


def volume_ml(mask: Mask, grid: Grid) -> float:
    """Return the volume of a mask (i j k) in millilitres."""
    return int(np.count_nonzero(mask)) * grid.voxel_volume_ml
