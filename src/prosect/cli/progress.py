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

__all__ = ["progress"]


@contextmanager
def progress(model: Any, volume: Volume, args: argparse.Namespace) -> Iterator[Callable[[int], None] | None]:
    """Yield what to call with the number of windows done, or None where nobody is looking.

    The number of windows is known from the geometry; where air around the patient is cropped, fewer are needed and
    the bar ends early.
    """
    if args.quiet or not sys.stderr.isatty():
        yield None
        return
    total = model.plan(volume, classes=args.roi_subset, overlap=args.overlap).windows
    columns = TextColumn("segmenting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("segmenting", total=total)
        yield lambda done: bar.update(task, completed=done)
