"""What of a list is done: one line per scan, so that a run that was killed goes on where it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.errors import FormatError, ProsectError
from prosect.evaluation.scores import Row
from prosect.io.atomic import write_atomically
from prosect.io.paths import file_name

__all__ = ["Ledger", "Refused"]


@dataclass(frozen=True)
class Refused:
    """A scan that could not be judged, and why."""

    case: str
    code: str
    message: str


@dataclass
class Ledger:
    """The lines of one run over a list.

    Attributes:
        path: The file; its first line tells what is done.
        settings: What is done, as plain data.
        rows: Rows by scan that is done.
        refused: Scans that were refused; they are tried again by the next run.
        facts: What else is kept of a scan.
    """

    path: Path
    settings: Mapping[str, Any]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any], overwrite: bool = False) -> Ledger:
        """Return the ledger at a path, begun now where there is none.

        Raises:
            FormatError: It is of another run (`RUN_CHANGED`), or the place cannot be written.
        """
        wanted = json.loads(json.dumps(settings))
        ledger = cls(path, wanted)
        lines = [] if overwrite or not path.exists() else whole_lines(path)
        if lines and lines[0] != wanted:
            raise FormatError(
                f"{file_name(path)}: the folder holds results of another model, list or request. Choose another "
                "folder, or give --overwrite.",
                code="RUN_CHANGED",
            )
        for line in lines[1:]:
            ledger.take(line)
        # Written anew even where it was whole: after a line that a kill has cut nothing more could be added.
        write_atomically(path, [encoded(line) for line in lines or [wanted]])
        return ledger

    def take(self, line: Mapping[str, Any]) -> None:
        """Take a line that was written before."""
        if "rows" in line:
            self.rows[line["case"]] = [Row.from_json(row) for row in line["rows"]]
            self.facts[line["case"]] = line["facts"]

    def add(self, case: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
        """Keep the rows of a scan."""
        append(self.path, {"case": case, "rows": [row.to_json() for row in rows], "facts": dict(facts)})
        self.rows[case], self.facts[case] = list(rows), dict(facts)

    def refuse(self, case: str, error: ProsectError) -> None:
        """Note that a scan could not be judged."""
        self.refused[case] = Refused(case, error.code, str(error))
        append(self.path, {"case": case, "refused": error.code, "message": str(error)})

    @property
    def all_rows(self) -> list[Row]:
        """The rows of all scans."""
        return [row for rows in self.rows.values() for row in rows]


def whole_lines(path: Path) -> list[Any]:
    """Return the lines of a ledger; one that was cut by a kill is not counted, nor what follows it."""
    found = []
    with path.open("rb") as lines:
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


def encoded(line: Any) -> bytes:
    """Return a line of the ledger."""
    return (json.dumps(line) + "\n").encode("ascii")


def append(path: Path, line: Any) -> None:
    """Add a line and bring it to the disk.

    Raises:
        FormatError: The place cannot be written (`OUTPUT_UNWRITABLE`).
    """
    try:
        with path.open("ab") as ledger:
            ledger.write(encoded(line))
            ledger.flush()
            os.fsync(ledger.fileno())
    except OSError as error:
        raise FormatError(
            f"{file_name(path)}: the file cannot be written ({error.strerror}).", code="OUTPUT_UNWRITABLE"
        ) from error
