"""`prosect phantom`: a folder of synthetic people and their labels, with a data list."""

from __future__ import annotations

import argparse
import time

from prosect.cli.console import open_console
from prosect.phantom.dataset import Made, write_dataset

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Write the cases and return 0."""
    console = open_console()
    started = time.perf_counter()

    def say(made: Made) -> None:
        """Print one line for a case."""
        if not args.quiet:
            seconds = time.perf_counter() - started
            console.print(f"{made.name}  {'kept' if made.kept else 'made'}  {seconds:.0f} s")

    spacing = None if args.spacing is None else tuple(args.spacing)
    place = write_dataset(
        args.output,
        args.count,
        kind=args.kind,
        seed=args.seed,
        spacing_mm=spacing,
        lesions=args.lesions,
        overwrite=args.overwrite,
        on_case=say,
    )
    if not args.quiet:
        console.print(f"{place}")
    return 0
