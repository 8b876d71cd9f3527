"""A person drawn from a generator, scanned on a grid: the volume and the truth."""

from __future__ import annotations

import numpy as np

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.head_neck import FIELD_OF_VIEW as HEAD_NECK_VIEW
from prosect.phantom.head_neck import head_neck_anatomy
from prosect.phantom.scanner import LOWEST_HU, Anatomy, covering_grid, render, scan_noise
from prosect.phantom.torso import FIELD_OF_VIEW as TORSO_VIEW
from prosect.phantom.torso import torso_anatomy
from prosect.volume import Source, Volume

__all__ = ["head_neck", "scan", "torso"]

Spacing = tuple[float, float, float]
Shape3 = tuple[int, int, int]


def torso(
    generator: np.random.Generator,
    spacing_mm: Spacing = (2.0, 2.0, 2.5),
    shape: Shape3 | None = None,
    *,
    grid: Grid | None = None,
    noise_hu: float = 12.0,
) -> tuple[Volume, LabelMap]:
    """Return a CT of chest and upper abdomen, and its labels in the `prosect` vocabulary.

    The person is drawn before the noise: generators of one seed give one anatomy, whatever the grid.

    Args:
        generator: Source of the person and of the noise.
        spacing_mm: Voxel size of a grid along R, A, S.
        shape: Its voxel counts about the middle of the field of view; the whole field by default.
        grid: Any other grid to sample on instead.
        noise_hu: Standard deviation of the noise.
    """
    anatomy = torso_anatomy(generator)
    return scan(anatomy, grid or covering_grid(*TORSO_VIEW, spacing_mm, shape), generator, noise_hu, "torso phantom")


def head_neck(
    generator: np.random.Generator,
    spacing_mm: Spacing = (2.0, 2.0, 2.5),
    shape: Shape3 | None = None,
    *,
    grid: Grid | None = None,
    noise_hu: float = 10.0,
) -> tuple[Volume, LabelMap]:
    """Return a CT of head, neck and shoulders, and its labels; the arguments are those of `torso`."""
    anatomy = head_neck_anatomy(generator)
    view = covering_grid(*HEAD_NECK_VIEW, spacing_mm, shape)
    return scan(anatomy, grid or view, generator, noise_hu, "head and neck phantom")


def scan(
    anatomy: Anatomy, grid: Grid, generator: np.random.Generator, noise_hu: float, name: str
) -> tuple[Volume, LabelMap]:
    """Return what a scanner makes of an anatomy, and the truth."""
    words = vocabulary.load("prosect")
    values = {part.structure: words[part.structure].index for part in anatomy.parts if part.structure is not None}
    hu, labels = render(anatomy, grid, values)
    if noise_hu:
        hu += scan_noise(generator, grid, noise_hu)
    volume = Volume(np.maximum(np.rint(hu), LOWEST_HU), grid, "CT", Source(name=name, format="phantom"))
    return volume, LabelMap(labels, grid, words, {"source": name})
