"""What can be typed of `info`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_picking
from prosect.cli.arguments.words import path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `info`."""
    parser.add_argument("input", metavar="FILE", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    add_picking(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


COMMAND = Command("what a scan file holds, without patient data", add)
