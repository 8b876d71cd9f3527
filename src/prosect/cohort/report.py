"""What became of a cohort, as data: one row per case, whichever run it was done in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prosect.cohort.ledger import History
from prosect.cohort.manifest import Manifest, Scan
from prosect.cohort.plan import Plan
from prosect.io.atomic import write_atomically

__all__ = [
    "LEFT",
    "TABLE_ENDING",
    "case_row",
    "join_tables",
    "pace",
    "summary",
    "tables_of",
    "write_json",
    "write_statistics",
]

LEFT = "left"
TABLE_ENDING = "statistics.csv"


def summary(manifest: Manifest, plan: Plan, known: History, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return every case with what became of it, the counts, and the names of other finished cases in the folder.

    Args:
        manifest: All cases.
        plan: What was to be done.
        known: What the ledger tells now.
        settings: What was asked.
    """
    rows = []
    for scan in manifest.scans:
        rows.append(case_row(plan, known, scan))
    states = [row["state"] for row in rows]
    return {
        "settings": dict(settings),
        "counts": {state: states.count(state) for state in ("done", "refused", LEFT)},
        "passed_over": dict(manifest.passed),
        "cases": rows,
        "other_cases": other_cases(known, [scan.name for scan in manifest.scans]),
    }


def case_row(plan: Plan, known: History, scan: Scan) -> dict[str, Any]:
    """Return one case: its input, and how it ended."""
    row: dict[str, Any] = {"case": scan.name, "input": scan.origin}
    if scan.series:
        row["series"] = scan.series
    event = known.done.get(scan.name) or known.refused.get(scan.name)
    if scan in plan.changed:
        message = "A file of its result was changed since it was written; it was left alone."
        return {**row, "state": "refused", "code": "OUTPUT_CHANGED", "message": message}
    if event is None:
        return {**row, "state": LEFT}
    words = ("code", "message", "seconds", "files")
    return {**row, "state": event["event"], **{word: event[word] for word in words if word in event}}


def pace(plan: Plan, known: History, seconds: float, together: int = 1) -> dict[str, Any]:
    """Return how many scans a run did in what time, and for which share of it the model computed.

    Args:
        plan: What the run had to do.
        known: What the ledger tells now.
        seconds: How long it took.
        together: How many scans were computed at once.
    """
    mine = [known.done[scan.name] for scan in (*plan.todo, *plan.alone) if scan.name in known.done]
    computing = sum(event.get("seconds", {}).get("segmenting", 0.0) for event in mine)
    busy = None
    if mine and seconds > 0:
        busy = round(min(100.0, 100 * computing / together / seconds), 1)
    return {"scans": len(mine), "seconds": round(seconds, 1), "model_busy_percent": busy}


def join_tables(tables: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one table made of tables with the same header."""
    header = b""
    for content in tables:
        first, _, rows = content.partition(b"\n")
        if not header:
            header = first
            yield header + b"\n"
        if first == header:
            yield rows


def write_statistics(out: Path, known: History, names: Sequence[str], path: Path) -> Path | None:
    """Join the tables of all finished cases, those of `names` first, and return the path; None where there is none.

    Raises:
        ProsectError: The place cannot be written, or the disk is full.
    """
    present = []
    for table in tables_of(known, names):
        if (out / table).is_file():
            present.append(out / table)
    if not present:
        return None
    write_atomically(path, join_tables(table.read_bytes() for table in present))
    return path


def tables_of(known: History, names: Sequence[str]) -> list[str]:
    """Return the tables of all finished cases, relative to the folder of the results.

    Args:
        known: What the ledger tells now.
        names: The cases of this run, which come first in this order. Those of other scans in the folder follow.
    """
    found = []
    for name in (*names, *other_cases(known, names)):
        files: Sequence[str] = ()
        if name in known.done:
            files = known.done[name]["files"]
        found += [file for file in files if file.endswith(TABLE_ENDING)]
    return found


def other_cases(known: History, names: Sequence[str]) -> list[str]:
    """Return the finished cases that are none of `names`: results of other scans in the same folder."""
    return sorted(set(known.done) - set(names))


def write_json(thing: Mapping[str, Any], path: Path) -> Path:
    """Write data as JSON, whole or not at all, and return the path.

    Raises:
        ProsectError: The place cannot be written, or the disk is full.
    """
    write_atomically(path, [json.dumps(thing, indent=2).encode("ascii"), b"\n"])
    return path
