"""What a file does not say can be stated, is recorded, and never overrides what the file says."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect.errors import FormatError, GeometryError, UsageError

AFFINE = np.array([[-2.0, 0, 0, 5], [0, 2, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])


def nifti(path: Path, array: np.ndarray, *, codes: int = 1) -> Path:
    image = nibabel.Nifti1Image(array.astype(np.float32), AFFINE)
    image.header.set_zooms((2, 2, 3))
    image.set_sform(AFFINE, codes)
    image.set_qform(AFFINE, codes)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(("word", "kept"), [("CT", "CT"), ("mri", "MR"), ("PET", "PT"), ("NM", "NM"), ("us", "US")])
def test_the_modality_of_a_nifti_file_is_as_stated(tmp_path: Path, word: str, kept: str) -> None:
    path = nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 6)))
    assert prosect.read(path, modality=word).modality == kept
    with pytest.raises(UsageError, match="unknown"):
        prosect.read(path, modality="CTA")


def test_nan_is_replaced_on_request_alone_and_counted(tmp_path: Path) -> None:
    array = np.full((4, 5, 6), 40.0)
    array[0, :2, 3] = np.nan
    path = nifti(tmp_path / "a.nii.gz", array)
    with pytest.raises(FormatError, match="NaN") as refused:
        prosect.read(path)
    assert refused.value.code == "INPUT_NONFINITE"
    volume = prosect.read(path, nan_as=-1024)
    assert (volume.array[0, :2, 3] == -1024).all()
    assert np.count_nonzero(volume.array == 40) == 118
    assert any("2 of 120 voxels were NaN" in note and "-1024" in note for note in volume.source.notes)
    array[1, 1, 1] = np.inf
    with pytest.raises(FormatError, match="infinite"):
        prosect.read(nifti(tmp_path / "b.nii.gz", array), nan_as=0)
    with pytest.raises(UsageError, match="nan"):
        prosect.read(path, nan_as=float("nan"))


@pytest.mark.parametrize(("axes", "signs"), [("RAS", (2, 2, 3)), ("LPS", (-2, -2, 3)), ("LAI", (-2, 2, -3))])
def test_an_orientation_is_assumed_where_both_codes_are_0(tmp_path: Path, axes: str, signs: tuple[float, ...]) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros((4, 5, 6)), codes=0)
    with pytest.raises(GeometryError, match="assume-orientation"):
        prosect.read(path)
    volume = prosect.read(path, assume_orientation=axes.lower())
    assert volume.grid.orientation == axes
    np.testing.assert_allclose(np.diag(volume.grid.affine)[:3], signs)
    np.testing.assert_allclose(volume.grid.affine @ [1.5, 2, 2.5, 1], [0, 0, 0, 1], atol=1e-9)
    assert any(f"{axes} was assumed" in note for note in volume.source.notes)


def test_axes_may_be_permuted(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros((4, 5, 6)), codes=0)
    grid = prosect.read(path, assume_orientation="PIR").grid
    assert grid.orientation == "PIR"
    np.testing.assert_allclose(grid.spacing_mm, (2, 2, 3))


def test_what_the_file_says_is_not_overridden(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros((4, 5, 6)))
    assert prosect.read(path, assume_orientation="LAS").grid.orientation == "LAS"
    with pytest.raises(GeometryError, match=r"LAS.*RAS was to be assumed"):
        prosect.read(path, assume_orientation="RAS")
    with pytest.raises(UsageError, match="no orientation"):
        prosect.read(path, assume_orientation="RRS")
