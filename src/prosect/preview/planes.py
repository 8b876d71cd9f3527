"""One plane of a scan with what was found in it, its scale and its coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from prosect.preview.scene import Scene, View

__all__ = ["DIM", "INK", "PAPER", "Mark", "draw_marks", "draw_plane", "draw_scale", "frame_panel"]

INK, DIM, PAPER = "#f2f2f0", "#9a9a98", "#101214"
HALO = [withStroke(linewidth=2.5, foreground=PAPER)]
# Lengths of a scale bar and steps between coordinates, in millimetres.
LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BAR_SHARE, MOST_TICKS = 0.3, 5
# Shares of an edge where no number stands: at its ends, and around its middle, where the letter is.
CORNER, LETTER, LETTER_UP = 0.06, 0.05, 0.12
HEAD, FOOT = 0.12, 0.1
# Panels narrower than this have a smaller name, so that it does not reach the letter in the middle.
NARROW_IN = 3.2
# Where a person clicked (RAS axes, voxels), and whether the place belongs to the structure.
Mark = tuple[tuple[float, float, float], bool]
POSITIVE, NEGATIVE = "#3ddc84", "#ff4d4d"


def draw_plane(axes: Axes, scene: Scene, view: View, *, small: bool = False) -> None:
    """Draw one plane: grey scan, filled and outlined structures, lines where the other planes cut, coordinates.

    Args:
        axes: The panel.
        scene: What is shown.
        view: Which plane.
        small: Leave out names and coordinates.
    """
    size = scene.size_mm
    extent = (0.0, float(size[view.across]), 0.0, float(size[view.up]))
    position = scene.center[view.through]
    grey = view.cut(scene.scan, position)
    low, high = scene.window
    axes.imshow(grey, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent, interpolation="bilinear")
    values = view.cut(scene.labels, position)
    axes.imshow(fill(values, scene), origin="lower", extent=extent, interpolation="nearest")
    steps = (scene.grid.spacing_mm[view.across], scene.grid.spacing_mm[view.up])
    for index in np.unique(values):
        if index:
            outline(axes, values == index, steps, tuple(scene.colors[index]))
    across, up = in_panel(scene, view, scene.center)
    axes.axvline(across, color=INK, linewidth=0.5, alpha=0.25)
    axes.axhline(up, color=INK, linewidth=0.5, alpha=0.25)
    through = scene.position_mm(view.through, position)
    if small:
        frame_panel(axes, extent, "", view.letters)
        return
    frame_panel(axes, extent, f"{view.title}, {'RAS'[view.through]} {through:.0f} mm", view.letters)
    draw_coordinates(axes, scene, view)


def in_panel(scene: Scene, view: View, voxel: Sequence[float]) -> tuple[float, float]:
    """Return where a voxel (RAS axes) lies in a panel, in millimetres from its lower left corner."""
    spacing = scene.grid.spacing_mm
    # A voxel's middle is half a voxel in.
    right_mm = (voxel[view.across] + 0.5) * spacing[view.across]
    up_mm = (voxel[view.up] + 0.5) * spacing[view.up]
    # The patient's right is at the left of the picture, and so is the front.
    return float(scene.size_mm[view.across] - right_mm), float(up_mm)


def draw_coordinates(axes: Axes, scene: Scene, view: View) -> None:
    """Write world coordinates in millimetres along the lower and the left edge."""
    for axis, is_across in ((view.across, True), (view.up, False)):
        last_voxel = scene.grid.shape[axis] - 1
        first, last = scene.position_mm(axis, 0), scene.position_mm(axis, last_voxel)
        if first == last:
            continue
        step = length_below(abs(last - first) / (MOST_TICKS - 1))
        low, high = min(first, last), max(first, last)
        for value in np.arange(np.ceil(low / step) * step, high, step):
            voxel = list(scene.center)
            voxel[axis] = (value - first) / (last - first) * last_voxel
            across, up = in_panel(scene, view, voxel)
            if is_across:
                is_free = has_room(across / scene.size_mm[axis], LETTER, CORNER, CORNER)
            else:
                is_free = has_room(up / scene.size_mm[axis], LETTER_UP, FOOT, HEAD)
            if is_free:
                draw_tick(axes, (across, up), f"{value:.0f}", is_across)


def has_room(share: float, letter: float, before: float, after: float) -> bool:
    """Return whether a number can stand at a place along an edge of a panel.

    The letter of the direction stands in the middle of an edge, the name of the panel in its upper left corner.

    Args:
        share: The place, from 0 to 1.
        letter: How far from the middle the letter reaches, as a share of the edge.
        before: The share at the beginning that stays free.
        after: That at the end.
    """
    return before < share < 1 - after and abs(share - 0.5) > letter


def draw_tick(axes: Axes, place: tuple[float, float], text: str, is_across: bool) -> None:
    """Draw one mark with its number, at an edge of the panel."""
    style: dict[str, Any] = {"color": DIM, "fontsize": 7.5, "path_effects": HALO}
    if is_across:
        axes.plot([place[0]] * 2, [0, 0.015], color=DIM, linewidth=0.8, transform=axes.get_xaxis_transform())
        axes.text(place[0], 0.02, text, ha="center", va="bottom", transform=axes.get_xaxis_transform(), **style)
        return
    axes.plot([0, 0.012], [place[1]] * 2, color=DIM, linewidth=0.8, transform=axes.get_yaxis_transform())
    axes.text(0.018, place[1], text, ha="left", va="center", transform=axes.get_yaxis_transform(), **style)


def length_below(most_mm: float) -> float:
    """Return the largest plain length that is no longer than this, or the smallest there is."""
    fitting = []
    for length in LENGTHS:
        if length <= most_mm:
            fitting.append(length)
    return float(fitting[-1] if fitting else LENGTHS[0])


def draw_scale(axes: Axes, width_mm: float) -> None:
    """Draw a bar of a plain length with that length in words, in the lower right corner of a panel."""
    length = length_below(BAR_SHARE * width_mm)
    right = 0.97 * width_mm
    across = axes.get_xaxis_transform()
    axes.plot([right - length, right], [0.075, 0.075], color=INK, linewidth=2.5, transform=across, path_effects=HALO)
    axes.text(
        right - length / 2, 0.085, f"{length:.0f} mm", color=INK, fontsize=9, ha="center", va="bottom",
        transform=across, path_effects=HALO,
    )  # fmt: skip


def draw_marks(axes: Axes, scene: Scene, view: View, marks: Sequence[Mark]) -> None:
    """Draw the clicks that lie in this plane: a green plus or a red minus."""
    for voxel, positive in marks:
        if round(voxel[view.through]) != scene.center[view.through]:
            continue
        across, up = in_panel(scene, view, voxel)
        color = NEGATIVE
        if positive:
            color = POSITIVE
        axes.plot(across, up, marker="+" if positive else "_", color=color, markersize=13, markeredgewidth=2.2,
                  path_effects=HALO)  # fmt: skip


def fill(values: NDArray[Any], scene: Scene) -> NDArray[np.float32]:
    """Return red, green, blue and opacity (rows columns 4) of a plane of label values."""
    table = np.zeros((len(scene.colors), 4), dtype=np.float32)
    table[:, :3] = scene.colors
    table[1:, 3] = 0.36
    table[list(scene.around), 3] = 0.0
    return np.asarray(table[values])


def outline(axes: Axes, mask: NDArray[np.bool_], steps: tuple[float, float], color: tuple[float, ...]) -> None:
    """Draw the edge of one structure as a thin smooth line; only the box around it is searched."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bottom, top = rows[0], rows[-1] + 1
    left, right = columns[0], columns[-1] + 1
    # A pixel of nothing on every side, or a structure that fills its box would have no edge.
    box = np.pad(mask[bottom:top, left:right].astype(np.float32), 1)
    # Pixels are placed by their middles, half a pixel in; the added one lies a whole pixel before.
    x = (left - 0.5 + np.arange(box.shape[1])) * steps[0]
    y = (bottom - 0.5 + np.arange(box.shape[0])) * steps[1]
    axes.contour(x, y, box, [0.5], colors=[color], linewidths=0.9)


def frame_panel(axes: Axes, extent: tuple[float, float, float, float], title: str, letters: str) -> None:
    """Set limits, name and direction letters of a panel."""
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    axes.set_aspect("equal")
    axes.set_axis_off()
    style: dict[str, Any] = {"transform": axes.transAxes, "path_effects": HALO}
    places = [(0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center")]
    places += [(0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom")]
    for letter, (x, y, ha, va) in zip(letters, places, strict=True):
        axes.text(x, y, letter, color=INK, fontsize=12, ha=ha, va=va, weight="bold", **style)
    width_in = axes.get_position().width * float(axes.get_figure().get_size_inches()[0])  # type: ignore[union-attr]
    size = 10 if width_in >= NARROW_IN else 7.5
    axes.text(0.015, 0.985, title, color=DIM, fontsize=size, ha="left", va="top", **style)
