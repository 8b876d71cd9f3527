"""What can be typed of `cohort`."""

from __future__ import annotations

import argparse
from typing import Any

from prosect.cli.arguments.command import Command, Help
from prosect.cli.arguments.groups import add_debug
from prosect.cli.arguments.words import path, positive

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `cohort`."""
    debug = argparse.ArgumentParser(add_help=False)
    add_debug(debug)
    shared: dict[str, Any] = {"parents": [debug], "formatter_class": Help}
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="how far a folder run is, on whatever machines", **shared)
    add_folder(status)
    status.add_argument("--watch", action="store_true", help="say it again every 30 seconds, until all is done")
    status.add_argument("--html", metavar="FILE", type=path, help="write a page that shows the same (default: none)")
    again = actions.add_parser("retry", help="let workers try refused scans again", **shared)
    add_folder(again)
    again.add_argument("--case", nargs="+", default=[], metavar="NAME", help="only these (default: all refused)")
    codes = "only those refused with these codes (default: any)"
    again.add_argument("--code", nargs="+", default=[], metavar="CODE", help=codes)
    sweep = actions.add_parser("sweep", help="remove what dead workers left", **shared)
    add_folder(sweep)
    tables = actions.add_parser("tables", help="one table of all scans: long as Parquet, wide as CSV", **shared)
    add_folder(tables)
    tables.add_argument("--parquet", action="store_true", help="statistics.parquet, too (needs the extra `cohort`)")
    unlike = actions.add_parser("outliers", help="volumes far from those of the other scans", **shared)
    add_folder(unlike)
    far = "least distance from the median, in standard deviations of a normal distribution (default: 3.5)"
    unlike.add_argument("--threshold", type=positive, default=3.5, metavar="X", help=far)
    unlike.add_argument("--html", action="store_true", help="write outliers.html with their previews into OUT")
    unlike.add_argument(
        "--open", action="store_true", help="list them in the browser, each with its labels, to look and correct"
    )
    unlike.add_argument("--scans", metavar="DIR", type=path, help="where the scans lie now (default: where they lay)")
    unlike.add_argument("--port", type=int, default=0, help="TCP port of --open (default: any that is free)")
    unlike.add_argument("--no-browser", action="store_true", help="with --open: only print the address")
    # What the page may be asked for beside looking is that of `view`.
    unlike.set_defaults(model=None, weights=None, device="auto", engine="auto", precision="auto")


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add what every action needs."""
    parser.add_argument(
        "output", metavar="OUT", type=path, help="what stands behind -o of `prosect segment`: a folder or s3://"
    )
    lease = "seconds after which a silent worker counts as dead (default: 300)"
    parser.add_argument("--lease", type=positive, default=300.0, metavar="S", help=lease)


COMMAND = Command("look after a folder run: status, retry, sweep, tables, outliers", add, has_actions=True)
