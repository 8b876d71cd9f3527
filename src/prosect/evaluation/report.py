"""An evaluation written down: JSON for programs, tables for spreadsheets, Markdown for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prosect.evaluation.ledger import Refused
from prosect.evaluation.scores import Row
from prosect.evaluation.summary import Curve, Mean, StructureSummary
from prosect.io.atomic import write_atomically

__all__ = [
    "NONE",
    "SCHEMA",
    "Evaluation",
    "Section",
    "as_csv",
    "figure",
    "interval",
    "markdown",
    "section_json",
    "setting_lines",
    "table_lines",
    "write_evaluation",
]

SCHEMA = "prosect-evaluation/1"
NONE = "–"


@dataclass(frozen=True)
class Section:
    """Rows that were counted in one way, and what they come to.

    Attributes:
        title: In which way, for people.
        key: The same for programs.
        rows: The rows.
        structures: By structure.
        means: Means over structures: `dice`, `nsd` and `dice_present`.
    """

    title: str
    key: str
    rows: Sequence[Row]
    structures: Sequence[StructureSummary]
    means: Mapping[str, Mean | None]


@dataclass(frozen=True)
class Evaluation:
    """All that is known after an evaluation.

    Attributes:
        settings: What was evaluated: protocol, model, list, rules.
        rows: Every row.
        sections: Summaries.
        curve: Overlap by number of clicks.
        challenge: Figures of the CVPR 2025 challenge.
        click_figures: How many clicks a Dice takes; see `click_counts`.
        timings: By scan; see `speed.timed`.
        published: Tables of published figures: title, and rows by column.
        unknown: Structures that labels speak of and that the model does not know, with the number of scans.
        refused: Scans that could not be judged.
        notes: What a reader must know.
    """

    settings: Mapping[str, Any]
    rows: Sequence[Row]
    sections: Sequence[Section] = ()
    curve: Curve | None = None
    challenge: Mapping[str, Mean | None] | None = None
    click_figures: Mapping[str, Mean | None] | None = None
    timings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[Refused] = ()
    notes: Sequence[str] = ()


def write_evaluation(found: Evaluation, folder: Path) -> list[Path]:
    """Write `results.json`, `cases.csv`, `summary.csv` and `report.md` into a folder, and return their paths.

    Raises:
        FormatError: The folder cannot be written.
        ResourceError: The disk is full.
    """
    files = {
        "results.json": json.dumps(as_json(found), indent=1, allow_nan=False).encode("ascii") + b"\n",
        "cases.csv": as_csv(row.to_json() for row in found.rows),
        "summary.csv": as_csv(summary_rows(found)),
        "report.md": markdown(found).encode("utf-8", "replace"),
    }
    for name, content in files.items():
        write_atomically(folder / name, [content])
    return [folder / name for name in files]


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data; the rows are in their own table."""
    return {
        "schema": SCHEMA,
        "settings": dict(found.settings),
        "sections": {section.key: section_json(section) for section in found.sections},
        "curve": None if found.curve is None else found.curve.to_json(),
        "challenge": None if found.challenge is None else means_json(found.challenge),
        "click_figures": None if found.click_figures is None else means_json(found.click_figures),
        "timings": {case: dict(timing) for case, timing in found.timings.items()},
        "published": {title: list(map(dict, rows)) for title, rows in found.published.items()},
        "unknown_to_the_model": dict(found.unknown),
        "refused": list(map(asdict, found.refused)),
        "notes": list(found.notes),
    }


def section_json(section: Section) -> dict[str, Any]:
    """Return a section as plain data."""
    summaries = []
    for summary in section.structures:
        summaries.append(summary.to_json())
    return {"title": section.title, "means": means_json(section.means), "structures": summaries}


def means_json(means: Mapping[str, Mean | None]) -> dict[str, Any]:
    """Return means by key as plain data."""
    found = {}
    for key, mean in means.items():
        found[key] = None if mean is None else asdict(mean)
    return found


def as_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as a table with a header."""
    kept = [round_numbers(row) for row in rows]
    columns: dict[str, None] = {}  # in the order in which they first occur
    for row in kept:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    return text.getvalue().encode("utf-8", "replace")


def round_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the digits that mean something."""
    found = {}
    for key, value in row.items():
        if isinstance(value, float):
            found[key] = round(value, 5)
        else:
            found[key] = value
    return found


def summary_rows(found: Evaluation) -> Iterable[dict[str, Any]]:
    """Yield the summaries of all sections as rows of one table."""
    for section in found.sections:
        for summary in section.structures:
            row: dict[str, Any] = {"section": section.key}
            for key, value in summary.to_json().items():
                # A mean fills three columns, also where it is None.
                if isinstance(value, dict) or key in ("dice", "nsd"):
                    mean = value or {}
                    row |= {key: mean.get("value"), f"{key}_low": mean.get("low"), f"{key}_high": mean.get("high")}
                else:
                    row[key] = value
            yield row


