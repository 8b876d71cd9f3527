"""How far a computation is, on standard error, where someone is looking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prosect.progress import Watch

__all__ = ["counting"]


@contextmanager
def counting(what: str, quiet: bool) -> Iterator[Watch | None]:
    """Yield what to tell of each step, or None where nobody is looking."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)  # the total comes with the first step

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step
