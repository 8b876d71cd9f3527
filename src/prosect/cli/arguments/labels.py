"""What can be typed of `labels`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.words import path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `labels`."""
    model = "model or vocabulary (default: all models that ship)"
    parser.add_argument("model", metavar="MODEL", nargs="?", help=model)
    of_weights = "those that a weights file names, such as one of `prosect finetune` (default: those of MODEL)"
    parser.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help=of_weights)
    parser.add_argument("--all", action="store_true", help="also those that cannot be segmented")
    parser.add_argument("--json", action="store_true", help="print JSON")


COMMAND = Command("the structures of a model", add)
