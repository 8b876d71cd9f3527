"""`prosect phantom`: a folder of synthetic people and their labels, with a data list."""

from __future__ import annotations

import argparse
import time

from prosect.cli.console import open_console
from prosect.jobs.phantom import PhantomJob
from prosect.phantom.dataset import WrittenCase

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Write the cases and return 0."""
    console = open_console()
    started = time.perf_counter()

    def say_case(case: WrittenCase) -> None:
        """Print one line for a case."""
        seconds = time.perf_counter() - started
        console.print(f"{case.name}  {'kept' if case.kept else 'made'}  {seconds:.0f} s")

    place = job_of(args).run(on_case=None if args.quiet else say_case)
    if not args.quiet:
        console.print(f"{place}")
    return 0


def job_of(args: argparse.Namespace) -> PhantomJob:
    """Return what the flags ask for."""
    return PhantomJob(
        output=args.output,
        count=args.count,
        person=args.kind,
        seed=args.seed,
        spacing_mm=None if args.spacing is None else tuple(args.spacing),
        lesions=args.lesions,
        overwrite=args.overwrite,
    )
