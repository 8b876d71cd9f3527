"""`prosect weights`: which models are known, where their weights are, and whether they are whole."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from prosect.checkpoints import catalog
from prosect.cli.screen import open_console, plain_table
from prosect.errors import CheckpointError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Do one action and return its exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": show, "import": bring, "verify": verify, "pull": pull,
    }  # fmt: skip
    return actions[args.action](args)


def show(args: argparse.Namespace) -> int:
    """Print every model of the catalogue with its licence and place."""
    table = plain_table()
    for name in ("model", "here", "licence", "file"):
        table.add_column(name)
    for entry in catalog.entries():
        place = catalog.locate(entry.name)
        table.add_row(entry.name, "yes" if place else "no", entry.licence, str(place or "-"))
    open_console().print(table)
    return 0


def bring(args: argparse.Namespace) -> int:
    """Take a weights file."""
    open_console().print(f"imported: {catalog.import_weights(args.file, args.model)}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Check hashes; 6 where one is wrong."""
    names = [args.model] if args.model else [e.name for e in catalog.entries() if catalog.locate(e.name)]
    console, status = open_console(), 0
    for name in names:
        try:
            console.print(f"{name}: whole ({catalog.verify(name)})")
        except CheckpointError as error:
            if args.model:
                raise
            console.print(f"{name}: [{error.code}] {error}")
            status = error.exit_status
    return status


def pull(args: argparse.Namespace) -> int:
    """Download weights."""
    open_console().print(f"fetched: {catalog.pull(args.model)}")
    return 0
