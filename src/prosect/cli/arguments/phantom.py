"""What can be typed of `phantom`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import PHANTOMS, add_quiet
from prosect.cli.arguments.words import at_least_one, count, path

__all__ = ["COMMAND"]

LEAST_MM, GREATEST_MM = 0.3, 20.0


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `phantom`.

    Args:
        parser: Of the command.
        kinds: What can be scanned.
        count: Reads a whole number from 1.
        number: Reads a whole number from 0.
    """
    parser.epilog = (
        "examples:\n"
        "  prosect phantom -o people --count 20 --seed 7\n"
        "  prosect phantom -o people --count 4 --kind head-neck --spacing 2 2 2.5"
    )
    parser.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="folder of the cases")
    parser.add_argument("--count", type=at_least_one, default=1, metavar="N", help="how many (default: 1)")
    parser.add_argument("--kind", choices=PHANTOMS, default="torso", help="what is scanned (default: torso)")
    parser.add_argument("--seed", type=count, default=0, metavar="S", help="of the set (default: 0)")
    size = "voxel size in mm along R, A, S (default: drawn for every case)"
    parser.add_argument("--spacing", type=voxel_mm, nargs=3, metavar=("X", "Y", "Z"), help=size)
    chance = "probability of each of up to three lesions in a torso (default: 0.3)"
    parser.add_argument("--lesions", type=probability, default=0.3, metavar="P", help=chance)
    parser.add_argument("--overwrite", action="store_true", help="make cases again that are there")
    add_quiet(parser)


def voxel_mm(text: str) -> float:
    """Return a voxel size that a scanner makes."""
    if not LEAST_MM <= (size := float(text)) <= GREATEST_MM:
        raise argparse.ArgumentTypeError(f"{text!r} is no voxel size from {LEAST_MM} to {GREATEST_MM:g} mm")
    return size


def probability(text: str) -> float:
    """Return a number from 0 to 1."""
    if not 0 <= (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability from 0 to 1")
    return share


COMMAND = Command("make synthetic people with known labels", add)