def markdown(found: Evaluation) -> str:
    """Return the report for people."""
    cases = {row.case for row in found.rows} | set(found.timings)
    lines = [f"# Evaluation: {found.settings.get('protocol')}", "", *setting_lines(found.settings)]
    lines += [f"- scans judged: {len(cases)}", ""]
    for note in found.notes:
        lines += [note, ""]
    for section in found.sections:
        lines += section_lines(section)
    if found.curve is not None:
        lines += curve_lines(found.curve)
    if found.click_figures is not None:
        lines += click_figure_lines(found.click_figures)
    if found.challenge is not None:
        lines += challenge_lines(found.challenge)
    if found.timings:
        lines += timing_lines(found.timings)
    for title, rows in found.published.items():
        if rows:
            lines += published_lines(title, rows)
    if found.unknown:
        names = ", ".join(f"{name} ({count})" for name, count in found.unknown.items())
        lines += ["## What labels speak of and the model does not know (scans)", "", names, ""]
    if found.refused:
        body = []
        for refused in found.refused:
            body.append((refused.case, refused.code, refused.message))
        lines += ["## Could not be judged", "", *table_lines(["scan", "code", "why"], body), ""]
    return "\n".join(lines)


def setting_lines(settings: Mapping[str, Any]) -> list[str]:
    """Return a list item for each setting that says something."""
    lines = []
    for key, value in settings.items():
        if value is None or value in ([], {}):
            continue
        if isinstance(value, list | tuple):
            words = ", ".join(map(str, value))
        else:
            words = str(value)
        lines.append(f"- {key.replace('_', ' ')}: {words}")
    return lines


def section_lines(section: Section) -> list[str]:
    """Return a table of structures."""
    head = ["structure", "Dice [95 %]", "NSD [95 %]", "where present", "median", "scans", "found where absent"]
    body = [structure_row(summary) for summary in section.structures]
    means = section.means
    present = means.get("dice_present")
    total = ["**mean of structures**", interval(means.get("dice")), interval(means.get("nsd"))]
    body.append([*total, figure(None if present is None else present.value), "", "", ""])
    if means.get("hd95_mm") is not None:
        head += ["HD95 mm", "mean distance mm", "missed"]
        for cells, summary in zip(body, section.structures, strict=False):
            cells += [figure(summary.hd95_mm), figure(summary.surface_mm), f"{summary.missed} of {summary.present}"]
        missed = sum(summary.missed for summary in section.structures)
        for key in ("hd95_mm", "surface_mm"):
            mean = means.get(key)
            body[-1].append(figure(None if mean is None else mean.value))
        body[-1].append(str(missed))
    return [f"## {section.title}", "", *table_lines(head, body), ""]


def structure_row(s: StructureSummary) -> list[str]:
    """Return the cells of a structure."""
    false = NONE
    if s.absent:
        false = f"{s.false_positives} of {s.absent}"
    overlap = [interval(s.dice), interval(s.nsd), figure(s.dice_present), figure(s.median)]
    return [s.structure, *overlap, str(s.present), false]


def curve_lines(curve: Curve) -> list[str]:
    """Return a table of overlap by number of clicks."""
    head = ["clicks", "Dice [95 %]", "NSD [95 %]", "clicks really used", "best Dice so far (looks at the truth)"]
    body = []
    for n, dice, nsd, used, best in zip(curve.clicks, curve.dice, curve.nsd, curve.used, curve.best, strict=True):
        body.append([str(n), interval(dice), interval(nsd), f"{used:.2f}", figure(best)])
    return ["## By number of clicks", "", *table_lines(head, body), ""]


def click_figure_lines(figures: Mapping[str, Mean | None]) -> list[str]:
    """Return a table of how many clicks a Dice takes."""
    body = []
    for name, mean in figures.items():
        body.append((name, interval(mean)))
    table = table_lines(["figure", "mean [95 %]"], body)
    words = "Clicks until a Dice (20 where it is not reached), the share that failed, and mean Dice over five clicks."
    return ["## How many clicks it takes", "", words, "", *table, ""]


def challenge_lines(challenge: Mapping[str, Mean | None]) -> list[str]:
    """Return a table of the challenge's figures."""
    body = []
    for name, mean in challenge.items():
        body.append((name, interval(mean)))
    table = table_lines(["figure", "mean [95 %]"], body)
    return ["## Five clicks, as the CVPR 2025 challenge counts", "", *table, ""]


def timing_lines(timings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of times by scan."""
    head = ["scan", "at 1.5 mm", "megavoxels", "windows", "structures", "seconds", "by stage", "process GiB"]
    body = []
    for case, timing in timings.items():
        body.append([case, *timing_cells(timing)])
    return ["## Times", "", *table_lines(head, body), ""]


def timing_cells(timing: Mapping[str, Any]) -> list[str]:
    """Return the cells of a scan's time."""
    return [
        "x".join(map(str, timing["shape_1_5mm"])),
        f"{timing['megavoxels_1_5mm']:.1f}",
        str(timing["windows"] or NONE),
        str(timing["structures"]),
        f"{timing['seconds']:.2f}",
        ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in timing["stages"].items()),
        f"{timing['resident_gib']:.2f}",
    ]


def published_lines(title: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a table of published figures."""
    columns = list(rows[0])
    body = []
    for row in rows:
        body.append([row[column] or NONE for column in columns])
    return [f"## Published: {title}", "", *table_lines(columns, body), ""]


def table_lines(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in body:
        cells = [cell.replace("|", "/") for cell in row]  # a bar would begin another column
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def interval(mean: Mean | None) -> str:
    """Return a mean with its interval."""
    if mean is None or not mean.count:
        return NONE
    return f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"


def figure(value: float | None) -> str:
    """Return a number."""
    if value is None:
        return NONE
    return f"{value:.3f}"
