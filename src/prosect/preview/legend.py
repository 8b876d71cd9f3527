"""What stands under the panels: names, colours and volumes, and what was not found."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prosect.display import millilitres
from prosect.labelmap import Labels
from prosect.measure import Measurement
from prosect.preview.planes import DIM, INK
from prosect.preview.scene import Scene

__all__ = ["LINE_IN", "absences", "amount", "draw_legend", "legend_rows"]

LEGEND_ROWS, LEGEND_COLUMNS, LONGEST_NAME = 7, 6, 23
# A row of names, a line of words, and the letters that a line holds at the width of the picture.
ROW_IN, LINE_IN, LINE_LETTERS, MOST_LINES = 0.24, 0.2, 190, 3


def legend_rows(found: Sequence[Measurement]) -> int:
    """Return how many rows the names take."""
    return min(LEGEND_ROWS, max(1, -(-len(found) // LEGEND_COLUMNS)))


def absences(labels: Labels, found: Sequence[Measurement]) -> list[str]:
    """Return lines on what was looked for and is not shown: not found, or withheld because it cannot be there."""
    present = set()
    for m in found:
        present.add(m.index)
    said = labels.provenance.get("withheld", {})
    if isinstance(said, Mapping):
        withheld = {int(index) for index in said}
    else:
        withheld = set()
    named: dict[str, list[str]] = {"not found": [], "withheld": []}
    for index in labels.sought:
        if index not in present and labels.vocabulary.get(index) is not None:
            kind = "not found"
            if index in withheld:
                kind = "withheld"
            named[kind].append(labels.name_of(index))
    lines: list[str] = []
    for kind, names in named.items():
        if names:
            lines += textwrap.wrap(f"{kind}: {', '.join(names)}", LINE_LETTERS, max_lines=MOST_LINES)
    return lines


def draw_legend(
    figure: Figure, scene: Scene, found: Sequence[Measurement], lines: Sequence[str], total: float, top: float
) -> None:
    """Write the largest structures with their volumes in columns, and below them lines of words.

    Args:
        figure: The picture.
        scene: Its colours.
        found: What was found.
        lines: What was not.
        total: Height of the picture in inches.
        top: Upper edge of the legend in inches from the bottom.
    """
    rows = legend_rows(found)
    if not found:
        figure.text(0.012, (top - 0.2) / total, "nothing found", color=INK, fontsize=13, va="center")
    shown = sorted(found, key=lambda m: -m.volume_ml)[: rows * LEGEND_COLUMNS]
    for place, m in enumerate(shown):
        column, row = divmod(place, rows)
        x = 0.012 + column * 0.976 / LEGEND_COLUMNS
        y = (top - 0.2 - ROW_IN * row) / total
        swatch = Rectangle((x, y - 0.06 / total), 0.009, 0.12 / total, color=scene.colors[m.index])
        swatch.set_transform(figure.transFigure)
        figure.add_artist(swatch)
        name = m.name
        if len(name) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME - 1]}…"
        figure.text(x + 0.013, y, f"{name}  {amount(m)}", color=INK, fontsize=10, va="center")
    under = top - 0.25 - ROW_IN * rows
    for number, line in enumerate(lines):
        figure.text(0.012, (under - LINE_IN * number) / total, line, color=DIM, fontsize=10, va="center")
    notes = []
    if len(found) > len(shown):
        notes.append(f"and {len(found) - len(shown)} smaller structures")
    if any(m.touches_border for m in shown):
        notes.append("* reaches the edge of the scan")
    figure.text(0.012, 0.16 / total, "      ".join(notes), color=DIM, fontsize=10, va="center")


def amount(m: Measurement) -> str:
    """Return a volume for reading, marked where the scan cuts the structure."""
    volume = millilitres(m.volume_ml)
    if m.touches_border:
        return f"{volume}*"
    return volume
