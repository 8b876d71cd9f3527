"""Which scans of a list have pseudo-labels by now, so that a run that was killed goes on where it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prosect.errors import ProsectError
from prosect.io.line_log import append_line, resume_log
from prosect.training.pseudo import PseudoLabels

__all__ = ["LabelledCase", "PseudoLedger"]


@dataclass(frozen=True)
class LabelledCase:
    """What is kept of a scan that has pseudo-labels.

    Attributes:
        reliability: As in `PseudoLabels`.
        known: Indices of the structures that the labels tell of.
    """

    reliability: float
    known: tuple[int, ...]


@dataclass
class PseudoLedger:
    """The lines of one run of labelling.

    Attributes:
        path: The file; its first line tells what labels are made.
        labelled: Scans that have their labels.
        refused: Names of those that could not be labelled in this run; the next tries them again.
    """

    path: Path
    labelled: dict[str, LabelledCase] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any], overwrite: bool = False) -> PseudoLedger:
        """Return the ledger at a path, begun now where there is none.

        Raises:
            FormatError: It is of another run (`RUN_CHANGED`), or the place cannot be read or written.
        """
        ledger = cls(path)
        for line in resume_log(path, settings, overwrite=overwrite):
            # Earlier versions kept this among the facts of an evaluation without rows.
            facts = line.get("facts", line)
            if "reliability" in facts:
                ledger.labelled[line["case"]] = LabelledCase(float(facts["reliability"]), tuple(facts["known"]))
        return ledger

    def add(self, case: str, found: PseudoLabels) -> None:
        """Note that the labels of a scan are written."""
        kept = {"reliability": found.reliability, "known": list(found.known), "notes": list(found.notes)}
        append_line(self.path, {"case": case, **kept})
        self.labelled[case] = LabelledCase(float(found.reliability), tuple(found.known))

    def refuse(self, case: str, error: ProsectError) -> None:
        """Note that a scan could not be labelled."""
        append_line(self.path, {"case": case, "refused": error.code, "message": str(error)})
        self.refused.append(case)
