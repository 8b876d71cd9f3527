"""What cannot be right in a result: structures far larger than any the model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import ProsectWarning
from prosect.geometry import Grid
from prosect.models.spec import ModelSpec

__all__ = ["implausible", "volumes_ml"]

# Bodies differ by less than this; a scan of another region, mistaken voxel by voxel, soon exceeds it.
TIMES_LARGEST = 2.0


def volumes_ml(arrays: Sequence[NDArray[Any]], indices: Sequence[int], overlap: bool, grid: Grid) -> dict[int, float]:
    """Return the volume of each class in one flat label map, or in one mask per class."""
    if overlap:
        counts = {index: int(np.count_nonzero(mask)) for index, mask in zip(indices, arrays, strict=True)}
    else:
        # Plane by plane: counting casts to int64, which for a whole scan would take eight times its labels.
        size = max(indices) + 1
        total = sum((np.bincount(plane.ravel(), minlength=size) for plane in arrays[0]), np.zeros(size, dtype=np.int64))
        counts = {index: int(total[index]) for index in indices}
    return {index: count * grid.voxel_volume_ml for index, count in counts.items()}


def implausible(found_ml: dict[int, float], spec: ModelSpec) -> list[str]:
    """Return, and warn of, structures of more than twice the largest volume seen in training."""
    names = {structure.index: structure.name for structure in spec.vocabulary}
    doubts = [
        f"{names[index]}: {found_ml[index]:.0f} mL is implausible, the largest in training was {largest:.0f} mL; "
        "the scan may show a region that the model was not made for"
        for index, largest in spec.largest_ml.items()
        if found_ml.get(index, 0.0) > TIMES_LARGEST * largest
    ]
    for doubt in doubts:
        warnings.warn(f"{doubt}.", ProsectWarning, stacklevel=2)
    return doubts
