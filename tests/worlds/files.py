"""Files of asymmetric phantoms, sound and damaged."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from prosect.errors import ProsectError
from prosect.geometry import Grid
from prosect.io import read
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import Structure, Vocabulary

__all__ = [
    "BRIGHT", "SHAPE", "VOCABULARY", "bright_world", "gzipped", "label_layers", "label_map", "letter_f", "oblique",
    "outcome", "save_nifti", "set_fields",
]  # fmt: skip

SHAPE = (7, 9, 11)
BRIGHT = (1, 2, 8)


def letter_f(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.int16]:
    """Return a solid letter F with one brightest voxel: no mirror, shift or transposition maps it to itself."""
    scan = np.full(shape, -1000, np.int16)
    scan[1:3, 1:8, 2:4] = 40
    scan[1:6, 6:8, 2:4] = 80
    scan[1:4, 3:5, 2:6] = 120
    scan[BRIGHT] = 1234
    return scan


def oblique(spacing: tuple[float, float, float] = (0.7, 0.9, 2.5), degrees: float = 20.0) -> NDArray[np.float64]:
    """Return an affine turned about two axes, with an off-centre origin."""
    a, b = np.radians([degrees, degrees / 2])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 12.25, 207.0)
    return affine


def outcome(path: Path, reader: Callable[[Path], Any] = read) -> Any:
    """Return what was read, or the refusal, which must be one line with a code; any other exception passes."""
    try:
        return reader(path)
    except ProsectError as error:
        if "\n" in str(error) or not error.code:
            raise
        return error


def bright_world(array: NDArray[Any], affine: NDArray[Any]) -> NDArray[np.float64]:
    """Return the world position of the brightest voxel."""
    index = np.unravel_index(int(np.argmax(array)), array.shape)
    return np.asarray(affine @ np.array([*index, 1.0]))[:3]


def save_nifti(path: Path, array: NDArray[Any], affine: NDArray[Any] | None = None, **fields: Any) -> Path:
    """Write with nibabel, then overwrite header fields; returns the path."""
    image = nib.Nifti1Image(array, oblique() if affine is None else affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    raw = bytearray(image.to_bytes())
    set_fields(raw, **fields)
    path.write_bytes(raw if not path.name.endswith(".gz") else gzipped(bytes(raw)))
    return path


def set_fields(raw: bytearray, **fields: Any) -> None:
    """Overwrite fields of a little-endian NIfTI-1 header in place."""
    header = np.frombuffer(raw, nib.Nifti1Header.template_dtype, count=1)
    for name, value in fields.items():
        header[name][0] = value


def gzipped(raw: bytes) -> bytes:
    """Return a gzip stream."""
    return gzip.compress(raw, 6, mtime=0)


VOCABULARY = Vocabulary("phantom", (
    Structure(1, "liver", color=(221, 130, 101)),
    Structure(3, "spleen", color=(157, 108, 162)),
    Structure(5, "kidney <left> & ]]> more", color=(0, 255, 1)),
    Structure(300, "high value", color=(1, 2, 3)),
))  # fmt: skip


def label_map(grid: Grid, high: bool = False) -> LabelMap:
    """Return a label map with the values 0, 1 and 5, and with `high` 300."""
    array = np.zeros(grid.shape, np.uint16 if high else np.uint8)
    array[1:3, 1:8, 2:4] = 1
    array[1:6, 6:8, 2:4] = 5
    array[0, 0, 0] = 300 * high
    return LabelMap(array, grid, VOCABULARY)


def label_layers(grid: Grid, count: int = 2) -> LabelLayers:
    """Return overlapping masks of the labels 300 and 3, or the first alone."""
    masks = np.zeros((2, *grid.shape), bool)
    masks[0, 1:5, 1:8, 2:4] = True
    masks[1, 3:6, 6:8, 2:7] = True
    return LabelLayers(masks[:count], (300, 3)[:count], grid, VOCABULARY)
