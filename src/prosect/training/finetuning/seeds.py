"""Trainings that differ in their seed alone, taken together: what the recipe gives, and how far chance moves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prosect.evaluation.scores import Row
from prosect.evaluation.summary import Mean, mean_of_seeds, table
from prosect.training.finetuning.fewshot import Outcome

__all__ = ["Way", "ways"]


@dataclass(frozen=True)
class Way:
    """All trainings by as many scans from the same start: one a seed.

    Attributes:
        shots: Scans they learn from.
        scratch: Whether they start from random weights.
        outcomes: What they came to, in the order of their seeds.
    """

    shots: int
    scratch: bool
    outcomes: tuple[Outcome, ...]

    @property
    def start(self) -> str:
        """Where they started, in one word."""
        return self.outcomes[0].arm.start

    @property
    def title(self) -> str:
        """What they are, for people."""
        first = self.outcomes[0].arm
        if len(self.outcomes) == 1:
            return first.title
        return f"{replace(first, seed=None).title}, {len(self.outcomes)} seeds"

    @property
    def structures(self) -> tuple[str, ...]:
        """The structures that were judged, in the order of their indices."""
        return tuple(summary.structure for summary in self.outcomes[0].section.structures)

    def mean(self, column: str, structure: str | None = None) -> Mean | None:
        """Return the mean over seeds; None where nothing counts.

        Args:
            column: `dice` or `nsd`.
            structure: Of this one; by default the mean over all structures.
        """
        if len(self.outcomes) == 1:
            return own_mean(self.outcomes[0], column, structure)
        columns = []
        for rows in self.rows_by_seed(structure):
            keys = [(row.case, row.structure) for row in rows]
            columns.append(table(keys, [getattr(row, column) for row in rows]))
        return mean_of_seeds(columns, np.random.default_rng(0))

    def median(self, structure: str) -> float | None:
        """Return the median Dice over the scans of all seeds that have the structure; None where no scan has it."""
        found: list[float] = []
        for rows in self.rows_by_seed(structure):
            found.extend(row.dice for row in rows if row.truth_ml > 0 and row.dice is not None)
        if found:
            return float(np.median(found))
        return None

    def by_seed(self, column: str) -> list[float]:
        """Return the mean over structures of each seed."""
        values = []
        for outcome in self.outcomes:
            mean = outcome.section.means[column]
            if mean is not None:
                values.append(mean.value)
        return values

    def rows_by_seed(self, structure: str | None) -> Iterator[list[Row]]:
        """Yield the rows of each seed, scans in the same order: all, or those of one structure."""
        for outcome in self.outcomes:
            rows = [row for row in outcome.section.rows if structure in (None, row.structure)]
            yield sorted(rows, key=lambda row: (row.case, row.index))


def ways(found: Sequence[Outcome]) -> list[Way]:
    """Return outcomes by number of scans and start, fewest scans first, finetuned before from scratch."""
    groups: dict[tuple[int, bool], list[Outcome]] = {}
    for each in found:
        groups.setdefault((each.arm.shots, each.arm.scratch), []).append(each)
    return [Way(shots, scratch, tuple(groups[(shots, scratch)])) for shots, scratch in sorted(groups)]


def own_mean(outcome: Outcome, column: str, structure: str | None) -> Mean | None:
    """Return a mean of one training, over all structures or of one."""
    means: Mapping[str, Any] = outcome.section.means
    if structure is None:
        found: Mean | None = means[column]
        return found
    for summary in outcome.section.structures:
        if summary.structure == structure:
            found = getattr(summary, column)
            return found
    return None
