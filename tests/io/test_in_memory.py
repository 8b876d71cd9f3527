"""Images that nibabel and SimpleITK hold are the scans of their files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

import prosect
from prosect.errors import FormatError, GeometryError, UsageError
from prosect.volume import Volume

ARRAY = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
# Oblique, left-handed, anisotropic: whatever is exchanged or forgotten shows.
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, -1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * [1.0, 2.0, 5.0]
AFFINE[:3, 3] = [10.0, -20.0, 30.0]


def same(one: Volume, other: Volume) -> None:
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_allclose(one.grid.affine, other.grid.affine, atol=1e-5)


def test_an_image_of_nibabel_is_the_scan_of_its_file(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ARRAY, AFFINE)
    nibabel.save(image, tmp_path / "a.nii.gz")
    read = prosect.read(tmp_path / "a.nii.gz")
    same(prosect.read(image), read)
    same(prosect.read(nibabel.load(tmp_path / "a.nii.gz")), read)
    same(Volume.from_image(image, "MR"), read)
    assert Volume.from_image(image, "MR").modality == "MR"


def test_an_image_of_simpleitk_is_the_scan_of_its_file(tmp_path: Path) -> None:
    prosect.write(Volume.from_array(ARRAY, AFFINE), tmp_path / "a.nrrd")
    image = SimpleITK.ReadImage(str(tmp_path / "a.nrrd"))
    same(prosect.read(image), prosect.read(tmp_path / "a.nrrd"))


def test_scaled_values_of_a_file_are_scaled_once(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), AFFINE)
    image.header.set_slope_inter(2.0, -7.0)
    nibabel.save(image, tmp_path / "a.nii")
    same(prosect.read(nibabel.load(tmp_path / "a.nii")), prosect.read(tmp_path / "a.nii"))


def test_an_array_comes_with_its_affine() -> None:
    same(prosect.read((ARRAY, AFFINE)), Volume.from_array(ARRAY, AFFINE))


def test_an_image_that_does_not_say_where_it_lies_is_refused_as_its_file_is() -> None:
    image = nibabel.Nifti1Image(ARRAY, None)
    with pytest.raises(GeometryError, match="state the orientation"):
        prosect.read(image)
    assert prosect.read(image, assume_orientation="RAS").grid.orientation == "RAS"


def test_several_volumes_are_asked_for_by_number() -> None:
    image = nibabel.Nifti1Image(np.stack([ARRAY, ARRAY + 1], axis=3), AFFINE)
    with pytest.raises(FormatError) as refused:
        prosect.read(image)
    assert refused.value.code == "INPUT_SEVERAL_VOLUMES"
    np.testing.assert_array_equal(prosect.read(image, volume=1).array, ARRAY + 1)


@pytest.mark.parametrize("thing", [3, ARRAY, (ARRAY, np.eye(3)), (ARRAY[0], AFFINE), None])
def test_what_is_no_image_is_refused(thing: object) -> None:
    with pytest.raises(UsageError):
        prosect.read(thing)


def test_images_of_colours_or_slices_of_simpleitk_are_refused() -> None:
    for image in (
        SimpleITK.Image([4, 4], SimpleITK.sitkFloat32),
        SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorUInt8),
    ):
        with pytest.raises(UsageError, match="3D scan of one intensity"):
            prosect.read(image)
