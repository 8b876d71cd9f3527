"""Where commands print."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

__all__ = ["open_console", "plain_table"]

FILE_WIDTH = 160


class Screen(Console):
    """A console that leaves a closed pipe to the entry of the command line, which knows the exit code."""

    def on_broken_pipe(self) -> None:
        """Pass the error on; by default the program would end here with status 1."""
        raise BrokenPipeError


def open_console(*, markup: bool = False) -> Console:
    """Return a console on standard output; into a file or a pipe lines are long, so that nothing is folded."""
    width = None if sys.stdout.isatty() else FILE_WIDTH
    return Screen(markup=markup, highlight=False, soft_wrap=True, width=width)


def plain_table(*, header: bool = True) -> Table:
    """Return a table without lines."""
    return Table(box=None, pad_edge=False, header_style="bold", show_header=header)
