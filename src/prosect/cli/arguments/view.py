"""What can be typed of `view`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_choice, add_device, add_engine, add_picking, add_quiet
from prosect.cli.arguments.words import path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `view`."""
    parser.epilog = "examples:\n  prosect view ct.nii.gz organs.nii.gz\n  prosect view ct.nii.gz --edit"
    parser.add_argument("input", metavar="SCAN", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    parser.add_argument(
        "labels", metavar="LABELS", type=path, nargs="?", help="a label file to show on it (default: none)"
    )
    parser.add_argument("--edit", action="store_true", help="allow changes (default: only look)")
    add_picking(parser)
    add_choice(parser)
    add_device(parser)
    add_engine(parser)
    parser.add_argument("--port", type=int, default=0, help="TCP port (default: any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    add_quiet(parser)


COMMAND = Command("look at a scan and its labels in the browser", add)
