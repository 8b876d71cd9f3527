"""`prosect cohort`: how far a folder run is, what to try again, and what its numbers show."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prosect.cli.console import open_console
from prosect.cohort.joined import joined_tables
from prosect.cohort.opening import CaseFiles, command_of, files_of_cases, folder_of_scans, require_scan
from prosect.cohort.outliers import Outlier, by_case, describe, find_outliers, outlier_page, previews_of
from prosect.cohort.places import place_of, require_ledgers
from prosect.cohort.retrying import retry, sweep_cohort
from prosect.cohort.status import as_page, as_text, done_of, look
from prosect.cohort.tables import case_tables, read_rows
from prosect.errors import UsageError
from prosect.io.atomic import write_atomically
from prosect.jobs.cohort import is_address
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cli.commands import cohort_open
else:
    cohort_open = lazy_module("prosect.cli.commands.cohort_open")

__all__ = ["run"]

PERIOD_S = 30.0
SHOWN = 50
PAGE = "outliers.html"


def run(args: argparse.Namespace) -> int:
    """Do one action and return its exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "status": show, "retry": try_again, "sweep": clear, "tables": write_tables, "outliers": show_outliers,
    }  # fmt: skip
    return actions[args.action](args)


def show(args: argparse.Namespace) -> int:
    """Print the status, or keep printing it until every scan has an outcome."""
    place = place_of(args.output)
    while True:
        status = look(place)
        open_console().print(as_text(status))
        if args.html is not None:
            write_atomically(args.html, [as_page(status).encode("utf-8", "replace")])
        if not args.watch or status.left == 0 or status.stopped is not None:
            return 0
        time.sleep(PERIOD_S)


def try_again(args: argparse.Namespace) -> int:
    """Pardon refused scans."""
    chosen = retry(place_of(args.output), args.case, args.code)
    open_console().print(f"{len(chosen)} scans will be tried again by the workers that run, or by the next that starts")
    return 0


def clear(args: argparse.Namespace) -> int:
    """Remove what dead workers left."""
    folders, claims = sweep_cohort(place_of(args.output), args.lease)
    open_console().print(f"{folders} folders and {claims} claims of dead workers removed")
    return 0


def write_tables(args: argparse.Namespace) -> int:
    """Write the tables of all scans."""
    place = place_of(args.output)
    kinds = ["wide"]
    if args.parquet:
        kinds.append("parquet")
    for name, content in joined_tables(kinds, place.read, done_of(place)).items():
        open_console().print(place.write(name, content))
    return 0


def show_outliers(args: argparse.Namespace) -> int:
    """Print the volumes that are far from the rest, and show them on a page or in the browser where asked."""
    place = place_of(args.output)
    ledgers = require_ledgers(place)
    done = done_of(place)
    found = find_outliers(read_rows(case_tables(place.read, done)), previews_of(done), args.threshold)
    console = open_console()
    for outlier in found[:SHOWN]:
        console.print(f"{outlier.case}: {describe(outlier)}")
    if len(found) > SHOWN:
        console.print(f"and {len(found) - SHOWN} more")
    if not found:
        console.print("no volume is far from the rest")
    files: Mapping[str, CaseFiles] = {}
    if not is_address(args.output):
        files = files_of_cases(args.output, args.scans or folder_of_scans(ledgers.values()), done)
    if args.html:
        commands = {case: command_of(each) for case, each in files.items()}
        console.print(place.write(PAGE, outlier_page(found, commands).encode("utf-8", "replace")))
    if args.open and found:
        return cohort_open.open_cases(args, cases_to_open(found, files, args.output))
    return 0


def cases_to_open(found: Iterable[Outlier], files: Mapping[str, CaseFiles], out: Path) -> dict[str, CaseFiles]:
    """Return the files of the cases with outliers, the farthest first, by what the list of the page calls them.

    Raises:
        UsageError: It is not known where the scans are (`USAGE`).
        FormatError: A scan is not where it was (`INPUT_NOT_FOUND`).
    """
    chosen: dict[str, CaseFiles] = {}
    for case, outliers in list(by_case(found).items())[:SHOWN]:
        if case not in files:
            raise UsageError(
                f"{out}: the ledgers do not say where the scan of {case} lies on this machine. Give its folder with "
                "--scans FOLDER; results in an object store are copied to this machine first."
            )
        more = ""
        if len(outliers) > 1:
            more = f" (and {len(outliers) - 1} more)"
        chosen[f"{len(chosen) + 1}. {case}: {describe(outliers[0])}{more}"] = require_scan(files[case])
    return chosen
