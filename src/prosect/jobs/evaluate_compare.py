"""Lay finished evaluations of several models side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prosect.errors import FormatError
from prosect.evaluation.comparison import Comparison, compare, read_contender, write_comparison
from prosect.jobs.job import Job

__all__ = ["EvaluateCompareJob"]


@dataclass(frozen=True)
class EvaluateCompareJob(Job):
    """Compare models on the scans that each of them was evaluated on.

    Attributes:
        folders: Results of `prosect evaluate clicks`, two or more; the others are compared with the first.
        output: Folder of the comparison.
        seed: Of the intervals.
        overwrite: Replace a comparison that is there.
    """

    kind: ClassVar[str] = "evaluate-compare"

    folders: tuple[Path, ...]
    output: Path
    seed: int = 0
    overwrite: bool = False

    def run(self) -> tuple[Comparison, tuple[Path, ...]]:
        """Write the comparison, and return it with the files written.

        Raises:
            FormatError: The folder holds a comparison (`OUTPUT_EXISTS`), or cannot be written.
            RecipeError: The evaluations are missing, or were not judged alike (`RESULTS_UNFIT`).
        """
        if (self.output / "comparison.json").exists() and not self.overwrite:
            raise FormatError(
                f"{self.output} holds a comparison; choose another folder, or --overwrite.", code="OUTPUT_EXISTS"
            )
        found = compare([read_contender(folder) for folder in self.folders], self.seed)
        return found, tuple(write_comparison(found, self.output))
