"""What can be typed of the commands about data sets: `check-data`, `pseudo-label` and `evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from prosect.cli.finetune_arguments import learning_arguments, shots
from prosect.cli.typed import path

__all__ = ["check_data_arguments", "evaluate_arguments", "pseudo_label_arguments"]

PROTOCOLS = ("auto", "point", "auto+point", "clicks", "speed", "fewshot")
RULES = ("person", "paper", "challenge", "random", "ritm")
SPLITS = ("training", "validation", "testing", "all")
SCHEMES = ("totalsegmentator-v2", "totalsegmentator-v1")
LIST = "data list: the official JSON form, a .csv or .tsv with columns image and label, or a folder with images, labels"

Kind = Callable[[str], Any]


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a list is read."""
    group = parser.add_argument_group("the list")
    group.add_argument("--root", metavar="DIR", type=path, help="where its paths start (default: its own folder)")
    group.add_argument("--pseudo-root", metavar="DIR", type=path, help="the same for pseudo-labels")
    group.add_argument("--supervoxel-root", metavar="DIR", type=path, help="the same for supervoxels")
    named = "name of the data set, such as AMOS22 (default: as the list or its file is called)"
    group.add_argument("--dataset", metavar="NAME", help=named)
    pairs = "what its label values mean: 1=liver '2=left kidney' 9= (nothing we know) '3=+my lesion' (a new structure)"
    group.add_argument("--map", metavar="VALUE=NAME", nargs="+", default=[], help=pairs)
    group.add_argument("--mapping", metavar="FILE", type=path, help="the same from a .json, .tsv or .csv")
    far = "how far label voxels may lie from the scan's (default: 0.001)"
    group.add_argument("--tolerance-mm", metavar="MM", type=positive, default=None, help=far)


def model_arguments(parser: argparse.ArgumentParser, device: Kind) -> None:
    """Add the flags that choose a model."""
    model = parser.add_argument_group("model")
    model.add_argument("-m", dest="model", metavar="MODEL", help="model name (default: the one that ships)")
    model.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help="weights file of that model")
    model.add_argument("--profile", default="prosect", help="how scans are prepared and swept (default: prosect)")
    model.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help="cpu, gpu, mps or auto")


def check_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `check-data`."""
    parser.epilog = (
        "examples:\n"
        "  prosect check-data AMOS22_5_folds.json --root /data/AMOS22\n"
        "  prosect check-data mine --map 1=liver '2=left kidney' -o mine.json --split\n"
        "exit status: 0 where every scan can be used, 3 where not"
    )
    parser.add_argument("list", metavar="LIST", type=path, help=LIST)
    parser.add_argument("-o", dest="output", metavar="OUT.json", type=path, help="write the list in the official form")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.json")
    split = "split it as the paper does: 64/16/20 percent, five folds, seed 20230808"
    parser.add_argument("--split", action="store_true", help=split)
    parser.add_argument("--json", action="store_true", help="print the report of every file as JSON")
    list_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def pseudo_label_arguments(parser: argparse.ArgumentParser, device: Kind) -> None:
    """Add the flags of `pseudo-label`."""
    parser.epilog = (
        "examples:\n"
        "  prosect pseudo-label list.json -o pseudo -m vista3d -w model.pt\n"
        "  prosect pseudo-label scans -o pseudo --from-totalsegmentator results"
    )
    parser.add_argument("input", metavar="LIST|DIR", type=path, help=f"{LIST}; or a folder of scans")
    parser.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="for labels and list.json")
    parser.add_argument("--overwrite", action="store_true", help="make labels anew that exist")
    results = "take TotalSegmentator's results: CASE.nii.gz, or a folder CASE of masks"
    parser.add_argument("--from-totalsegmentator", metavar="DIR", type=path, help=results)
    values = "what values mean where a file does not name them (default: totalsegmentator-v2)"
    parser.add_argument("--scheme", choices=SCHEMES, default=SCHEMES[0], help=values)
    some = "only these structures (default: all that the model knows)"
    parser.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help=some)
    least = "mean Dice with manual labels of the same structures below which they are not to be used (default: 0.5)"
    parser.add_argument("--least-dice", type=positive, default=0.5, metavar="DICE", help=least)
    list_arguments(parser)
    model_arguments(parser, device)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def evaluate_arguments(parser: argparse.ArgumentParser, device: Kind, at_least_one: Kind) -> None:
    """Add the flags of `evaluate`."""
    parser.epilog = (
        "protocols:\n"
        "  auto        the automatic segmentation (Table 1)\n"
        "  point       one click in the middle of each structure (Table 1)\n"
        "  auto+point  the automatic segmentation and one click in its larger error (Table 1)\n"
        "  clicks      overlap by number of clicks (Fig. 5), and the CVPR 2025 challenge with --rules challenge\n"
        "  speed       seconds by size (Table 2)\n"
        "  fewshot     finetuning by number of labelled scans (Table 3)\n"
        "examples:\n"
        "  prosect evaluate auto list.json -o auto\n"
        "  prosect evaluate clicks list.tsv -o clicks --clicks 10 --zero-shot -w model.pt -m vista3d\n"
        "  prosect evaluate fewshot scans -o few --map '1=+my lesion' --shots 1,5,10 --from-scratch\n"
        "killed at any time, the same command goes on; exit status 4 where some scans could not be judged"
    )
    parser.add_argument("protocol", choices=PROTOCOLS, metavar="PROTOCOL", help=", ".join(PROTOCOLS))
    parser.add_argument("list", metavar="DATALIST", type=path, help=LIST)
    parser.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="folder of the results")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where the folder holds results")
    which = parser.add_argument_group("scans and structures")
    part = "which scans (default: testing where the list has such, else all)"
    which.add_argument("--split", choices=SPLITS, help=part)
    which.add_argument("--fold", type=int, metavar="N", help="the fold that is for validation")
    which.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N scans")
    which.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help="only these structures")
    how = parser.add_argument_group("how it is judged")
    flattery = "as the paper counts: best trial chosen by the truth, clicks in every window, absent structures left out"
    how.add_argument("--as-published", action="store_true", help=flattery)
    how.add_argument("--overlap", action="store_true", help="judge one layer per structure, not the flat map")
    how.add_argument("--clicks", type=at_least_one, metavar="N", default=5, help="clicks per structure (default: 5)")
    rules = "where is clicked: person (default), paper (Fig. 5), challenge (CVPR 2025), random or ritm (SAM-Med3D)"
    how.add_argument("--rules", choices=RULES, default=RULES[0], help=rules)
    how.add_argument("--zero-shot", action="store_true", help="click as if no structure had a name")
    how.add_argument("--nsd-mm", type=positive, default=2.0, metavar="MM", help="tolerance of NSD (default: 2)")
    how.add_argument("--repeats", type=at_least_one, default=1, metavar="N", help="of speed; the fastest counts")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of clicks and intervals (default: 0)")
    few = parser.add_argument_group("fewshot: --limit counts test scans")
    numbers = "labelled scans to learn from, the first of the list (default: 1,5,10,20,40)"
    few.add_argument("--shots", type=shots, default=(1, 5, 10, 20, 40), metavar="N,N", help=numbers)
    few.add_argument("--from-scratch", action="store_true", help="also train from random weights, to compare with")
    few.add_argument("--minutes", type=not_negative, metavar="M", help="stop after this time; the same command goes on")
    learning_arguments(few, at_least_one)
    list_arguments(parser)
    model_arguments(parser, device)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def not_negative(text: str) -> float:
    """Return a number from 0."""
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number
