"""The finished pictures: of a result, of the last click, and a small one for notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prosect.io.atomic import write_atomically
from prosect.labelmap import LabelMap, Labels
from prosect.measure import Measurement, measure
from prosect.preview.legend import LINE_IN, absences, draw_legend, legend_rows
from prosect.preview.planes import DIM, INK, PAPER, Mark, draw_marks, draw_plane, draw_scale
from prosect.preview.projection import draw_projection
from prosect.preview.scene import AXIAL, VIEWS, Scene, View, center_of, stage
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["draw", "picture", "render", "render_clicks", "thumbnail"]

WIDTH_IN, DPI = 16.0, 100
LOWEST_IN, HIGHEST_IN = 1.2, 8.0
HEAD_IN, ROW_HEAD_IN, GAP = 0.55, 0.3, 0.008
THUMBNAIL_IN, THUMBNAIL_DPI = 6.4, 75
FOOTER = "Research use only. Not for diagnosis or treatment."


@dataclass(frozen=True)
class Row:
    """One row of panels.

    Attributes:
        scene: What it shows.
        title: A line above it; empty for none.
        marks: Clicks to draw.
        projects: Whether the projection stands at its end.
    """

    scene: Scene
    title: str = ""
    marks: tuple[Mark, ...] = ()
    projects: bool = False


def render(
    volume: Volume,
    labels: Labels,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    measurements: Sequence[Measurement] | None = None,
    each: bool = False,
) -> Path:
    """Write a PNG of the result to `path`, whole or not at all, and return the path.

    Args:
        volume: The scan.
        labels: What was found in it, on the same grid.
        path: The picture to write.
        title: A line above the picture.
        measurements: What `measure(labels)` returned, where it is already known.
        each: Add a row of planes through the middle of each structure.

    Raises:
        GeometryError: Scan and labels differ in shape.
        FormatError: The picture cannot be written.
        ResourceError: The disk is full.
    """
    place = Path(path)
    write_atomically(place, [picture(volume, labels, title=title, measurements=measurements, each=each)])
    return place


def picture(
    volume: Volume,
    labels: Labels,
    *,
    title: str | None = None,
    measurements: Sequence[Measurement] | None = None,
    each: bool = False,
) -> bytes:
    """Return the PNG of the result that `render` writes.

    Raises:
        GeometryError: Scan and labels differ in shape.
    """
    found = tuple(measure(labels, volume) if measurements is None else measurements)
    scene = stage(volume, labels, found)
    rows = [Row(scene, projects=True)]
    if each:
        for m in found:
            if m.index not in scene.around:
                rows.append(Row(replace(scene, center=center_of(m, volume)), m.name))
    return encoded(draw(rows, found, title or "", absences(labels, found)), DPI)


def render_clicks(
    volume: Volume,
    before: Labels,
    after: Labels,
    clicks: Sequence[tuple[Sequence[float], bool]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> Path:
    """Write a PNG of the three planes through the last click, before and after, and return the path.

    Args:
        volume: The scan.
        before: The labels before the clicks.
        after: The labels that came of them.
        clicks: World mm of each click, and whether the place belongs to the structure; at least one.
        path: The picture to write.
        title: A line above the picture.

    Raises:
        GeometryError: Scan and labels differ in shape.
        FormatError: The picture cannot be written.
        ResourceError: The disk is full.
    """
    found = measure(after, volume)
    old = stage(volume, before, measure(before, volume))
    new = stage(volume, after, found)
    marks: list[Mark] = []
    for place, positive in clicks:
        i, j, k = (float(x) for x in new.grid.to_voxel([place])[0])
        marks.append(((i, j, k), positive))
    i, j, k = (round(x) for x in marks[-1][0])
    if len(new.colors) >= len(old.colors):
        colors = new.colors
    else:
        colors = old.colors
    rows = [
        Row(replace(old, center=(i, j, k), colors=colors), "before", tuple(marks)),
        Row(replace(new, center=(i, j, k), colors=colors), "after", tuple(marks)),
    ]
    target = Path(path)
    write_atomically(target, [encoded(draw(rows, found, title, ()), DPI)])
    return target


def thumbnail(volume: Volume, labels: Labels | None = None) -> bytes:
    """Return a small PNG of three planes.

    Args:
        volume: The scan.
        labels: What was found in it, on the same grid.
    """
    found: tuple[Measurement, ...] = ()
    if labels is None:
        labels = LabelMap(np.zeros(volume.grid.shape, np.uint8), volume.grid, Vocabulary("none", ()))
    else:
        found = measure(labels)
    scene = stage(volume, labels, found)
    height = panels_height(scene, VIEWS, THUMBNAIL_IN)
    figure = Figure(figsize=(THUMBNAIL_IN, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    draw_row(figure, Row(scene), 0.0, 1.0, small=True)
    return encoded(figure, THUMBNAIL_DPI)


def encoded(figure: Figure, dpi: int) -> bytes:
    """Return a figure as PNG."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=dpi, facecolor=PAPER, metadata={"Software": "prosect"})
    return content.getvalue()


