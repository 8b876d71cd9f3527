"""Mend painted labels by what is so in everybody: crumbs are left out, and lung follows the air.

Whatever is done is told, in words that the result keeps.
"""

from __future__ import annotations

from prosect.display import millilitres
from prosect.geometry import Grid
from prosect.inference.air_filled import follow_air
from prosect.inference.canvas import Canvas
from prosect.inference.one_piece import leave_out_crumbs
from prosect.labelmap import smallest_container
from prosect.models.checks import not_hounsfield
from prosect.models.spec import ModelSpec, Profile
from prosect.volume import Volume

__all__ = ["keep_pieces", "keep_to_air", "mend"]


def mend(canvas: Canvas, volume: Volume, spec: ModelSpec, profile: Profile) -> list[str]:
    """Mend painted labels, in place, and return in words what was done.

    The official profiles leave labels as the network paints them.

    Args:
        canvas: Painted labels.
        volume: The scan.
        spec: Says which classes are one piece, and which are filled with air.
        profile: How results are made.
    """
    return [*keep_pieces(canvas, volume.grid, spec, profile), *keep_to_air(canvas, volume, spec, profile)]


def keep_to_air(canvas: Canvas, volume: Volume, spec: ModelSpec, profile: Profile) -> list[str]:
    """Let the outline of each class that is filled with air follow the air of a CT, in place; return it in words."""
    filled = [index for index in spec.air_filled if index in canvas.indices]
    if not profile.follows_air or not filled or not_hounsfield(volume, spec):
        return []
    containers = {index: smallest_container(index, canvas.indices, spec) for index in filled}
    notes = []
    for index, (gained, lost) in follow_air(canvas, volume.array, volume.grid, containers).items():
        if gained or lost:
            more = millilitres(gained * volume.grid.voxel_volume_ml)
            less = millilitres(lost * volume.grid.voxel_volume_ml)
            notes.append(
                f"{spec.vocabulary[index].name}: its outline follows the air of the scan ({more} more, {less} less)"
            )
    return notes


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
    if not profile.leaves_out_crumbs or not single:
        return []
    containers = {index: smallest_container(index, canvas.indices, spec) for index in single}
    notes = []
    for index, (count, voxels) in leave_out_crumbs(canvas, containers).items():
        volume_ml = voxels * grid.voxel_volume_ml
        verb = "were"
        if count == 1:
            verb = "was"
        notes.append(
            f"{spec.vocabulary[index].name}: it is one piece in everybody, "
            f"so {count} far smaller ({millilitres(volume_ml)}) {verb} left out"
        )
    return notes
