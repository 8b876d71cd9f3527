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

__all__ = ["SCHEMA", "Evaluation", "Section", "markdown", "write_evaluation"]

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
        "sections": {
            section.key: {
                "title": section.title,
                "means": {key: None if mean is None else asdict(mean) for key, mean in section.means.items()},
                "structures": [summary.to_json() for summary in section.structures],
            }
            for section in found.sections
        },
        "curve": None if found.curve is None else found.curve.to_json(),
        "challenge": None
        if found.challenge is None
        else {key: None if mean is None else asdict(mean) for key, mean in found.challenge.items()},
        "timings": {case: dict(timing) for case, timing in found.timings.items()},
        "published": {title: [dict(row) for row in rows] for title, rows in found.published.items()},
        "unknown_to_the_model": dict(found.unknown),
        "refused": [asdict(each) for each in found.refused],
        "notes": list(found.notes),
    }


def as_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as a table with a header."""
    kept = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in kept for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: rounded(value) for key, value in row.items()} for row in kept)
    return text.getvalue().encode("utf-8", "replace")


def rounded(value: Any) -> Any:
    """Return a number with the digits that mean something."""
    return round(value, 5) if isinstance(value, float) else value


def summary_rows(found: Evaluation) -> Iterable[dict[str, Any]]:
    """Yield the summaries of all sections as rows of one table."""
    for section in found.sections:
        for summary in section.structures:
            plain = summary.to_json()
            row: dict[str, Any] = {"section": section.key}
            for key, value in plain.items():
                if isinstance(value, dict) or key in ("dice", "nsd"):
                    mean = value or {}
                    row |= {key: mean.get("value"), f"{key}_low": mean.get("low"), f"{key}_high": mean.get("high")}
                else:
                    row[key] = value
            yield row


def markdown(found: Evaluation) -> str:
    """Return the report for people."""
    s = found.settings
    lines = [f"# Evaluation: {s.get('protocol')}", ""]
    lines += [f"- {key.replace('_', ' ')}: {told(value)}" for key, value in s.items() if value not in (None, [], {})]
    lines += [f"- scans judged: {len({row.case for row in found.rows} | set(found.timings))}", ""]
    for note in found.notes:
        lines += [note, ""]
    for section in found.sections:
        lines += section_lines(section)
    if found.curve is not None:
        lines += curve_lines(found.curve)
    if found.challenge is not None:
        lines += ["## Five clicks, as the CVPR 2025 challenge counts", ""]
        means = [(name, interval(mean)) for name, mean in found.challenge.items()]
        lines += [*table_lines(["figure", "mean [95 %]"], means), ""]
    if found.timings:
        lines += timing_lines(found.timings)
    for title, rows in found.published.items():
        if rows:
            body = [[row[column] or NONE for column in rows[0]] for row in rows]
            lines += [f"## Published: {title}", "", *table_lines(list(rows[0]), body), ""]
    if found.unknown:
        named = ", ".join(f"{name} ({count})" for name, count in found.unknown.items())
        lines += ["## What labels speak of and the model does not know (scans)", "", named, ""]
    if found.refused:
        lines += ["## Could not be judged", ""]
        lines += [*table_lines(["scan", "code", "why"], [(r.case, r.code, r.message) for r in found.refused]), ""]
    return "\n".join(lines)


def told(value: Any) -> str:
    """Return a setting in words."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def section_lines(section: Section) -> list[str]:
    """Return a table of structures."""
    head = ["structure", "Dice [95 %]", "NSD [95 %]", "where present", "median", "scans", "found where absent"]
    body = [
        [
            s.structure,
            interval(s.dice),
            interval(s.nsd),
            figure(s.dice_present),
            figure(s.median),
            str(s.present),
            f"{s.false_positives} of {s.absent}" if s.absent else NONE,
        ]
        for s in section.structures
    ]
    means = section.means
    present = means.get("dice_present")
    total = ["**mean of structures**", interval(means.get("dice")), interval(means.get("nsd"))]
    body.append([*total, figure(None if present is None else present.value), "", "", ""])
    return [f"## {section.title}", "", *table_lines(head, body), ""]


def curve_lines(curve: Curve) -> list[str]:
    """Return a table of overlap by number of clicks."""
    head = ["clicks", "Dice [95 %]", "NSD [95 %]", "clicks really used", "best Dice so far (looks at the truth)"]
    body = [
        [str(n), interval(dice), interval(nsd), f"{used:.2f}", figure(best)]
        for n, dice, nsd, used, best in zip(curve.clicks, curve.dice, curve.nsd, curve.used, curve.best, strict=True)
    ]
    return ["## By number of clicks", "", *table_lines(head, body), ""]


def timing_lines(timings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table of times by scan."""
    head = ["scan", "at 1.5 mm", "megavoxels", "windows", "structures", "seconds", "by stage", "process GiB"]
    body = [
        [
            case,
            "x".join(map(str, t["shape_1_5mm"])),
            f"{t['megavoxels_1_5mm']:.1f}",
            str(t["windows"] or NONE),
            str(t["structures"]),
            f"{t['seconds']:.2f}",
            ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in t["stages"].items()),
            f"{t['resident_gib']:.2f}",
        ]
        for case, t in timings.items()
    ]
    return ["## Times", "", *table_lines(head, body), ""]


def table_lines(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in body),
    ]


def interval(mean: Mean | None) -> str:
    """Return a mean with its interval."""
    return NONE if mean is None or not mean.count else f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]"


def figure(value: float | None) -> str:
    """Return a number."""
    return NONE if value is None else f"{value:.3f}"
