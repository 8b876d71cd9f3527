"""Scans that other libraries hold: images of nibabel and SimpleITK, and arrays with an affine.

No library is imported for it: an image brings its own. What a file of the image would say is read in the same way, so
that an image in memory and its file are one scan.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from prosect.errors import UsageError
from prosect.geometry import Grid
from prosect.io.stored import StoredImage
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.io import nifti
else:
    nifti = lazy_module("prosect.io.nifti")

__all__ = ["image_in_memory"]

NAME = "the image"


def image_in_memory(thing: Any, assumed: str | None = None) -> StoredImage:
    """Return the image that an object of another library is; voxels i j k c, geometry in RAS mm.

    Args:
        thing: An image of nibabel or SimpleITK, or a pair of an array (i j k) and an affine (4 x 4, voxels to RAS mm).
        assumed: Where the voxel axes point, such as `RAS`, for a NIfTI image that does not say.

    Raises:
        GeometryError: It does not say where its voxels are, or its affine cannot be one.
        UsageError: It is none of these.
    """
    if hasattr(thing, "dataobj") and hasattr(thing, "affine"):
        return of_nibabel(thing, assumed)
    if hasattr(thing, "GetDirection") and hasattr(thing, "GetOrigin"):
        return of_itk(thing)
    if isinstance(thing, tuple | list) and len(thing) == 2 and np.shape(thing[1]) == (4, 4):
        array = with_volumes(np.asarray(thing[0]))
        grid = Grid(array.shape[:3], np.asarray(thing[1], dtype=np.float64))
        return StoredImage(NAME, "array", array, grid)
    raise UsageError(
        f"A scan cannot be read from {type(thing).__name__}. Give a path, an image of nibabel or SimpleITK, or a pair "
        "of an array and its affine (voxels to RAS mm)."
    )


def of_nibabel(image: Any, assumed: str | None) -> StoredImage:
    """Return an image of nibabel, intensities scaled as it scales them."""
    array = with_volumes(np.asanyarray(image.dataobj))
    shape = array.shape[0], array.shape[1], array.shape[2]
    header = image.header
    # Only NIfTI can leave open where voxels are; nibabel's affine would then be a guess.
    if "sform_code" in header:
        grid, repairs, notes = nifti.geometry(header, shape, NAME, assumed)
        return StoredImage(NAME, "nifti", array, grid, repairs=repairs, notes=notes)
    return StoredImage(NAME, "array", array, Grid(shape, np.asarray(image.affine, dtype=np.float64)))


def of_itk(image: Any) -> StoredImage:
    """Return an image of SimpleITK, whose world is LPS mm and whose arrays have the axes k j i."""
    library = sys.modules[type(image).__module__.partition(".")[0]]
    array = np.asarray(library.GetArrayFromImage(image))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UsageError(
            f"The image has {image.GetDimension()} axes and {image.GetNumberOfComponentsPerPixel()} values in a voxel; "
            "a 3D scan of one intensity is needed."
        )
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    array = array.transpose(2, 1, 0)
    return StoredImage(NAME, "array", with_volumes(array), Grid(array.shape, to_ras @ affine))


def with_volumes(array: Any) -> Any:
    """Return an array with the axes i j k c.

    Raises:
        UsageError: It has fewer than three axes, or more than four.
    """
    if array.ndim == 3:
        return array[..., np.newaxis]
    if array.ndim != 4:
        raise UsageError(f"The array has the shape {array.shape}; a 3D scan (i j k) is needed.")
    return array
