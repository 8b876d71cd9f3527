"""A tiny random model on disk, and scans that it labels in no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import prosect
from prosect.checkpoints.files import write_weights
from prosect.cli.main import main
from prosect.geometry import Grid
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a random model of two structures."""
    torch.manual_seed(0)
    network = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False))
    described = {
        "model": "prosect-small",
        "vocabulary": "prosect",
        "classes": [1, 3],
        "preprocessing": {"spacing_mm": [3, 3, 3], "patch": [16, 16, 16]},
    }
    return write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", network.state_dict(), described)


@pytest.fixture
def make_scan() -> Callable[..., Path]:
    """Write a small scan of noise."""

    def make(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).normal(0, 300, (12, 10, 8)).astype(np.float32)
        return prosect.write(Volume(values, Grid(values.shape, np.diag([3.0, 3.0, 4.0, 1.0])), "CT"), path)

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
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.Modality, data.SeriesInstanceUID = "CT", uid
        data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = 4, 5, [1, 1], 2
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * k]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = np.zeros((4, 5), "<i2").tobytes()
        for tag, value in tags.items():
            setattr(data, tag, value)
        pydicom.dcmwrite(folder / f"{uid}_{k}", data, enforce_file_format=True)


@pytest.fixture
def dicom() -> Callable[..., None]:
    """Write a series of empty slices."""
    return write_series
