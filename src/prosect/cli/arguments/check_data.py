"""What can be typed of `check-data`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import LIST, add_list, add_quiet
from prosect.cli.arguments.words import path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `check-data`."""
    parser.epilog = (
        "examples:\n"
        "  prosect check-data AMOS22_5_folds.json --root /data/AMOS22\n"
        "  prosect check-data mine --map 1=liver '2=left kidney' -o mine.json --split\n"
        "exit status: 0 where every scan can be used, 3 where not"
    )
    parser.add_argument("list", metavar="LIST", type=path, help=LIST)
    form = "write the list in the official form (default: nothing is written)"
    parser.add_argument("-o", dest="output", metavar="OUT.json", type=path, help=form)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.json")
    split = "split it as the paper does: 64/16/20 percent, five folds, seed 20230808"
    parser.add_argument("--split", action="store_true", help=split)
    parser.add_argument("--json", action="store_true", help="print the report of every file as JSON")
    add_list(parser)
    add_quiet(parser)


COMMAND = Command("look at every file of a data list before training", add)
