"""What cannot be right in a scan or a result.

Scans that are not what a model was trained on, and structures larger than any it has seen, are warned of, in words
that the result keeps.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from prosect.display import millilitres
from prosect.errors import ProsectWarning
from prosect.geometry import Grid, odd_size
from prosect.inference.canvas import Canvas
from prosect.models.spec import ModelSpec
from prosect.volume import Volume

__all__ = ["blank", "implausible", "not_hounsfield", "unlike_training", "volumes_ml"]

# Bodies differ by less than this; a scan of another region, mistaken voxel by voxel, soon exceeds it.
TIMES_LARGEST = 2.0
# In 209 CTs at least 26 % of the voxels outside the padding lie below -200 HU (air, lung), in 131 MR scans none; crops
# without air show fat instead (docs/reference/formats.md).
AIR_HU, LEAST_AIR = -200.0, 0.01
FAT_HU, LEAST_FAT = -50.0, 0.05
# Scanners fill what lies outside their circle with -2000, -3024 or -32768: that is no air.
PADDING_HU = -1500.0
# The inside of one organ shows neither, but a narrow range around 0.
ONE_ORGAN_HU = 200.0
# A range this narrow is no scan in HU at all: scaled to 0..1 or to its standard deviation, or PET in SUV.
SCALED_RANGE, SCALED_LOW = 100.0, -10.0
# Metal and padding go further, but are small or lie outside the body.
WILDEST_HU, MOST_WILD = 5000.0, 0.02


def implausible(found_ml: Mapping[int, float], spec: ModelSpec) -> list[str]:
    """Return, and warn of, structures of more than twice the largest volume seen in training."""
    names = {structure.index: structure.name for structure in spec.vocabulary}
    doubts = []
    for index, largest in spec.largest_ml.items():
        found = found_ml.get(index, 0.0)
        if found <= TIMES_LARGEST * largest:
            continue
        doubt = (
            f"{names[index]}: {millilitres(found)} is implausible, the largest in training was {millilitres(largest)}; "
            "the scan may show a region that the model was not made for"
        )
        warnings.warn(f"{doubt}.", ProsectWarning, stacklevel=2)
        doubts.append(doubt)
    return doubts


def volumes_ml(canvas: Canvas, grid: Grid, spec: ModelSpec) -> dict[int, float]:
    """Return the volume in mL of each structure that was found; nothing where the model knows no volumes.

    Counting takes a pass over the labels.
    """
    if not spec.largest_ml:
        return {}
    return {index: count * grid.voxel_volume_ml for index, count in canvas.counts().items()}


def blank(image: Tensor) -> list[str]:
    """Return, and warn of, a scan that shows nothing: every voxel equal after scaling to the model's window."""
    low, high = image.aminmax()
    if bool(low < high):
        return []
    doubt = "the scan shows nothing: all its intensities are the same to this model, so nothing was looked for"
    warnings.warn(f"{doubt[0].upper()}{doubt[1:]}.", ProsectWarning, stacklevel=2)
    return [doubt]


def unlike_training(volume: Volume, spec: ModelSpec) -> list[str]:
    """Return, and warn of, what sets a scan apart from those that a model was trained on: size and intensities.

    Intensities only for models that take Hounsfield units: others scale what they are given.
    """
    doubts = [odd_size(volume.grid), not_hounsfield(volume, spec)]
    for doubt in filter(None, doubts):
        warnings.warn(f"{doubt[0].upper()}{doubt[1:]}; what is found in it may be wrong.", ProsectWarning, stacklevel=2)
    return [doubt for doubt in doubts if doubt]


def not_hounsfield(volume: Volume, spec: ModelSpec) -> str:
    """Return why intensities cannot be the Hounsfield units that a model takes, or nothing.

    A CT whose values were clipped to a window that keeps fat, such as -125 to 275, is not doubted.
    """
    if spec.intensity.kind != "window":
        return ""
    if volume.modality not in (None, "CT"):
        return f"the scan is {volume.modality}, and {spec.name} was trained on CT"
    air = fat = padding = wild = 0
    for plane in volume.array:  # plane by plane: a mask of the whole scan would be a quarter of its size
        padded = int(np.count_nonzero(plane < PADDING_HU))
        air += int(np.count_nonzero(plane < AIR_HU)) - padded
        fat += int(np.count_nonzero(plane < FAT_HU)) - padded
        padding += padded
        wild += int(np.count_nonzero(np.abs(plane) > WILDEST_HU))
    low, high = float(volume.array.min()), float(volume.array.max())
    if wild > MOST_WILD * volume.array.size:
        return f"intensities from {low:g} to {high:g} are not Hounsfield units"
    if high == low:
        return ""  # `blank` says what such a scan is
    if high - low < SCALED_RANGE and low > SCALED_LOW:
        return (
            f"intensities from {low:g} to {high:g} are hardly Hounsfield units (a scan scaled to 0..1, or another "
            "modality?)"
        )
    shown = volume.array.size - padding
    if air >= LEAST_AIR * shown or fat >= LEAST_FAT * shown or (low < 0 and high - low <= ONE_ORGAN_HU):
        return ""
    return (
        f"intensities from {low:g} to {high:g} have hardly any air or fat below {FAT_HU:g}, so they are hardly "
        "Hounsfield units (stored values without their offset, an 8-bit export, or another modality?)"
    )
