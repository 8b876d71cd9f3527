"""Pictures of an evaluation: every scan as a dot, means with their intervals, curves by clicks, times by size."""

from __future__ import annotations

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
    shown = [s for s in section.structures if s.dice is not None]
    shown = sorted(shown, key=lambda s: -s.dice.value if s.dice else 0.0)[:STRUCTURES_SHOWN]
    figure = Figure(figsize=(WIDTH_IN, 1.2 + ROW_IN * max(len(shown), 3)), layout="constrained")
    axes = figure.add_subplot()
    shift = np.random.default_rng(0)  # of dots only, so that equal ones can be told apart
    for n, summary in enumerate(shown):
        own = [row.dice for row in section.rows if row.structure == summary.structure and row.dice is not None]
        axes.scatter(own, n + shift.uniform(-JITTER, JITTER, len(own)), s=7, color=GREY, alpha=0.55, linewidths=0)
        mean = summary.dice
        if mean is not None:
            axes.plot([mean.low, mean.high], [n, n], color=BLUE, linewidth=2)
            axes.plot(mean.value, n, "o", color=BLUE, markersize=4.5)
    axes.set_yticks(range(len(shown)), [s.structure for s in shown], fontsize=7)
    axes.invert_yaxis()
    overlap_axis(axes, "x")
    axes.set_title(f"{section.title}: Dice by scan, mean and 95 % interval", fontsize=9)
    return figure


def by_clicks(curve: Curve, rows: Sequence[Row]) -> Figure:
    """Return Dice and surface Dice by number of clicks."""
    figure = Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for values, colour, name in ((curve.dice, BLUE, "Dice"), (curve.nsd, ORANGE, "surface Dice")):
        axes.plot(
            curve.clicks, [m.value for m in values], "o-", color=colour, markersize=4, label=f"{name}, last click"
        )
        axes.fill_between(curve.clicks, [m.low for m in values], [m.high for m in values], color=colour, alpha=0.15)
    axes.plot(curve.used, curve.best, "--", color=GREY, label="Dice, best click so far (Fig. 5's way)")
    count = len({(row.case, row.structure) for row in rows})
    axes.set_xlabel("clicks on a structure")
    axes.set_title(f"{count} objects in {len({row.case for row in rows})} scans", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    overlap_axis(axes, "y")
    axes.legend(fontsize=8, loc="best")
    return figure


def overlap_axis(axes: Axes, which: str) -> None:
    """Let an axis run from 0 to 1, with a grid."""
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    set_limits(-0.02, 1.02)
    axes.grid(axis="both" if which == "y" else "x", color=GREY, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def by_size(timings: Mapping[str, Mapping[str, Any]], published: Mapping[str, Sequence[Mapping[str, str]]]) -> Figure:
    """Return seconds by size, the paper's on its own machine beside them."""
    figure = Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
    axes = figure.add_subplot()
    own = sorted((t["megavoxels_1_5mm"], t["seconds"]) for t in timings.values())
    axes.plot(*zip(*own, strict=True), "o", color=BLUE, label="this run")
    rows = [row for table in published.values() for row in table if "vista3d_s" in row]
    for column, colour, name in (("vista3d_s", ORANGE, "VISTA3D"), ("totalsegmentator_s", GREY, "TotalSegmentator")):
        if rows:
            sizes = [np.prod([int(n) for n in row["shape"].split("x")]) / 1e6 for row in rows]
            times = [float(row[column]) for row in rows]
            axes.plot(sizes, times, "s--", color=colour, markersize=4, label=f"{name}, paper's Table 2 (V100)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("megavoxels at 1.5 mm")
    axes.set_ylabel("seconds")
    axes.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    return figure
