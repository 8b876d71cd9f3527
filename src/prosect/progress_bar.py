"""A bar of plain text on standard error, in terminals and in notebooks; it needs no widgets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from prosect.progress import Watch

__all__ = ["bar", "is_watched"]

CELLS = 24
# Of notebooks: their standard error is no terminal, and shows what is written at once.
NOTEBOOK = "ipykernel"


def is_watched(stream: TextIO) -> bool:
    """Return whether someone looks at what is written: a terminal, or a notebook."""
    return stream.isatty() or type(stream).__module__.startswith(NOTEBOOK)


def bar(what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.perf_counter) -> Watch | None:
    """Return what draws a bar as it is told of each step; None where nobody looks.

    Args:
        what: Word in front of the bar.
        stream: Where it is drawn; standard error by default.
        clock: Seconds.
    """
    shown = sys.stderr if stream is None else stream
    if not is_watched(shown):
        return None
    began = clock()

    def step(done: int, total: int) -> None:
        full = CELLS * done // max(total, 1)
        end = "\n" if done >= total else ""
        left = duration((clock() - began) * (total - done) / max(done, 1))
        # The blanks cover what a longer line left.
        shown.write(f"\r{what} [{'#' * full}{'.' * (CELLS - full)}] {done}/{total}, {left} left   {end}")
        shown.flush()

    return step


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
