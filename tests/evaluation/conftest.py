"""A labelled scan, and models that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from prosect import vocabulary
from prosect.boxes import Box
from prosect.data.labelled import LabelledScan
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers, LabelMap
from prosect.prompts import voxel_of
from prosect.session import Change
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
SHAPE = (20, 18, 16)
LIVER, SPLEEN, AORTA, BRAIN = 1, 3, 6, 22


@dataclass
class FakeSession:
    """A positive click takes the block around it, a negative one gives it back; all that was clicked is noted."""

    grid: Grid
    reach: int
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    made: list[tuple[str, bool]] = field(default_factory=list)

    def click(self, position: Sequence[float], positive: bool = True, structure: Any = None) -> Change:
        """Change the structure's mask."""
        i, j, k = (slice(max(n - self.reach, 0), n + self.reach + 1) for n in voxel_of(tuple(position), self.grid))
        self.masks.setdefault(structure, np.zeros(self.grid.shape, dtype=bool))[i, j, k] = positive
        self.made.append((structure, positive))
        return Change(structure, 1, 0, Box((0, 0, 0), (1, 1, 1)), 0.25)

    def box(self, corner: Any, opposite: Any, structure: Any = None, space: str = "ras") -> Change:
        """Take the whole box."""
        assert space == "voxel"
        i, j, k = (slice(a, b + 1) for a, b in zip(corner, opposite, strict=True))
        self.masks.setdefault(structure, np.zeros(self.grid.shape, dtype=bool))[i, j, k] = True
        return Change(structure, 1, 0, Box((0, 0, 0), (1, 1, 1)), 0.5)

    def mask(self, structure: str) -> np.ndarray:
        """Return a copy of the mask."""
        return self.masks.get(structure, np.zeros(self.grid.shape, dtype=bool)).copy()

    def start_from(self, labels: LabelMap | LabelLayers) -> None:
        """Take every structure."""
        self.masks.update({labels.name_of(index): np.array(labels.mask(index)) for index in labels.present})


@dataclass
class FakeModel:
    """Finds what it was told to find, and answers clicks by blocks."""

    found: np.ndarray
    vocabulary: Vocabulary = WORDS
    reach: int = 2
    identity: dict[str, str] = field(default_factory=lambda: {"model": "fake", "weights_sha256": "0" * 64})
    sessions: list[FakeSession] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    spec: Any = None
    device: Any = None

    def segment(self, volume: Volume, classes: Any = None, overlap: bool = False) -> LabelMap | LabelLayers:
        """Return what is to be found of the classes asked for."""
        self.asked.append((classes, overlap))
        indices = WORDS.resolve(list(classes or ["liver", "spleen"])).indices
        said = {"classes": list(indices), "seconds": {"network": 0.5}, "windows": 3}
        if overlap:
            return LabelLayers(np.stack([self.found == i for i in indices]), indices, volume.grid, WORDS, said)
        return LabelMap(np.where(np.isin(self.found, indices), self.found, 0), volume.grid, WORDS, said)

    def plan(self, volume: Any, classes: Any = None, overlap: bool = False) -> Any:
        """Refuse: no evaluation asks for memory, but a model that finds structures has it."""
        raise NotImplementedError

    def responder(self, volume: Volume, kept: Any = None) -> Any:
        """Refuse: sessions are fake, too."""
        raise NotImplementedError

    def session(self, volume: Volume) -> FakeSession:
        """Return a new session, kept for the test to look at."""
        self.sessions.append(FakeSession(volume.grid, self.reach))
        return self.sessions[-1]


@pytest.fixture
def scan() -> LabelledScan:
    """Return a scan with a liver and a spleen that is known to have no aorta."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[3:10, 3:10, 3:10] = LIVER
    labels[13:17, 4:8, 4:9] = SPLEEN
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))
    volume = Volume(labels * 50.0, grid, "CT")
    return LabelledScan("one", volume, LabelMap(labels, grid, WORDS), (LIVER, SPLEEN, AORTA), "Task09")


@pytest.fixture
def model(scan: LabelledScan) -> FakeModel:
    """Return a model that finds the liver whole, half of the spleen, and an aorta that is not there."""
    found = np.array(scan.labels.array)  # type: ignore[union-attr]
    found[15:, 4:8, 4:9] = 0
    found[0:2, 0:2, 0:2] = AORTA
    return FakeModel(found)
