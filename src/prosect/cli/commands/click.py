"""`prosect click`: a scan and clicks in, the corrected structures out."""

from __future__ import annotations

import argparse

from prosect.cli.choices import model_of, scan_of
from prosect.cli.console import open_console
from prosect.display import millilitres
from prosect.jobs import ClickJob, Edited, PlacedClick, Resumed
from prosect.places import parse_box
from prosect.prompts import parse_at

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Answer the clicks in order, write the labels, and return 0; what can be refused is refused first."""
    job = job_of(args)
    if args.quiet:
        job.run()
        return 0
    done = job.run(tell=say)
    console = open_console()
    for m in done.found:
        console.print(f"{m.name}: {millilitres(m.volume_ml)}")
    for path in done.files:
        console.print(str(path))
    return 0


def job_of(args: argparse.Namespace) -> ClickJob:
    """Return what the flags ask for.

    Raises:
        PromptError: A word is no click.
    """
    return ClickJob(
        input=scan_of(args),
        output=args.output,
        clicks=tuple(PlacedClick(*parse_at(text)) for text in args.at),
        space=args.space,
        clicks_file=args.clicks,
        structure=args.structure,
        draft=args.draft,
        journal=args.journal,
        model=model_of(args),
        overwrite=args.overwrite,
        boxes=tuple(parse_box(text) for text in args.box),
        extent_mm=args.extent_mm,
        preview=args.preview,
        statistics=args.statistics,
    )


def say(event: Resumed | Edited) -> None:
    """Print what has happened."""
    console = open_console()
    if isinstance(event, Resumed):
        structures = ", ".join(event.structures) or "no structure yet"
        console.print(f"going on with {event.journal}: {structures}")
        return
    change = event.change
    added, removed = change.added * event.voxel_ml, change.removed * event.voxel_ml
    amounts = f"{millilitres(added)} added, {millilitres(removed)} removed"
    console.print(f"{change.structure} {event.by}: {amounts}, {change.seconds:.1f} s")
    for note in change.notes if event.by != "drafted" else ():
        console.print(f"  note: {note}")
