"""What clicks give without any network: a ball, and a region grown by intensity. A model that is no better is no use.

Both answer through the same sessions as models do, so that nothing but the answer differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect import vocabulary as vocabularies
from prosect.boxes import Box
from prosect.geometry import FloatArray, Grid
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.question import Question
from prosect.morphology import Components
from prosect.places import Point
from prosect.progress import Watch
from prosect.prompts import voxel_of
from prosect.session import Session
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["BASELINES", "Baseline", "ball", "baseline_named", "grown_region"]

Mask = NDArray[np.bool_]
# Takes a scan and a place in RAS mm; returns what a click there stands for (i j k).
Answer = Callable[[Volume, Point], Mask]

RADIUS_MM = 16.0  # 17 mL, what a network of one spacing answers whatever is clicked
REACH_MM = 150.0  # a region does not grow further from its click
NEAR = 2  # voxels around a click whose intensities are those of its region
SPREAD = 2.5  # how many standard deviations from their mean a region may be
LEAST_SPREAD = 0.01  # of the scan's range, because a flat neighbourhood has no spread at all


def ball(volume: Volume, position_ras: Point) -> Mask:
    """Return a ball of 17 mL (i j k) around a place in RAS mm."""
    mask = np.zeros(volume.grid.shape, dtype=np.bool_)
    box = box_around(volume.grid, position_ras, RADIUS_MM)
    mask[box.slices] = distances_mm(volume.grid, box, position_ras) <= RADIUS_MM
    return mask


def grown_region(volume: Volume, position_ras: Point) -> Mask:
    """Return the voxels (i j k) of like intensity that hang together with a place in RAS mm.

    Like is what lies within 2.5 standard deviations of the mean of the 5 x 5 x 5 voxels around the place.
    """
    grid = volume.grid
    voxel = voxel_of(position_ras, grid)
    near = volume.array[tuple(slice(max(n - NEAR, 0), n + NEAR + 1) for n in voxel)].astype(np.float64)
    spread = max(float(near.std()), LEAST_SPREAD * float(np.ptp(volume.array)))
    box = box_around(grid, position_ras, REACH_MM)
    like = np.abs(volume.array[box.slices] - near.mean()) <= SPREAD * spread
    like &= distances_mm(grid, box, position_ras) <= REACH_MM
    parts = Components.of(like)
    mask = np.zeros(grid.shape, dtype=np.bool_)
    own = parts.at([place - start for place, start in zip(voxel, box.start, strict=True)])
    if own is not None:
        mask[box.slices] = parts.mask([own])
    return mask


def box_around(grid: Grid, position_ras: Point, radius_mm: float) -> Box:
    """Return the box of voxels that holds a ball."""
    centre = grid.to_voxel(position_ras)
    # How far along each voxel axis a ball reaches, also where the axes are not at right angles.
    reach = radius_mm * np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    low = np.clip(np.floor(centre - reach), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, grid.shape).astype(int)
    (i, j, k), (end_i, end_j, end_k) = low.tolist(), high.tolist()
    return Box((i, j, k), (end_i, end_j, end_k))


def distances_mm(grid: Grid, box: Box, position_ras: Point) -> FloatArray:
    """Return how far the voxels (i j k) of a box lie from a place."""
    indices = np.moveaxis(np.indices(box.shape), 0, -1) + np.asarray(box.start)
    return np.asarray(np.linalg.norm(grid.to_world(indices) - np.asarray(position_ras), axis=-1))


BASELINES: Mapping[str, Answer] = {"ball": ball, "region-growing": grown_region}


class Responder:
    """Answers clicks: the union of what positive ones stand for, without what is nearer to a negative one.

    Args:
        volume: The scan.
        answer: What a positive click stands for.
    """

    def __init__(self, volume: Volume, answer: Answer) -> None:
        self._volume, self._answer = volume, answer
        self._whole = Box((0, 0, 0), volume.grid.shape)

    def place(self, _position_ras: Sequence[float], _existing: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
        """Return the only patch: the scan."""
        return (0, 0, 0)

    def box(self, _patch: tuple[int, int, int]) -> Box:
        """Return the scan's box."""
        return self._whole

    def extent(self, _question: Question, _watch: Watch | None = None) -> Box:
        """Return the scan's box."""
        return self._whole

    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box was asked, which is everywhere, and where the answer is yes, both (i j k)."""
        grid = self._volume.grid
        yes = np.zeros(self._whole.shape, dtype=np.bool_)
        nearest = {True: np.full(box.shape, np.inf), False: np.full(box.shape, np.inf)}
        for click in question.clicks:
            positive = click.label % 2 == 1
            if positive:
                yes |= self._answer(self._volume, click.position_ras)
            distance = distances_mm(grid, box, click.position_ras)
            nearest[positive] = np.minimum(nearest[positive], distance)
        inside = yes[box.slices] & (nearest[True] <= nearest[False])
        if watch is not None:
            watch(1, 1)
        return np.ones(box.shape, dtype=np.bool_), inside


@dataclass(frozen=True, eq=False)
class Baseline:
    """A baseline as evaluation asks models.

    Attributes:
        name: One of `BASELINES`.
        vocabulary: Names of structures; no name tells it anything.
    """

    name: str
    vocabulary: Vocabulary

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides its answers."""
        return {"model": self.name, "weights_sha256": "", "profile": ""}

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Responder:
        """Return what answers clicks on a scan."""
        return Responder(volume, BASELINES[self.name])

    def session(self, volume: Volume, **options: Any) -> Session:
        """Return a session; options are those of `Session`."""
        return Session(volume, self, **options)


def baseline_named(name: str) -> Baseline:
    """Return a baseline by its name in `BASELINES`."""
    return Baseline(name, vocabularies.load("prosect"))