def draw(rows: Sequence[Row], found: Sequence[Measurement], title: str, lines: Sequence[str]) -> Figure:
    """Return the finished figure: rows of panels of one scale, the legend under them."""
    columns: tuple[View | None, ...] = VIEWS
    if any(row.projects for row in rows):
        columns = (*VIEWS, None)
    height = panels_height(rows[0].scene, columns, WIDTH_IN)
    legend = 0.45 + 0.24 * legend_rows(found) + LINE_IN * len(lines)
    heads = [ROW_HEAD_IN if row.title else 0.0 for row in rows]
    total = HEAD_IN + legend + height * len(rows) + sum(heads)
    figure = Figure(figsize=(WIDTH_IN, total), facecolor=PAPER)
    FigureCanvasAgg(figure)
    top = total - HEAD_IN
    for row, head in zip(rows, heads, strict=True):
        if row.title:
            figure.text(0.012, (top - head / 2) / total, row.title, color=INK, fontsize=12, va="center")
        draw_row(figure, row, (top - head - height) / total, height / total, columns=columns)
        top -= head + height
    figure.text(0.012, 1 - 0.3 / total, title, color=INK, fontsize=15, weight="bold", va="center")
    figure.text(0.988, 0.16 / total, FOOTER, color=DIM, fontsize=10, ha="right", va="center")
    draw_legend(figure, rows[0].scene, found, lines, total, legend)
    return figure


def widths_mm(scene: Scene, columns: Sequence[View | None]) -> list[float]:
    """Return the width of each panel; the projection, which is None, is as wide as a coronal plane."""
    size = scene.size_mm
    found: list[float] = []
    for view in columns:
        found.append(float(size[0 if view is None else view.across]))
    return found


def panels_height(scene: Scene, columns: Sequence[View | None], width_in: float) -> float:
    """Return the height in inches at which panels of one scale fill a row of this width."""
    size = scene.size_mm
    scale = width_in / sum(widths_mm(scene, columns))
    return float(np.clip(max(size[1], size[2]) * scale, LOWEST_IN * width_in / WIDTH_IN, HIGHEST_IN))


def draw_row(
    figure: Figure,
    row: Row,
    bottom: float,
    height: float,
    *,
    columns: Sequence[View | None] = VIEWS,
    small: bool = False,
) -> None:
    """Draw the panels of a row.

    Args:
        figure: Where.
        row: What.
        bottom: Lower edge, as a share of the figure's height.
        height: The same of its height.
        columns: The planes; None is the projection.
        small: Leave out scale and coordinates.
    """
    widths = widths_mm(row.scene, columns)
    usable = 1 - GAP * (len(columns) + 1)
    left = GAP
    for view, width in zip(columns, widths, strict=True):
        share = usable * width / sum(widths)
        axes: Axes = figure.add_axes((left, bottom, share, height))
        left += share + GAP
        if view is not None:
            draw_plane(axes, row.scene, view, small=small)
            draw_marks(axes, row.scene, view, row.marks)
        elif row.projects:
            draw_projection(axes, row.scene, bool(row.scene.labels.any()))
        else:
            axes.set_axis_off()
        if view is AXIAL and not small:
            draw_scale(axes, width)
