"""Leave out small pieces of every structure, on request."""

from __future__ import annotations

import numpy as np

from prosect.inference.canvas import Canvas, FlatCanvas, LayeredCanvas
from prosect.labelmap import LabelLayers, LabelMap, smallest_container
from prosect.morphology import Components

__all__ = ["without_small_pieces"]


def without_small_pieces(labels: LabelMap | LabelLayers, least_mm3: float) -> LabelMap | LabelLayers:
    """Return labels without connected pieces (26 neighbours) that are smaller than a volume, with a note on each.

    In a flat map a voxel left out falls to the smallest structure looked for that contains its own, such as the body.

    Args:
        labels: What was found.
        least_mm3: Pieces of this volume stay.
    """
    voxel_mm3 = labels.grid.voxel_volume_ml * 1000
    canvas: Canvas
    if isinstance(labels, LabelMap):
        canvas = FlatCanvas(labels.array.copy(), labels.present)
    else:
        masks = {index: labels.own_mask(index).astype(np.uint8) for index in labels.indices}
        canvas = LayeredCanvas(masks)
    notes = []
    for index in labels.present:
        count = drop_small(canvas, index, least_mm3 / voxel_mm3, smallest_container(index, labels.sought, labels))
        if count:
            what = f"{count} pieces smaller than {least_mm3:g} mm3 were"
            if count == 1:
                what = f"1 piece smaller than {least_mm3:g} mm3 was"
            notes.append(f"{labels.name_of(index)}: {what} left out")
    said = labels.provenance.get("notes", ())
    before = []
    if isinstance(said, list | tuple):
        before = list(said)
    return canvas.finish(labels.grid, labels.vocabulary, {**labels.provenance, "notes": [*before, *notes]})


def drop_small(canvas: Canvas, index: int, least_voxels: float, fall_to: int) -> int:
    """Leave out the pieces of one structure that have fewer voxels, in place; return how many they are."""
    box = canvas.box(index)
    if not box.size:
        return 0
    pieces = Components.of(canvas.mask(index, box))
    small = np.flatnonzero(pieces.sizes < least_voxels)
    if len(small):
        canvas.drop(index, box, pieces.mask(small), fall_to)
    return len(small)
