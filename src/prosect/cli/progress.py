"""How far a segmentation is, on standard error, where someone is looking."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prosect.volume import Volume

__all__ = ["counting", "progress"]


@contextmanager
def progress(model: Any, volume: Volume, args: argparse.Namespace) -> Iterator[Callable[[int], None] | None]:
    """Yield what to call with the number of windows done, or None where nobody is looking.

    The number of windows is known from the geometry; where air around the patient is cropped, fewer are needed and
    the bar ends early.
    """
    total = 0 if unseen(args.quiet) else model.plan(volume, classes=args.roi_subset, overlap=args.overlap).windows
    with counting("segmenting", total, args.quiet) as on_window:
        yield on_window


def unseen(quiet: bool) -> bool:
    """Return whether nobody is looking."""
    return quiet or not sys.stderr.isatty()


@contextmanager
def counting(what: str, total: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Yield what to call with the number of steps done, or None where nobody is looking."""
    if unseen(quiet):
        yield None
        return
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
