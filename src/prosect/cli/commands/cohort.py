"""`prosect cohort`: how far a folder run is, what to try again, and what its numbers show."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prosect.cli.console import open_console
from prosect.cohort.outliers import describe, find_outliers, outlier_page, previews_of
from prosect.cohort.places import place_of
from prosect.cohort.retrying import retry, sweep_cohort
from prosect.cohort.status import as_page, as_text, done_of, look
from prosect.cohort.tables import case_tables, read_rows, wide_table
from prosect.io.atomic import write_atomically
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cohort import columns
else:
    columns = lazy_module("prosect.cohort.columns")

__all__ = ["run"]

PERIOD_S = 30.0
SHOWN = 50
WIDE, PARQUET, PAGE = "statistics_wide.csv", "statistics.parquet", "outliers.html"


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
    done = done_of(place)
    rows = read_rows(case_tables(place.read, done))
    console = open_console()
    console.print(place.write(WIDE, wide_table(rows, list(done))))
    if args.parquet:
        tables = (content for _, content in case_tables(place.read, done))
        console.print(place.write(PARQUET, columns.as_parquet(tables)))
    return 0


def show_outliers(args: argparse.Namespace) -> int:
    """Print the volumes that are far from the rest."""
    place = place_of(args.output)
    done = done_of(place)
    found = find_outliers(read_rows(case_tables(place.read, done)), previews_of(done), args.threshold)
    console = open_console()
    for outlier in found[:SHOWN]:
        console.print(f"{outlier.case}: {describe(outlier)}")
    if len(found) > SHOWN:
        console.print(f"and {len(found) - SHOWN} more")
    if not found:
        console.print("no volume is far from the rest")
    if args.html:
        console.print(place.write(PAGE, outlier_page(found).encode("utf-8", "replace")))
    return 0
