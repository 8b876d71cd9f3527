"""How far a cohort is, on standard error: a bar with the time left where someone looks, else a line per scan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from prosect.cli.console import open_console
from prosect.cohort.pipeline import Outcome
from prosect.progress import Watch

__all__ = ["CohortProgress", "say_refused", "time_left", "watching"]

REFUSED_SHOWN = 20


class CohortProgress:
    """Counts outcomes and tells of them; says nothing where it has nowhere to.

    Args:
        total: How many there will be.
        say: Takes a line; None is silence.
        bar: Takes the number done and the words beside it.
        debug: Whether the traceback of a bug is told too.
        clock: Seconds.
    """

    def __init__(
        self, total: int, say: Callable[[str], None] | None, bar: Callable[[float, str], None] | None, debug: bool,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._total, self._say, self._bar, self._debug, self._clock = total, say, bar, debug, clock
        self._begin, self._count = clock(), 0

    @property
    def on_window(self) -> Watch | None:
        """Told of each window of the present scan; None where parts of a scan are not shown."""
        if self._bar is None:
            return None
        return lambda done, total: self.part(done / total)

    def part(self, share: float) -> None:
        """Tell how much of the present scan is computed, from 0 to 1."""
        if self._bar is not None and share > 0:
            done = self._count + min(share, 1.0)
            self._bar(done, time_left(self._clock() - self._begin, done, self._total))

    def outcome(self, outcome: Outcome) -> None:
        """Tell how one scan ended."""
        self._count += 1
        left = time_left(self._clock() - self._begin, self._count, self._total)
        if self._bar is not None:
            self._bar(self._count, left)
        if self._say is None:
            return
        if outcome.code:
            self._say(f"{self._place()} {outcome.scan.name}: refused [{outcome.code}] {outcome.message}")
        elif self._bar is None:
            count = outcome.kept.get("structures", 0)
            word = "structure" if count == 1 else "structures"
            found = f"{count} {word}, {sum(outcome.seconds.values()):.1f} s"
            self._say(f"{self._place()} {outcome.scan.name}: {found}{', ' if left else ''}{left}")
        if outcome.trace and self._debug:
            self._say(outcome.trace)

    def _place(self) -> str:
        return f"[{self._count}/{self._total}]"


def time_left(seconds: float, count: float, total: int) -> str:
    """Return in words how long the rest takes at the pace so far; nothing when nothing is left."""
    if count >= total:
        return ""
    left = seconds / count * (total - count)
    if left < 90:
        return f"{max(1, round(left))} s left"
    minutes = round(left / 60)
    if minutes < 120:
        return f"{minutes} min left"
    return f"{minutes // 60} h {minutes % 60} min left"


@contextmanager
def watching(total: int, quiet: bool, debug: bool, clock: Callable[[], float]) -> Iterator[CohortProgress]:
    """Yield what is told of each outcome."""
    if quiet or not sys.stderr.isatty():
        yield CohortProgress(total, None if quiet else plain, None, debug, clock)
        return
    columns = (
        TextColumn("segmenting"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total} {task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task: TaskID = progress.add_task("segmenting", total=total, left="")
        yield CohortProgress(
            total,
            lambda line: progress.console.print(escape(line)),
            lambda count, left: progress.update(task, completed=count, left=left),
            debug,
            clock,
        )


def plain(line: str) -> None:
    """Print a line on standard error at once."""
    print(line, file=sys.stderr, flush=True)


def say_refused(cases: Iterable[Mapping[str, Any]]) -> None:
    """Print which cases of a report were refused, and why; of many only the first.

    Args:
        cases: The rows of the report.
    """
    console = open_console()
    refused = [row for row in cases if row["state"] == "refused"]
    for row in refused[:REFUSED_SHOWN]:
        console.print(f"refused: {row['case']} [{row['code']}] {row['message']}")
    if len(refused) > REFUSED_SHOWN:
        console.print(f"and {len(refused) - REFUSED_SHOWN} more")
