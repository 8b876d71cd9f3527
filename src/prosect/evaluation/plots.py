"""Pictures of an evaluation: every scan as a dot, means with their intervals, curves by clicks, times by size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from prosect.evaluation.report import Evaluation, Section
from prosect.evaluation.scores import Row
from prosect.evaluation.summary import Curve
from prosect.io.atomic import write_atomically

__all__ = ["write_plots"]

BLUE, ORANGE, GREY = "#2a6fbb", "#d9822b", "#8a8f98"
WIDTH_IN, ROW_IN, DPI = 8.0, 0.26, 120
STRUCTURES_SHOWN = 60
JITTER = 0.18


def write_plots(found: Evaluation, folder: Path) -> list[Path]:
    """Write the pictures that an evaluation has matter for, as PNG, and return their paths.

    Raises:
        FormatError: The folder cannot be written.
        ResourceError: The disk is full.
    """
    drawn: dict[str, Figure] = {}
    for section in found.sections:
        if section.structures:
            drawn[f"structures_{section.key}.png"] = by_structure(section)
    if found.curve is not None and len(found.curve.clicks) > 1:
        drawn["clicks.png"] = by_clicks(found.curve, found.rows)
    if found.timings:
        drawn["speed.png"] = by_size(found.timings, found.published)
    for name, figure in drawn.items():
        write_atomically(folder / name, [png(figure)])
    return [folder / name for name in drawn]


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG without anything of the hour or the software in it."""
    FigureCanvasAgg(figure)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def by_structure(section: Section) -> Figure:
    """Return a strip for every structure: its scans, and the mean with its interval."""
    summaries = []
    for s in section.structures:
        if s.dice is not None:
            summaries.append((s.structure, s.dice))
    summaries.sort(key=lambda summary: -summary[1].value)
    summaries = summaries[:STRUCTURES_SHOWN]
    dices: dict[str, list[float]] = {}
    for row in section.rows:
        if row.dice is not None:
            dices.setdefault(row.structure, []).append(row.dice)
    figure = Figure(figsize=(WIDTH_IN, 1.2 + ROW_IN * max(len(summaries), 3)), layout="constrained")
    axes = figure.add_subplot()
    shift = np.random.default_rng(0)  # of dots only, so that equal ones can be told apart
    for n, (name, mean) in enumerate(summaries):
        own = dices.get(name, [])
        axes.scatter(own, n + shift.uniform(-JITTER, JITTER, len(own)), s=7, color=GREY, alpha=0.55, linewidths=0)
        axes.plot([mean.low, mean.high], [n, n], color=BLUE, linewidth=2)
        axes.plot(mean.value, n, "o", color=BLUE, markersize=4.5)
    axes.set_yticks(range(len(summaries)), [name for name, _ in summaries], fontsize=7)
    axes.invert_yaxis()
    overlap_axis(axes, "x")
    axes.set_title(f"{section.title}: Dice by scan, mean and 95 % interval", fontsize=9)
    return figure


def by_clicks(curve: Curve, rows: Sequence[Row]) -> Figure:
    """Return Dice and surface Dice by number of clicks."""
    figure = Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for means, colour, name in ((curve.dice, BLUE, "Dice"), (curve.nsd, ORANGE, "surface Dice")):
        value, low, high = np.array([(mean.value, mean.low, mean.high) for mean in means]).T
        axes.plot(curve.clicks, value, "o-", color=colour, markersize=4, label=f"{name}, last click")
        axes.fill_between(curve.clicks, low, high, color=colour, alpha=0.15)
    axes.plot(curve.used, curve.best, "--", color=GREY, label="Dice, best click so far (Fig. 5's way)")
    objects = set()
    for row in rows:
        objects.add((row.case, row.structure))
    scans = set()
    for scan, _ in objects:
        scans.add(scan)
    axes.set_xlabel("clicks on a structure")
    axes.set_title(f"{len(objects)} objects in {len(scans)} scans", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    overlap_axis(axes, "y")
    axes.legend(fontsize=8, loc="best")
    return figure


def overlap_axis(axes: Axes, which: str) -> None:
    """Let an axis run from 0 to 1, with a grid."""
    if which == "x":
        axes.set_xlim(-0.02, 1.02)
    else:
        axes.set_ylim(-0.02, 1.02)
    axes.grid(axis="both" if which == "y" else "x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def by_size(timings: Mapping[str, Mapping[str, Any]], published: Mapping[str, Sequence[Mapping[str, str]]]) -> Figure:
    """Return seconds by size, the paper's on its own machine beside them."""
    figure = Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
    axes = figure.add_subplot()
    own = sorted((timing["megavoxels_1_5mm"], timing["seconds"]) for timing in timings.values())
    axes.plot(*zip(*own, strict=True), "o", color=BLUE, label="this run")
    for table in published.values():
        rows = []
        for row in table:
            if "vista3d_s" in row:
                rows.append(row)
        if rows:
            plot_published_times(axes, rows)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("megavoxels at 1.5 mm")
    axes.set_ylabel("seconds")
    axes.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    return figure


def plot_published_times(axes: Axes, rows: Sequence[Mapping[str, str]]) -> None:
    """Draw the times of Table 2 by size."""
    sizes = []
    for row in rows:
        sizes.append(math.prod(map(int, row["shape"].split("x"))) / 1e6)
    for column, colour, name in (("vista3d_s", ORANGE, "VISTA3D"), ("totalsegmentator_s", GREY, "TotalSegmentator")):
        times = [float(row[column]) for row in rows]
        axes.plot(sizes, times, "s--", color=colour, markersize=4, label=f"{name}, paper's Table 2 (V100)")
