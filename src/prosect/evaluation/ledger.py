"""What of a list is done: one line per scan, so that a run that was killed goes on where it ended."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.errors import ProsectError
from prosect.evaluation.scores import Row
from prosect.io.line_log import append_line, decode_lines, resume_log
from prosect.io.paths import file_name, unreadable
from prosect.io.payload import corrupt

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
        ledger = cls(path, json.loads(json.dumps(settings)))
        for line in resume_log(path, settings, overwrite=overwrite):
            ledger.take(line)
        return ledger

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Return the ledger of a run that is not gone on with.

        Raises:
            FormatError: It cannot be read, it is no ledger, or a line of it is damaged (`INPUT_CORRUPT`).
        """
        try:
            lines = decode_lines(path.read_bytes(), unchecked=True)
        except OSError as error:
            raise unreadable(path, error) from error
        if lines.damaged or not lines.entries:
            where = "no line is whole"
            if lines.damaged:
                where = f"line {lines.damaged[0]} is damaged"
            raise corrupt(file_name(path), where)
        ledger = cls(path, lines.entries[0])
        for line in lines.entries[1:]:
            ledger.take(line)
        return ledger

    def take(self, line: Mapping[str, Any]) -> None:
        """Take a line that was written before."""
        if "rows" in line:
            self.rows[line["case"]] = [Row.from_json(row) for row in line["rows"]]
            self.facts[line["case"]] = line["facts"]

    def add(self, case: str, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
        """Keep the rows of a scan."""
        append_line(self.path, {"case": case, "rows": [row.to_json() for row in rows], "facts": dict(facts)})
        self.rows[case], self.facts[case] = list(rows), dict(facts)

    def refuse(self, case: str, error: ProsectError) -> None:
        """Note that a scan could not be judged."""
        self.refused[case] = Refused(case, error.code, str(error))
        append_line(self.path, {"case": case, "refused": error.code, "message": str(error)})

    @property
    def all_rows(self) -> list[Row]:
        """The rows of all scans."""
        return list(itertools.chain.from_iterable(self.rows.values()))
