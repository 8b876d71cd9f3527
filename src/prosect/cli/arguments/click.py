"""What can be typed of `click`."""

from __future__ import annotations

import argparse
import re

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_choice, add_device, add_engine, add_picking, add_profile, add_quiet
from prosect.cli.arguments.words import path, positive
from prosect.io.formats import WRITTEN_ENDINGS

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `click`."""
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # so that `--at -40,12,3` and `--box -40,...` are values
    parser.epilog = (
        "examples:\n"
        "  prosect click ct.nii.gz -o liver.nii.gz --structure liver --at 12.5,-40,310.2 --at 30,-52,300-\n"
        "  prosect click ct.nii.gz -o lesion.nii.gz --structure 'my lesion' --at 203,144,60 --space voxel\n"
        "  prosect click mr.nii.gz -o heart.nii.gz --structure heart --at 5,20,-80 --extent-mm 130\n"
        "  prosect click mr.nii.gz -o tumour.nii.gz --structure tumour --box 10,4,30:42,38,55\n"
        "  prosect click ct.nii.gz -o out.nii.gz --clicks F.mrk.json --structure spleen --from mask.nii.gz"
    )
    parser.add_argument("input", metavar="INPUT", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    place = f"label file ({', '.join(WRITTEN_ENDINGS)})"
    parser.add_argument("-o", dest="output", metavar="OUT", type=path, required=True, help=place)
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    picture = "a picture, OUT_preview.png: three planes through the last click, before and after"
    parser.add_argument("-p", "--preview", action="store_true", help=picture)
    table = "volumes and intensities, OUT_statistics.json and .csv"
    parser.add_argument("-s", "--statistics", action="store_true", help=table)
    add_picking(parser)
    clicks = parser.add_argument_group("clicks")
    at = "a click; + (default) or - at the end says whether the place belongs to the structure; may be given again"
    clicks.add_argument("--at", metavar="X,Y,Z[+|-]", action="append", default=[], help=at)
    box = "a box around the structure by two opposite corners; outside it nothing changes (default: no box)"
    clicks.add_argument("--box", metavar="X,Y,Z:X,Y,Z", action="append", default=[], help=box)
    space = "of --at and --box: ras or lps in mm, voxel from 0 (default: ras)"
    clicks.add_argument("--space", choices=("ras", "lps", "voxel"), default="ras", help=space)
    extent = "longest side of the structure in mm: the model looks at a scale that suits it (default: not known)"
    clicks.add_argument("--extent-mm", metavar="MM", type=positive, help=extent)
    clicks.add_argument(
        "--clicks", metavar="FILE", type=path, help="clicks in JSON, or a Slicer .mrk.json (default: none)"
    )
    own = "what the clicks are for; a name that no vocabulary has makes an object of its own (default: object)"
    clicks.add_argument("--structure", metavar="NAME", default="object", help=own)
    draft = "what to correct: auto (where the model knows the structure; default), none, or a mask"
    clicks.add_argument("--from", dest="draft", metavar="DRAFT", default="auto", help=draft)
    kept = "keep every action here; one that exists goes on (default: nothing is kept)"
    clicks.add_argument("--journal", metavar="FILE", type=path, help=kept)
    model = parser.add_argument_group("model")
    add_choice(model)
    add_profile(model)
    add_device(model)
    add_engine(model)
    add_quiet(parser)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a call without a click."""
    if not args.at and not args.box and args.clicks is None:
        parser.error("click needs at least one click: --at X,Y,Z, --box X,Y,Z:X,Y,Z or --clicks FILE")


COMMAND = Command("correct or make a structure by clicks", add, check)
