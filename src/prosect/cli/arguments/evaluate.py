"""What can be typed of `evaluate`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import LIST, add_learning, add_list, add_model, add_quiet
from prosect.cli.arguments.words import at_least_one, count, not_negative, path, positive

__all__ = ["COMMAND"]

PROTOCOLS = ("auto", "point", "auto+point", "clicks", "speed", "fewshot", "masks", "compare")
RULES = ("person", "paper", "challenge", "random", "ritm")
BASELINES = ("ball", "region-growing")
SPLITS = ("training", "validation", "testing", "all")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    parser.epilog = (
        "protocols:\n"
        "  auto        the automatic segmentation (Table 1)\n"
        "  point       one click in the middle of each structure (Table 1)\n"
        "  auto+point  the automatic segmentation and one click in its larger error (Table 1)\n"
        "  clicks      overlap by number of clicks (Fig. 5), and the CVPR 2025 challenge with --rules challenge\n"
        "  speed       seconds by size (Table 2)\n"
        "  fewshot     finetuning by number of labelled scans (Table 3)\n"
        "  masks       label files that exist, by others: prosect evaluate masks TRUTHS RESULTS -o DIR\n"
        "  compare     models side by side, from results of clicks: prosect evaluate compare DIR DIR ... -o DIR\n"
        "examples:\n"
        "  prosect evaluate auto list.json -o auto\n"
        "  prosect evaluate clicks list.tsv -o clicks --clicks 10 --zero-shot -w model.pt -m vista3d\n"
        "  prosect evaluate fewshot scans -o few --map '1=+my lesion' --shots 1,5,10 --from-scratch\n"
        "killed at any time, the same command goes on; exit status 4 where some scans could not be judged"
    )
    parser.add_argument("protocol", choices=PROTOCOLS, metavar="PROTOCOL", help=", ".join(PROTOCOLS))
    parser.add_argument("list", metavar="DATALIST", type=path, help=LIST)
    judged = (
        "of masks: the label files that are judged by those at DATALIST, a file or folder each; "
        "of compare: the folders of the other models"
    )
    parser.add_argument("results", metavar="RESULTS", type=path, nargs="*", help=judged)
    parser.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="folder of the results")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where the folder holds results")
    add_scans(parser)
    add_judging(parser)
    add_few_shots(parser)
    add_list(parser)
    add_model(parser)
    add_quiet(parser)


def add_scans(parser: argparse.ArgumentParser) -> None:
    """Add which scans and structures are judged."""
    which = parser.add_argument_group("scans and structures")
    part = "which scans (default: testing where the list has such, else all)"
    which.add_argument("--split", choices=SPLITS, help=part)
    which.add_argument(
        "--fold", type=count, metavar="N", help="the fold that is for validation (default: as the list says)"
    )
    which.add_argument("--limit", type=at_least_one, metavar="N", help="only the first N scans (default: all)")
    which.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help="only these structures (default: all)")


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add how they are judged."""
    how = parser.add_argument_group("how it is judged")
    flattery = "as the paper counts: best trial chosen by the truth, clicks in every window, absent structures left out"
    how.add_argument("--as-published", action="store_true", help=flattery)
    how.add_argument("--overlap", action="store_true", help="judge one layer per structure, not the flat map")
    how.add_argument("--clicks", type=at_least_one, metavar="N", default=5, help="clicks per structure (default: 5)")
    rules = "where is clicked: person (default), paper (Fig. 5), challenge (CVPR 2025), random or ritm (SAM-Med3D)"
    how.add_argument("--rules", choices=RULES, default=RULES[0], help=rules)
    how.add_argument("--zero-shot", action="store_true", help="click as if no structure had a name")
    box = "begin each structure with a box around it, which counts as two clicks"
    how.add_argument("--box", action="store_true", help=box)
    without = "of clicks: judge a ball of 17 mL or region growing in place of a model (default: neither)"
    how.add_argument("--baseline", choices=BASELINES, help=without)
    how.add_argument(
        "--nsd-mm",
        type=positive,
        default=2.0,
        metavar="MM",
        help="tolerance of the surface Dice (NSD), in mm (default: 2)",
    )
    how.add_argument(
        "--repeats",
        type=at_least_one,
        default=1,
        metavar="N",
        help="of speed: times each scan is run, the fastest counts (default: 1)",
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of clicks and intervals (default: 0)")


def add_few_shots(parser: argparse.ArgumentParser) -> None:
    """Add what only learning from few scans asks for."""
    few = parser.add_argument_group("fewshot: --limit counts test scans")
    numbers = "labelled scans to learn from, the first of the list (default: 1,5,10,20,40)"
    few.add_argument("--shots", type=shots, default=(1, 5, 10, 20, 40), metavar="N,N", help=numbers)
    few.add_argument("--from-scratch", action="store_true", help="also train from random weights, to compare with")
    again = "train each so often, with seeds that follow --seed, and tell how far chance moves it (default: 1)"
    few.add_argument("--seeds", type=at_least_one, default=1, metavar="K", help=again)
    stop = "stop after this time; the same command goes on (default: no limit)"
    few.add_argument("--minutes", type=not_negative, metavar="M", help=stop)
    add_learning(few)


def shots(text: str) -> tuple[int, ...]:
    """Return ascending numbers of cases: `1,5,10`."""
    try:
        numbers = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of cases, such as 1,5,10")
    return numbers


COMMAND = Command("judge a model on labelled scans", add)
