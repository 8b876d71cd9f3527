"""What can be typed of `verify`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.words import device, path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `verify`."""
    parser.add_argument(
        "out", metavar="OUT", type=path, help="a report, a folder of results, or a result beside its report"
    )
    parser.add_argument("--hashes-only", action="store_true", help="compare hashes only; do not segment again")
    where = "where the scan is (default: its recorded name beside the report)"
    parser.add_argument("-i", "--input", metavar="PATH", type=path, help=where)
    parser.add_argument("--outputs", metavar="DIR", type=path, help="where the results are (default: with the report)")
    parser.add_argument(
        "-w",
        dest="weights",
        metavar="WEIGHTS",
        type=path,
        help="the weights file that was used (default: the installed ones)",
    )
    machine = "make it again on another device (default: the recorded one)"
    parser.add_argument("-d", "--device", type=device, metavar="DEVICE", help=machine)
    parser.add_argument("-q", "--quiet", action="store_true", help="print the verdict only")


COMMAND = Command("check a result against its report, and make it again", add)
