"""Structures that are one piece in everybody: crumbs beside the largest piece are left out, and told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from prosect.geometry import Grid
from prosect.inference.one_piece import leave_out_crumbs
from prosect.labelmap import extent
from prosect.models.spec import ModelSpec, Profile

__all__ = ["keep_pieces"]


def keep_pieces(
    arrays: Sequence[NDArray[Any]],
    indices: Sequence[int],
    overlap: bool,
    grid: Grid,
    spec: ModelSpec,
    profile: Profile,
) -> list[str]:
    """Leave out crumbs of each class that was one piece in training, in place; return in words what is left out.

    In a flat map a voxel left out falls to the smallest structure asked for that contains the class, such as the body.
    The official profiles keep every piece.

    Args:
        arrays: One flat label map (i j k), or one mask (i j k) per index.
        indices: What was asked for.
        overlap: Whether the arrays are masks.
        grid: Their grid.
        spec: Says which classes are one piece.
        profile: How results are made.
    """
    single = [index for index in spec.one_piece if index in indices]
    if profile.name != "prosect" or not single:
        return []
    held = {index: extent(spec.vocabulary, index, whole=True) for index in indices}
    containers = {
        one: min(
            (index for index in indices if index != one and one in held[index]), key=lambda i: len(held[i]), default=0
        )
        for one in single
    }
    names = {structure.index: structure.name for structure in spec.vocabulary}
    return [
        f"{names[index]}: it is one piece in everybody, so {count} far smaller "
        f"({voxels * grid.voxel_volume_ml:.2g} mL) {'was' if count == 1 else 'were'} left out"
        for index, (count, voxels) in leave_out_crumbs(arrays, indices, overlap, containers).items()
    ]
