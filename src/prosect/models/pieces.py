"""Structures that are one piece in everybody: crumbs beside the largest piece are left out, and named in the notes."""

from __future__ import annotations

from collections.abc import Sequence

from prosect.geometry import Grid
from prosect.inference.canvas import Canvas
from prosect.inference.one_piece import leave_out_crumbs
from prosect.labelmap import extent
from prosect.models.spec import ModelSpec, Profile
from prosect.vocabulary import Vocabulary

__all__ = ["keep_pieces"]


def keep_pieces(canvas: Canvas, grid: Grid, spec: ModelSpec, profile: Profile) -> list[str]:
    """Leave out crumbs of each class that was one piece in training, in place; return in words what is left out.

    In a flat map a voxel left out falls to the smallest structure asked for that contains the class, such as the body.
    The official profiles keep every piece.

    Args:
        canvas: Painted labels.
        grid: Their grid.
        spec: Says which classes are one piece.
        profile: How results are made.
    """
    single = [index for index in spec.one_piece if index in canvas.indices]
    if profile.name != "prosect" or not single:
        return []
    containers = {index: smallest_container(index, canvas.indices, spec.vocabulary) for index in single}
    names = {structure.index: structure.name for structure in spec.vocabulary}
    notes = []
    for index, (count, voxels) in leave_out_crumbs(canvas, containers).items():
        volume_ml = voxels * grid.voxel_volume_ml
        verb = "was" if count == 1 else "were"
        notes.append(
            f"{names[index]}: it is one piece in everybody, so {count} far smaller ({volume_ml:.2g} mL) {verb} left out"
        )
    return notes


def smallest_container(index: int, asked: Sequence[int], vocabulary: Vocabulary) -> int:
    """Return which of the structures asked for contains another and little else; 0 where none does."""
    contents = {other: extent(vocabulary, other, whole=True) for other in asked if other != index}
    around = [other for other, content in contents.items() if index in content]
    return min(around, key=lambda other: len(contents[other]), default=0)
