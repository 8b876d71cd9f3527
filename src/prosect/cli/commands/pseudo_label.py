"""`prosect pseudo-label`: labels from another model for the scans of a list, and a list that names them."""

from __future__ import annotations

import argparse

from prosect.cli.choices import classes_of, list_of, model_of
from prosect.cli.console import open_console
from prosect.cohort.inputs import list_of_folder
from prosect.data.list_files import is_laid_out
from prosect.errors import ProsectError
from prosect.jobs.pseudo_label import PseudoLabelJob
from prosect.training.pseudo import PseudoLabels

__all__ = ["run"]

PARTLY = 4


def run(args: argparse.Namespace) -> int:
    """Label every scan that is not labelled yet, and write the list; return 0, or 4 where some scans were refused."""
    job = job_of(args)
    # A folder that is no data set may hold scans in any way: finding them is the cohort's work.
    is_bare = args.input.is_dir() and not is_laid_out(args.input)
    scans = None
    if is_bare:
        scans = list_of_folder(args.input, skip=[args.output], dataset=args.dataset)
    if args.quiet:
        done = job.run(datalist=scans)
    else:
        done = job.run(datalist=scans, on_scan=say_scan)
        open_console().print(str(done.list_file))
    if done.refused:
        return PARTLY
    return 0


def job_of(args: argparse.Namespace) -> PseudoLabelJob:
    """Return what the flags ask for."""
    return PseudoLabelJob(
        scans=list_of(args, args.input),
        output=args.output,
        model=model_of(args),
        classes=classes_of(args),
        totalsegmentator=args.from_totalsegmentator,
        scheme=args.scheme,
        least_dice=args.least_dice,
        overwrite=args.overwrite,
    )


def say_scan(name: str, found: PseudoLabels | ProsectError) -> None:
    """Print what became of a scan."""
    console = open_console()
    if isinstance(found, ProsectError):
        console.print(f"{name}: refused [{found.code}] {found}")
        return
    doubt = "; not to be used"
    if found.reliability:
        doubt = ""
    console.print(f"{name}: {len(found.labels.present)} structures{doubt}")
    for note in found.notes:
        console.print(f"  note: {note}")
