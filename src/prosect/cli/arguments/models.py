"""What can be typed of `models`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `models`."""
    parser.epilog = (
        "examples:\n"
        "  prosect models                    which models there are, and what each is for\n"
        "  prosect models prosect-torso      its structures, and how well it finds each"
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="one model, with its structures (default: all, in short)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


COMMAND = Command("which models there are, what each finds and how well", add)
