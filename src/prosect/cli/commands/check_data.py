"""`prosect check-data`: every file of a data list, looked at before anything is trained on it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from prosect.cli.choices import list_of
from prosect.cli.console import open_console, plain_table
from prosect.data.check import EntryReport, check_datalist
from prosect.data.datalist import DataList, split_as_published, write_datalist
from prosect.errors import FormatError
from prosect.io.atomic import probe

__all__ = ["run"]

UNFIT = 3
SHOWN = 40


def run(args: argparse.Namespace) -> int:
    """Check a list; return 0 where every scan can be used, else 3."""
    given = list_of(args, args.list)
    datalist = given.read()
    if args.split:
        datalist = split_as_published(datalist)
    if args.output is not None:
        refuse_output(args)
    console = open_console()
    quiet = args.quiet or args.json
    reports = check_datalist(datalist, given.tolerance_mm, None if quiet else lambda report: tell(console, report))
    unfit = [report for report in reports if not report.fit]
    if args.json:
        console.print(json.dumps({"notes": list(datalist.notes), "entries": [r.to_json() for r in reports]}, indent=1))
    elif not args.quiet:
        summarise(console, datalist, reports)
    if args.output is not None and not unfit:
        write_datalist(datalist, args.output)
        if not quiet:
            console.print(str(args.output))
    if unfit:
        return UNFIT
    return 0


def refuse_output(args: argparse.Namespace) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Raises:
        FormatError: It exists (`OUTPUT_EXISTS`), is no `.json` (`OUTPUT_FORMAT_UNKNOWN`), or cannot be written.
    """
    if args.output.suffix.lower() != ".json":
        raise FormatError(f"{args.output}: a list is written as .json.", code="OUTPUT_FORMAT_UNKNOWN")
    if args.output.exists() and not args.overwrite:
        raise FormatError(f"{args.output} exists; give --overwrite to replace it.", code="OUTPUT_EXISTS")
    probe(args.output, 0)


def tell(console: Console, report: EntryReport) -> None:
    """Print what is wrong with one entry, if anything is."""
    for problem in report.problems:
        kind = "note: "
        if problem.fatal:
            kind = ""
        console.print(f"{report.name} {problem.file}: {kind}[{problem.code}] {problem.message}")


def summarise(console: Console, datalist: DataList, reports: Sequence[EntryReport]) -> None:
    """Print how many scans there are, what is labelled in how many, and how many cannot be used."""
    for note in datalist.notes:
        console.print(f"note: {note}")
    counts = Counter(name for report in reports for name in report.present)
    table = plain_table()
    table.add_column("structure")
    table.add_column("scans", justify="right")
    for name, count in counts.most_common(SHOWN):
        table.add_row(name, str(count))
    if counts:
        console.print(table)
    if len(counts) > SHOWN:
        console.print(f"and {len(counts) - SHOWN} more structures (--json tells all)")
    splits = Counter(report.split for report in reports)
    unfit = sum(not report.fit for report in reports)
    parts = ", ".join(f"{count} {split}" for split, count in splits.items())
    console.print(f"{len(reports)} scans ({parts}), {unfit} of them cannot be used")
