"""What can be typed of `pseudo-label`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import LIST, add_list, add_model, add_quiet
from prosect.cli.arguments.words import path, positive

__all__ = ["COMMAND"]

SCHEMES = ("totalsegmentator-v2", "totalsegmentator-v1")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `pseudo-label`."""
    parser.epilog = (
        "examples:\n"
        "  prosect pseudo-label list.json -o pseudo -m vista3d -w model.pt\n"
        "  prosect pseudo-label scans -o pseudo --from-totalsegmentator results"
    )
    parser.add_argument("input", metavar="LIST|DIR", type=path, help=f"{LIST}; or a folder of scans")
    parser.add_argument(
        "-o", dest="output", metavar="DIR", type=path, required=True, help="folder of the labels and list.json"
    )
    parser.add_argument("--overwrite", action="store_true", help="make labels anew that exist")
    results = "take TotalSegmentator's results: CASE.nii.gz, or a folder CASE of masks (default: the model is asked)"
    parser.add_argument("--from-totalsegmentator", metavar="DIR", type=path, help=results)
    values = "what values mean where a file does not name them (default: totalsegmentator-v2)"
    parser.add_argument("--scheme", choices=SCHEMES, default=SCHEMES[0], help=values)
    some = "only these structures (default: all that the model knows)"
    parser.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help=some)
    least = "mean Dice with manual labels of the same structures below which they are not to be used (default: 0.5)"
    parser.add_argument("--least-dice", type=positive, default=0.5, metavar="DICE", help=least)
    add_list(parser)
    add_model(parser)
    add_quiet(parser)


COMMAND = Command("label scans by another model, for training", add)
