"""What other readers make of an image: arrays (i j k) with their affine in RAS mm."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from nibabel.orientations import io_orientation, ornt_transform
from numpy.typing import NDArray

try:
    import nrrd
except ImportError:
    nrrd = None
try:
    import SimpleITK
except ImportError:
    SimpleITK = None

__all__ = ["Image", "agree", "witnesses"]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLACE_MM, VALUE = 0.02, 1e-3
SECONDS = 60
# pynrrd gives the space by name; the signs turn its axes to RAS.
SPACES = {
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1), "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Image:
    """Voxels of one volume (i j k) and where they are, in RAS mm; without an affine only values are compared."""

    array: NDArray[Any]
    affine: NDArray[np.float64] | None


def agree(one: Image, other: Image) -> bool:
    """Return whether two images show the same values at the same places, in whatever order of axes."""
    if one.affine is None or other.affine is None:
        same = one.array.size == other.array.size
        return same and close(np.sort(one.array, axis=None), np.sort(other.array, axis=None))
    first, second = canonical(one), canonical(other)
    if first.array.shape != second.array.shape or first.affine is None or second.affine is None:
        return False
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [
        *(np.array(first.array.shape) - 1), 1,
    ]  # fmt: skip
    apart = np.abs(corners @ (first.affine - second.affine).T).max()
    return bool(apart <= PLACE_MM) and close(first.array, second.array)


def close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether values are equal but for rounding to single precision."""
    scale = max(1.0, float(np.abs(other).max(initial=0)))
    return bool(np.allclose(one, other, rtol=1e-5, atol=VALUE * min(1.0, scale), equal_nan=True))


def canonical(image: Image) -> Image:
    """Return an image with its axes in the order and direction nearest to RAS."""
    assert image.affine is not None
    turn = ornt_transform(io_orientation(image.affine), [[0, 1], [1, 1], [2, 1]])
    array = nib.apply_orientation(image.array, turn)
    return Image(array, image.affine @ nib.orientations.inv_ornt_aff(turn, image.array.shape))


def witnesses(path: Path, kind: str, files: Sequence[Path]) -> dict[str, list[Image]]:
    """Return what each reader of such images makes of one; readers that refuse it or are not installed are left out."""
    readers: dict[str, Callable[[], list[Image]]] = {}
    if kind in ("nifti", "nifti pair", "mgh"):
        readers["nibabel"] = lambda: by_nibabel(path)
    if kind == "nrrd" and nrrd is not None:
        readers["pynrrd"] = lambda: by_pynrrd(path)
    if kind == "metaimage" and SimpleITK is not None:
        readers["SimpleITK"] = lambda: by_itk(path)
    if kind.startswith("dicom"):
        readers["pydicom"] = lambda: by_pydicom(files or (path,))
        if shutil.which("dcm2niix"):
            readers["dcm2niix"] = lambda: by_dcm2niix(files or (path,))
    found: dict[str, list[Image]] = {}
    for name, reader in readers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                images = reader()
        except Exception:  # whatever another reader raises, it does not read this
            continue
        if images:
            found[name] = images
    return found


def volumes(array: NDArray[Any], affine: NDArray[np.float64]) -> list[Image]:
    """Return the first volume of an array of three axes or more."""
    while array.ndim > 3:
        array = array[..., 0]
    return [Image(array, affine)] if array.ndim == 3 else []


def by_nibabel(path: Path) -> list[Image]:
    """Return the first volume as nibabel reads it."""
    image = nib.load(path)
    return volumes(np.asanyarray(image.dataobj), image.affine)


def by_pynrrd(path: Path) -> list[Image]:
    """Return the first volume as pynrrd reads it, where its header says where it lies."""
    array, header = nrrd.read(str(path))
    signs = SPACES.get(str(header.get("space", "")).lower())
    if signs is None or "space directions" not in header or array.ndim < 3:
        return []
    directions = np.asarray(header["space directions"], float)
    spatial = [n for n, row in enumerate(directions) if np.isfinite(row).all()]
    affine = np.eye(4)
    affine[:3, :3] = directions[spatial].T
    affine[:3, 3] = header["space origin"]
    affine = np.diag([*signs, 1.0]) @ affine
    return volumes(np.moveaxis(array, spatial, (0, 1, 2)), affine)


def by_itk(path: Path) -> list[Image]:
    """Return the first volume as SimpleITK reads it."""
    image = SimpleITK.ReadImage(str(path))
    if image.GetDimension() < 3:
        return []
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    affine[:3, :3] = directions * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return volumes(SimpleITK.GetArrayFromImage(image).T, LPS @ affine)


def by_pydicom(files: Sequence[Path]) -> list[Image]:
    """Return the values of a file or of the slices of a series, scaled; where they lie is not worked out."""
    values = []
    for file in files:
        data = pydicom.dcmread(file)
        values.append(data.pixel_array * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0)))
    return [Image(np.stack(values), None)]


def by_dcm2niix(files: Sequence[Path]) -> list[Image]:
    """Return the volumes that dcm2niix makes of files, the first of each 4D file."""
    found: list[Image] = []
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        out.mkdir()
        for number, file in enumerate(files):
            (source / f"{number:05d}.dcm").symlink_to(file.resolve())
        words = ["dcm2niix", "-b", "n", "-z", "n", "-m", "n", "-o", str(out), str(source)]
        subprocess.run(words, capture_output=True, check=False, timeout=SECONDS)
        for path in sorted(out.glob("*.nii")):
            found += [Image(np.array(image.array), image.affine) for image in by_nibabel(path)]
    return found
