"""A tiny random model on disk, and scans that it labels in no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.cli.main import main
from worlds.dicom import dicom_slice, save_slice
from worlds.scans import noise
from worlds.weights import write_vista3d


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a random model of two structures."""
    said = {"model": "prosect-small", "vocabulary": "prosect", "classes": [1, 3]}
    return write_vista3d(tmp_path_factory.mktemp("weights") / "tiny.safetensors", said, interactive=False)


@pytest.fixture
def make_scan() -> Callable[..., Path]:
    """Write a small scan of noise."""

    def make(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return prosect.write(noise((12, 10, 8), np.diag([3.0, 3.0, 4.0, 1.0]), seed=seed, modality="CT"), path)

    return make


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], weights: Path) -> Callable[..., tuple[int, str, str]]:
    """Segment with the tiny model and return status, what was printed, and what was complained about."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main(["segment", *(str(word) for word in words), "-w", str(weights), "-d", "cpu"])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def write_series(folder: Path, uid: str, count: int = 3, **tags: object) -> None:
    """Write a series of empty slices of 2 mm."""
    for k in range(count):
        empty = np.zeros((4, 5), np.int16)
        data = dicom_slice(empty, (0, 0, 2 * k), SeriesInstanceUID=uid, SliceThickness=2, PixelSpacing=[1, 1], **tags)
        save_slice(folder, f"{uid}_{k}", data)


@pytest.fixture
def dicom() -> Callable[..., None]:
    """Write a series of empty slices."""
    return write_series
