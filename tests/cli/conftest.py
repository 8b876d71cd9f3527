"""A small scan on disk and a model that needs no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect import vocabulary
from prosect.cli.main import main
from prosect.geometry import Grid
from prosect.inference.probabilities import Probabilities
from prosect.labelmap import LabelLayers, LabelMap
from prosect.volume import Source, Volume
from worlds.label_objects import labelled_series

WORDS = vocabulary.load("prosect")


class Plan(str):
    """What `--dry-run` prints, with the number of windows."""

    windows = 4


@dataclass
class FakeModel:
    """Labels everything above 0 as liver, or as what was asked for; can be told to fail."""

    failure: BaseException | None = None
    calls: list[dict[str, object]] = field(default_factory=list)
    vocabulary: vocabulary.Vocabulary = WORDS
    weights_sha256: str = "0" * 64

    device: torch.device = torch.device("cpu")  # noqa: RUF009
    name: str = "fake"

    @property
    def spec(self) -> SimpleNamespace:
        return SimpleNamespace(name="fake", weights_sha256=self.weights_sha256)

    @property
    def identity(self) -> dict[str, str]:
        return {"model": "fake", "weights_sha256": self.weights_sha256, "profile": "prosect"}

    def load(self, name: str | None = None, **options: object) -> FakeModel:
        self.calls.append({"load": name, **options})
        return self

    def plan(self, volume: Volume, classes: list[str] | None = None, overlap: bool = False) -> str:
        return Plan(f"peak 1.5 GiB for {volume.grid.shape}")

    def segment(
        self,
        volume: Volume,
        classes: list[str] | None = None,
        overlap: bool = False,
        watch: Callable[[int, int], None] | None = None,
    ) -> LabelMap | LabelLayers:
        if self.failure is not None:
            raise self.failure
        for done in range(1, 5) if watch is not None else ():
            watch(done, 4)
        asked = self.vocabulary.resolve(classes or ["liver"])
        where = volume.array > 0
        expansions = {name: list(parts) for name, parts in asked.expansions.items()}
        provenance = {
            "model": self.name, "weights_sha256": self.weights_sha256, "classes": list(asked.indices),
            "expansions": expansions, "notes": ["something was assumed"],
        }  # fmt: skip
        if overlap:
            masks = np.stack([where] * len(asked.indices))
            return LabelLayers(masks, asked.indices, volume.grid, self.vocabulary, provenance)
        values = np.where(where, asked.indices[0], 0).astype(np.uint16)
        return LabelMap(values, volume.grid, self.vocabulary, provenance)

    def weigh(
        self, volume: Volume, classes: list[str] | None = None, **options: Any
    ) -> tuple[LabelMap | LabelLayers, Probabilities]:
        """Answer as `segment`; the first structure has the probability 0.75 where it is."""
        labels = self.segment(volume, classes, **options)
        first = labels.sought[0]
        makers = {
            index: partial(np.multiply, labels.own_mask(first), np.float32(0.75 if index == first else 0.25))
            for index in labels.sought
        }
        return labels, Probabilities(volume.grid, makers)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    monkeypatch.setitem(prosect.__dict__, "load", fake.load)
    return fake


@pytest.fixture
def scan_path(tmp_path: Path) -> Path:
    array = np.full((12, 10, 8), -1000.0, dtype=np.float32)
    array[2:8, 3:7, 2:6] = 55.0
    affine = np.diag([3.0, 3.0, 5.0, 1.0])
    volume = Volume(array, Grid(array.shape, affine), "CT", Source("scan", "array"))
    return prosect.write(volume, tmp_path / "scan.nii.gz")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Return the folder of a DICOM series that results can be written for."""
    labelled_series(tmp_path / "ct", StudyDate="20200304")
    return tmp_path / "ct"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line and return its status, what it printed, and what it complained about."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call
