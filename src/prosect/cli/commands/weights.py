"""`prosect weights`: which models are known, where their weights are, and whether they are whole."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from prosect.checkpoints import catalog, keeping
from prosect.checkpoints.file_metadata import read_metadata
from prosect.checkpoints.offers import offer
from prosect.cli.console import open_console, plain_table
from prosect.errors import CheckpointError

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Do one action and return its exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": show, "import": bring, "verify": verify, "pull": pull,
    }  # fmt: skip
    return actions[args.action](args)


def show(args: argparse.Namespace) -> int:
    """Print every model of the catalogue: what it is, its licence, and where its weights are."""
    table = plain_table(header=False)
    for entry in catalog.CATALOG.values():
        place = catalog.place_of(entry.name)
        table.add_row(entry.name, entry.summary)
        table.add_row("", f"weights: {place or 'not on this machine'}")
        table.add_row("", f"licence: {entry.licence}")
    open_console().print(table)
    return 0


def bring(args: argparse.Namespace) -> int:
    """Take over a weights file."""
    place, report = keeping.import_weights(args.file, args.model, args.ema)
    say(f"{args.model}: {report}", f"kept as {place}", f"licence: {catalog.entry(args.model).licence}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Check weights; without a name, all that are here, and 6 where one is not whole."""
    if args.model and (os.sep in args.model or Path(args.model).exists()):
        file = Path(args.model)
        say(f"{file.name}: whole; {keeping.verify_file(file)}", *structures_in(file))
        return 0
    if args.model:
        say(f"{args.model}: whole; {keeping.verify(args.model)}")
        return 0
    status, names = 0, catalog.installed()
    for name in names:
        try:
            say(f"{name}: whole; {keeping.verify(name)}")
        except CheckpointError as error:
            say(f"{name}: [{error.code}] {error}")
            status = error.exit_status
    if not names:
        say("No weights are on this machine; see `prosect weights list`.")
    return status


def structures_in(file: Path) -> list[str]:
    """Return a line on the structures that a weights file says it offers; none where it says nothing."""
    stated = read_metadata(file)
    if "classes" not in stated:
        return []
    named = [structure.name for structure in offer(None, file) if structure.supported]
    return [f"structures: {', '.join(named)}"] if named else ["structures: none by itself"]


def pull(args: argparse.Namespace) -> int:
    """Download weights and take them over."""
    say(f"licence: {catalog.entry(args.model).licence}")
    place, sha256, report = keeping.pull(args.model)
    say(f"{args.model}: {report}", f"sha256 of the download: {sha256}", f"kept as {place}")
    return 0


def say(*lines: str) -> None:
    """Print lines as they are."""
    console = open_console()
    for line in lines:
        console.print(line)
