"""Real scans, where they are at hand: every reader agrees with another library on voxels and world."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from prosect.errors import ProsectError, ProsectWarning
from prosect.geometry import Grid
from prosect.io import read, read_labels
from worlds.dicom import LPS
from worlds.files import outcome

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real scans (../shared/data) are not on this machine")


def itk_grid(image: SimpleITK.Image) -> Grid:
    """Return ITK's geometry in RAS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Grid(image.GetSize(), LPS @ affine)


def test_nifti_agrees_with_nibabel() -> None:
    paths = sorted(p for p in DATA.rglob("*.nii.gz") if p.stat().st_size < 2_000_000)[::40]
    assert paths
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProsectWarning)
            volume = read(path)
        image = nib.load(path)
        expected = np.asarray(image.dataobj, np.float64).astype(np.float32).reshape(volume.grid.shape)
        assert np.array_equal(volume.array, expected), path.name
        assert np.abs(volume.grid.affine - image.affine).max() < 1e-3, path.name


def test_nrrd_agrees_with_itk() -> None:
    paths = sorted(DATA.rglob("*.nrrd"))[::5]
    assert paths
    read_count = 0
    for path in paths:
        volume = outcome(path)
        if isinstance(volume, ProsectError):
            assert volume.code == "GEOMETRY_INVALID", path.name
            continue
        image = SimpleITK.ReadImage(str(path))
        assert np.array_equal(volume.array, SimpleITK.GetArrayFromImage(image).T.astype(np.float32)), path.name
        assert volume.grid.distance_to(itk_grid(image)) < 1e-6, path.name
        read_count += 1
    assert read_count > 0


def test_a_jpeg_2000_series_agrees_with_itk() -> None:
    folder = DATA / "totalsegmentator_refs" / "example_ct_dicom"
    volume = read(folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(volume.array, SimpleITK.GetArrayFromImage(image).T.astype(np.float32))
    assert volume.grid.distance_to(itk_grid(image)) < 1e-6
    assert (volume.modality, volume.grid.shape) == ("CT", (512, 512, 20))


def test_names_in_a_totalsegmentator_result_are_read() -> None:
    labels = read_labels(DATA / "totalsegmentator_refs" / "example_seg.nii.gz")
    assert labels.names[1] == "spleen"
    assert len(labels.names) == 117
