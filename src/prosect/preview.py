"""One picture of a result: three planes, a coronal maximum intensity projection, and what was found in millilitres."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from prosect.geometry import AxisOrder, Grid
from prosect.io.atomic import write_atomically
from prosect.labelmap import Labels
from prosect.measure import Measurement, measure
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["render"]

SOFT_TISSUE_HU = (-160.0, 240.0)
WIDTH_IN, DPI = 16.0, 100
INK, DIM, PAPER = "#f2f2f0", "#9a9a98", "#101214"
LEGEND_ROWS, LEGEND_COLUMNS, LONGEST_NAME = 7, 6, 23
PROJECTION_VOXELS = 256
BACKGROUND_LIGHT = 0.55
HALO = [withStroke(linewidth=2.5, foreground=PAPER)]
FOOTER = "Research use only. Not for diagnosis or treatment."


@dataclass(frozen=True)
class View:
    """A plane as it is shown: rows upwards, columns to the right.

    Attributes:
        title: Its name.
        across: RAS axis of the columns.
        up: RAS axis of the rows.
        letters: What lies left, right, above and below.
    """

    title: str
    across: int
    up: int
    letters: str

    @property
    def through(self) -> int:
        """RAS axis that the plane cuts."""
        return 3 - self.across - self.up

    def cut(self, array: NDArray[Any], position: int) -> NDArray[Any]:
        """Return the plane (rows upwards, columns to the viewer's right) of an array with RAS axes.

        Radiological: the viewer faces the patient, whose right is at the left of the picture; in the sagittal view
        the patient faces left.
        """
        # Not `np.take`: it copies the whole scan where voxels do not lie in the order of the axes, as in a NIfTI file.
        plane = np.moveaxis(array, self.through, 0)[position]
        return np.asarray(plane[::-1].T)


AXIAL = View("axial", 0, 1, "RLAP")
CORONAL = View("coronal", 0, 2, "RLSI")
SAGITTAL = View("sagittal", 1, 2, "APSI")


@dataclass(frozen=True)
class Scene:
    """Everything a panel draws from, with axes nearest to RAS.

    Attributes:
        scan: Intensities.
        labels: Label values.
        grid: Their grid.
        colors: Row of red, green, blue (0 to 1) by label value.
        around: Label values drawn as a line only, because everything else lies inside them.
        window: Intensities shown as black and white.
        center: The voxel through which the planes pass.
    """

    scan: NDArray[np.float32]
    labels: NDArray[Any]
    grid: Grid
    colors: NDArray[np.float64]
    around: frozenset[int]
    window: tuple[float, float]
    center: tuple[int, int, int]


def render(
    volume: Volume,
    labels: Labels,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    measurements: Sequence[Measurement] | None = None,
) -> Path:
    """Write a PNG of the result to `path`, whole or not at all, and return the path.

    Args:
        volume: The scan.
        labels: What was found in it, on the same grid.
        path: The picture to write.
        title: A line above the picture.
        measurements: What `measure(labels)` returned, where it is already known.

    Raises:
        GeometryError: Scan and labels differ in shape.
        FormatError: The picture cannot be written.
        ResourceError: The disk is full.
    """
    found = tuple(measure(labels, volume) if measurements is None else measurements)
    scene = stage(volume, labels, found)
    figure = draw(scene, found, title or "")
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": "prosect"})
    write_atomically(Path(path), [content.getvalue()])
    return Path(path)


def stage(volume: Volume, labels: Labels, found: Sequence[Measurement]) -> Scene:
    """Return the scene: axes to RAS without copying, colours, window and the planes to show."""
    flat = labels.flatten()
    order = volume.grid.to_ras()
    scan, values = order.apply(volume.array), order.apply(flat.array)
    center = informative(found, volume.grid.shape, order)
    largest = max((m.index for m in found), default=0)
    colors = np.zeros((largest + 1, 3))
    for m in found:
        colors[m.index] = np.asarray(labels.vocabulary[m.index].color, dtype=float)[:3] / 255.0
    grid = volume.grid.reorder(order)
    around = surrounding(labels.vocabulary, found)
    return Scene(scan, values, grid, colors, around, window(volume, scan, center), center)


def informative(found: Sequence[Measurement], shape: tuple[int, int, int], order: AxisOrder) -> tuple[int, int, int]:
    """Return the voxel (RAS axes) whose planes cut most structures, large ones and near their middle first."""
    best = [n // 2 for n in shape]
    for axis, n in enumerate(shape):
        score = np.zeros(n)
        for m in found:
            middle = (m.start_vox[axis] + m.stop_vox[axis] - 1) / 2
            half = (m.stop_vox[axis] - m.start_vox[axis]) / 2
            score += m.voxels ** (1 / 3) * np.clip(1 - np.abs(np.arange(n) - middle) / half, 0, None)
        if found:
            best[axis] = int(score.argmax())
    ras = []
    for axis, flip in zip(order.axes, order.flips, strict=True):
        ras.append(shape[axis] - 1 - best[axis] if flip else best[axis])
    return ras[0], ras[1], ras[2]


def surrounding(vocabulary: Vocabulary, found: Sequence[Measurement]) -> frozenset[int]:
    """Return structures that hold every other one, such as the body."""
    indices = {m.index for m in found}
    around = set()
    for index in indices:
        structure = vocabulary[index]
        if len(indices) > 1 and {index, *structure.parts, *structure.contains} >= indices:
            around.add(index)
    return frozenset(around)


def window(volume: Volume, scan: NDArray[np.float32], center: tuple[int, int, int]) -> tuple[float, float]:
    """Return black and white: soft tissue for CT, percentiles of what is shown for anything else."""
    seen = np.concatenate([np.moveaxis(scan, axis, 0)[center[axis]].ravel() for axis in range(3)])
    if volume.is_ct:
        return SOFT_TISSUE_HU
    inside = seen[seen > seen.min()]
    low, high = np.percentile(inside if inside.size else seen, [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def draw(scene: Scene, found: Sequence[Measurement], title: str) -> Figure:
    """Return the finished figure: four panels of one scale, the legend under them."""
    size = np.asarray(scene.grid.shape) * scene.grid.spacing_mm
    widths = [size[0], size[0], size[1], size[0]]
    height = float(np.clip(max(size[1], size[2]) / sum(widths) * WIDTH_IN, 2.6, 8.0))
    rows = min(LEGEND_ROWS, max(1, -(-len(found) // LEGEND_COLUMNS)))
    legend, head = 0.35 + 0.24 * rows, 0.55
    total = height + legend + head
    figure = Figure(figsize=(WIDTH_IN, total), facecolor=PAPER)
    FigureCanvasAgg(figure)
    left = 0.008
    usable = 1 - 5 * left
    for view, width in zip((AXIAL, CORONAL, SAGITTAL, None), widths, strict=True):
        share = usable * width / sum(widths)
        axes = figure.add_axes((left, legend / total, share, height / total))
        left += share + 0.008
        if view is None:
            projection_panel(axes, scene, size, bool(found))
        else:
            plane_panel(axes, scene, view, size)
    figure.text(0.012, 1 - 0.3 / total, title, color=INK, fontsize=15, weight="bold", va="center")
    figure.text(0.988, 0.16 / total, FOOTER, color=DIM, fontsize=10, ha="right", va="center")
    legend_rows(figure, scene, found, rows, total, legend)
    return figure


def plane_panel(axes: Axes, scene: Scene, view: View, size: NDArray[np.float64]) -> None:
    """Draw one plane: grey scan, filled and outlined structures, lines where the other planes cut."""
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
    across = size[view.across] - (scene.center[view.across] + 0.5) * steps[0]
    axes.axvline(across, color=INK, linewidth=0.5, alpha=0.25)
    axes.axhline((scene.center[view.up] + 0.5) * steps[1], color=INK, linewidth=0.5, alpha=0.25)
    frame(axes, extent, view.title, view.letters)


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
    box = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32), 1)
    x = (np.arange(box.shape[1]) + columns[0] - 0.5) * steps[0]
    y = (np.arange(box.shape[0]) + rows[0] - 0.5) * steps[1]
    axes.contour(x, y, box, [0.5], colors=[color], linewidths=0.9)


def frame(axes: Axes, extent: tuple[float, float, float, float], title: str, letters: str) -> None:
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
    axes.text(0.015, 0.985, title, color=DIM, fontsize=10, ha="left", va="top", **style)


def projection_panel(axes: Axes, scene: Scene, size: NDArray[np.float64], any_found: bool) -> None:
    """Draw all structures as if made of coloured glass, seen from the front, over the brightest of the scan."""
    extent = (0.0, float(size[0]), 0.0, float(size[2]))
    glass = project(scene)
    picture = glass[..., :3] * glass[..., 3:] + brightest(scene)[..., None] * (1 - glass[..., 3:])
    picture = picture[::-1].transpose(1, 0, 2)
    axes.imshow(picture, origin="lower", extent=extent, interpolation="bilinear")
    if not any_found:
        axes.text(0.5, 0.5, "nothing found", transform=axes.transAxes, color=DIM, fontsize=14, ha="center")
    frame(axes, extent, "coronal MIP", "RLSI")


def coarse(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return a subset of voxels (i j k) for projections, and the step from front to back."""
    i, j, k = (max(1, -(-n // PROJECTION_VOXELS)) for n in array.shape)
    return array[::i, ::j, ::k], j


def brightest(scene: Scene) -> NDArray[np.float32]:
    """Return the coronal maximum intensity projection (i k), dimmed to stay behind what is drawn over it."""
    highest = coarse(scene.scan)[0].max(axis=1)
    low, high = scene.window
    # Twice the window: in CT the maximum along a ray is nearly always bone.
    grey = (highest - low) / (2 * (high - low))
    return np.asarray(BACKGROUND_LIGHT * grey.clip(0, 1), dtype=np.float32)


def project(scene: Scene) -> NDArray[np.float32]:
    """Return colour and opacity (i k 4) of the labels composited from front to back, on a coarse subset of voxels."""
    labels, step = coarse(scene.labels)
    depth_mm = step * scene.grid.spacing_mm[1]
    opacity = np.full(len(scene.colors), 1 - np.exp(-depth_mm / 14.0), dtype=np.float32)
    opacity[[0, *scene.around]] = 0.0
    table = scene.colors.astype(np.float32)
    ni, nj, nk = labels.shape
    color = np.zeros((ni, nk, 3), dtype=np.float32)
    passing = np.ones((ni, nk), dtype=np.float32)
    before = np.zeros((ni, nk), dtype=labels.dtype)
    for j in range(nj - 1, -1, -1):
        values = np.ascontiguousarray(labels[:, j, :])
        if values.any():
            # A surface that is entered catches the light; this draws edges between neighbours.
            surface = np.where(values != before, np.float32(2.2), np.float32(1.0))
            share = passing * np.minimum(opacity[values] * surface, np.float32(0.95))
            shade = np.float32(0.45 + 0.55 * j / max(nj - 1, 1))
            color += (share * shade)[..., None] * table[values]
            passing *= 1 - np.minimum(opacity[values] * surface, np.float32(0.95))
        before = values
    alpha = 1 - passing
    picture = np.concatenate([color / np.maximum(alpha, 1e-6)[..., None], alpha[..., None]], axis=2)
    return np.asarray(picture.clip(0, 1), np.float32)


def legend_rows(
    figure: Figure, scene: Scene, found: Sequence[Measurement], rows: int, total: float, legend: float
) -> None:
    """Write the largest structures with their volumes under the panels, in columns."""
    if not found:
        figure.text(0.012, 0.5 * legend / total, "nothing found", color=INK, fontsize=13, va="center")
        return
    shown = sorted(found, key=lambda m: -m.volume_ml)[: rows * LEGEND_COLUMNS]
    for place, m in enumerate(shown):
        column, row = divmod(place, rows)
        x = 0.012 + column * 0.976 / LEGEND_COLUMNS
        y = (legend - 0.2 - 0.24 * row) / total
        swatch = Rectangle((x, y - 0.06 / total), 0.009, 0.12 / total, color=scene.colors[m.index])
        swatch.set_transform(figure.transFigure)
        figure.add_artist(swatch)
        name = m.name if len(m.name) <= LONGEST_NAME else f"{m.name[: LONGEST_NAME - 1]}…"
        figure.text(x + 0.013, y, f"{name}  {amount(m)}", color=INK, fontsize=10, va="center")
    notes = []
    if len(found) > len(shown):
        notes.append(f"and {len(found) - len(shown)} smaller structures")
    if any(m.touches_border for m in shown):
        notes.append("* reaches the edge of the scan")
    figure.text(0.012, 0.16 / total, "      ".join(notes), color=DIM, fontsize=10, va="center")


def amount(m: Measurement) -> str:
    """Return a volume for reading, marked where the scan cuts the structure."""
    if m.volume_ml >= 100:
        volume = f"{m.volume_ml:.0f}"
    elif m.volume_ml >= 1:
        volume = f"{m.volume_ml:.1f}"
    else:
        volume = f"{m.volume_ml:.2f}"
    return f"{volume} mL*" if m.touches_border else f"{volume} mL"
