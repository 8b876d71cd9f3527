"""Copies of a labelled scan to learn from: another person, or the same one as another scanner might show them.

`warp` bends the scan and, in CT, changes its contrast phase: real texture, other shapes. `synthesis` keeps the shapes
and draws every intensity anew, so that only shape and contrast can be learnt.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from prosect.errors import GeometryError
from prosect.labelmap import LabelMap
from prosect.phantom.synthesis import divide, synthesize
from prosect.phantom.tissues import tissues
from prosect.phantom.warp import warp
from prosect.volume import Source, Volume

__all__ = ["COPY_KINDS", "CopyKind", "draw_copy", "synthesize_scan"]

CopyKind: TypeAlias = Literal["warp", "synthesis"]
COPY_KINDS: tuple[CopyKind, ...] = get_args(CopyKind)

# Below it a part of a CT that nobody labelled is air, outside the body or in the bowel.
AIR_HU = -300.0


def draw_copy(
    volume: Volume, labels: LabelMap, kind: CopyKind, generator: np.random.Generator
) -> tuple[Volume, LabelMap]:
    """Return a copy of a labelled scan, on the same grid, with labels of the same structures.

    The same generator state gives the same copy.

    Args:
        volume: The scan.
        labels: Its labels, on its grid.
        kind: How the copy differs from the scan.
        generator: Source of everything.

    Raises:
        GeometryError: Labels and scan differ in shape.
    """
    if volume.grid.shape != labels.grid.shape:
        raise GeometryError(f"The labels have shape {labels.grid.shape} but the scan {volume.grid.shape}.")
    if kind == "warp":
        return warp(volume, labels, generator, phase=volume.modality == "CT")
    return synthesize_scan(volume, labels, generator), labels


def synthesize_scan(volume: Volume, labels: LabelMap, generator: np.random.Generator) -> Volume:
    """Return a scan with the structures of a labelled one and intensities of its own.

    What no label names is most of a scan. It is divided by the intensities there, so that unnamed fat, muscle and
    vessels keep their true shapes.

    Args:
        volume: The scan. Of a CT the copy has Hounsfield units, of anything else intensities from 0 to 1.
        labels: Its labels, on its grid.
        generator: Source of everything.
    """
    words = labels.vocabulary
    unnamed = 0
    if "body" in words and words["body"].index in labels.present:
        unnamed = words["body"].index
    parts = divide(labels.array, volume.array, unnamed)
    kinds = tissues(words)
    is_ct = volume.modality == "CT"
    if is_ct:
        for part in range(int(labels.array.max()) + 1, int(parts.max()) + 1):
            inside = parts == part
            # Other parts take any tissue, but air that looked like bone would be no CT of anything.
            if inside.any() and float(volume.array[inside].mean()) < AIR_HU:
                kinds[part] = "air"
    image = synthesize(
        parts,
        generator,
        spacing_mm=volume.grid.spacing_mm,
        palette="ct" if is_ct else "any",
        kinds=kinds,
        container=unnamed or None,
    )
    source = Source(name=f"synthesis of {volume.source.name}", format="phantom")
    return Volume(image, volume.grid, volume.modality, source)
