"""A server with a model of ten lines: balls around clicks, so that every answer can be worked out by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np

from prosect import vocabulary
from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.progress import Watch
from prosect.server.service import Service
from prosect.server.settings import Settings
from prosect.session import Session
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
RADIUS_MM = 6.0
TOKEN = "a-token-of-the-tests-0123456789"


def ball(grid: Grid, centre: Sequence[float], radius_mm: float) -> np.ndarray:
    """The voxels (i j k) of a grid whose centres lie within a radius of a place."""
    index = np.stack(np.indices(grid.shape), axis=-1).reshape(-1, 3)
    near = ((grid.to_world(index) - np.asarray(centre)) ** 2).sum(axis=1) <= radius_mm**2
    return near.reshape(grid.shape)


class BallResponder:
    """Answers with a ball around each positive click, less those around negative ones."""

    def __init__(self, volume: Volume, wait_s: float) -> None:
        self.grid, self.wait_s = volume.grid, wait_s

    def place(self, _position: Sequence[float], _existing: Any) -> tuple[int, int, int]:
        return (0, 0, 0)

    def box(self, _patch: Any) -> Box:
        return Box((0, 0, 0), self.grid.shape)

    def extent(self, _question: Any, _watch: Watch | None = None) -> Box:
        return Box((0, 0, 0), self.grid.shape)

    def propose(self, question: Any, box: Box, watch: Watch | None = None) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(self.wait_s)
        yes = np.zeros(self.grid.shape, dtype=bool)
        for click in question.clicks:
            inside = ball(self.grid, click.position_ras, RADIUS_MM)
            yes = yes | inside if click.label in (1, 3) else yes & ~inside
        if watch is not None:
            watch(1, 1)
        return np.ones(box.shape, dtype=bool), yes[box.slices]


@dataclass
class BallModel:
    """Finds the liver as a ball in the middle of a scan, in four windows, and answers clicks with balls."""

    wait_s: float = 0.0
    window_s: float = 0.0
    vocabulary: Any = WORDS
    spec: Any = field(default_factory=lambda: SimpleNamespace(licence="none"))
    structures: tuple[int, ...] = (1, 3)
    device: str = "cpu"
    label_values: Mapping[int, int] = field(default_factory=dict)

    @property
    def identity(self) -> Mapping[str, str]:
        return {"model": "balls", "weights_sha256": "0" * 64, "profile": "prosect"}

    def segment(
        self, volume: Volume, classes: Any = None, overlap: bool = False, watch: Watch | None = None
    ) -> LabelMap:
        for window in range(4):
            time.sleep(self.window_s)
            if watch is not None:
                watch(window + 1, 4)
        middle = volume.grid.to_world([np.asarray(volume.grid.shape) / 2])[0]
        found = ball(volume.grid, middle, 10.0).astype(np.uint8)
        return LabelMap(found, volume.grid, WORDS, {"classes": [1]})

    def plan(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def draft(self, volume: Volume, _indices: Sequence[int], _overlap: bool, watch: Watch | None = None) -> LabelMap:
        return self.segment(volume, watch=watch)

    def responder(self, volume: Volume, _kept: Any = None) -> BallResponder:
        return BallResponder(volume, self.wait_s)

    def session(self, volume: Volume, **options: Any) -> Session:
        return Session(volume, self, **options)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        service: What it serves.
        settings: Its settings, with the port that it has.
        http: A connection that knows the token.
    """

    service: Service
    settings: Settings
    http: httpx.Client

    @property
    def address(self) -> str:
        """Where it is, without the token."""
        return f"http://127.0.0.1:{self.settings.port}"

    def begin(self, path: str = "ct.nii.gz") -> tuple[dict[str, Any], dict[str, Any]]:
        """Open a scan and begin a session; return both as the server tells them."""
        scan = self.http.post("/api/v1/scans", json={"root": "scans", "path": path}).json()
        return scan, self.http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()
