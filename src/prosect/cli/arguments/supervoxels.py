"""What can be typed of `supervoxels`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_device, add_picking, add_quiet
from prosect.cli.arguments.words import at_least_one, path
from prosect.io.formats import WRITTEN_ENDINGS

__all__ = ["COMMAND"]

ENCODERS = ("sam-vit-h", "sam-vit-l", "sam-vit-b", "mobile-sam", "features", "intensity")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `supervoxels`."""
    parser.epilog = (
        "examples:\n"
        "  prosect supervoxels ct.nii.gz -o supervoxels.nii.gz -p\n"
        "  prosect supervoxels ct.nii.gz -o supervoxels.nii.gz --encoder sam-vit-h -w sam_vit_h_4b8939.pth\n"
        "  prosect supervoxels ct.nii.gz --encoder sam-vit-h --dry-run"
    )
    parser.add_argument("input", metavar="SCAN", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    place = f"label file ({', '.join(WRITTEN_ENDINGS)}); no default, and not needed with --dry-run"
    parser.add_argument("-o", dest="output", metavar="OUT", type=path, help=place)
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    add_picking(parser)
    source = "what the cut follows: an image encoder, the features of a model, or intensity (default: features)"
    parser.add_argument("--encoder", choices=ENCODERS, default="features", help=source)
    parser.add_argument(
        "-w", "--weights", metavar="FILE", type=path, help="weights file of that encoder (default: the installed ones)"
    )
    about = "about how many supervoxels (default: 100)"
    parser.add_argument("--segments", type=at_least_one, default=100, metavar="N", help=about)
    parser.add_argument("-p", "--preview", action="store_true", help="a picture beside the output")
    add_device(parser)
    told = "refuse what the run would refuse, print the working grid and the memory plan, and stop"
    parser.add_argument("--dry-run", action="store_true", help=told)
    add_quiet(parser)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a call without an output."""
    if args.output is None and not args.dry_run:
        parser.error("supervoxels needs an output: -o supervoxels.nii.gz")


COMMAND = Command("cut a scan into supervoxels, for training", add, check)
