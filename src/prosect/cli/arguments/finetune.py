"""What can be typed of `finetune`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_device, add_learning, add_quiet
from prosect.cli.arguments.words import at_least_one, count, not_negative, path, positive

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `finetune`."""
    parser.epilog = (
        "examples:\n"
        "  prosect finetune --images scans --labels masks --classes '1=left hippocampus head' -o my.safetensors\n"
        "  prosect finetune --images scans --labels masks --classes 1=lesion 2= --from lesion=liver -o my.safetensors\n"
        "  prosect segment new.nii.gz -w my.safetensors -o labels.nii.gz\n"
        "killed at any time, the same command goes on; after --minutes it does with --continue"
    )
    add_scans(parser.add_argument_group("scans and structures"))
    add_output(parser.add_argument_group("output"))
    add_start(parser.add_argument_group("model"))
    add_training(parser.add_argument_group("training"))
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be trained, and stop")
    add_quiet(parser)


def add_scans(group: argparse._ArgumentGroup) -> None:
    """Add what is learnt from."""
    group.add_argument("--images", metavar="DIR", type=path, required=True, help="folder of scans")
    group.add_argument("--labels", metavar="DIR", type=path, required=True, help="label maps of the same file names")
    meaning = "what label values mean: '1=left hippocampus head'; an unknown name is new; 2= is nothing we want"
    rest = "'*=' says so of all values that are not listed"
    said = f"{meaning}, and {rest}"
    group.add_argument("--classes", metavar="VALUE=NAME", nargs="+", required=True, help=said)
    far = "how far label voxels may lie from the scan's, in mm (default: 0.01)"
    group.add_argument("--tolerance-mm", metavar="MM", type=positive, default=None, help=far)


def add_output(group: argparse._ArgumentGroup) -> None:
    """Add where the weights go, and what lies there on the way."""
    group.add_argument("-o", dest="output", metavar="FILE", type=path, required=True, help="weights, .safetensors")
    group.add_argument("--overwrite", action="store_true", help="replace weights that exist")
    group.add_argument("--name", metavar="NAME", help="name of the model (default: that of the file)")
    stopped = "go on with a training that was stopped, and replace the weights that it has written"
    group.add_argument("--continue", dest="resume", action="store_true", help=stopped)
    kept = "folder of prepared scans and states, to go on from (default: OUT.work, which goes when all is done)"
    group.add_argument("--work", metavar="DIR", type=path, help=kept)
    longer = "keep OUT.work when all is done, to train for longer with more --steps"
    group.add_argument("--keep-work", action="store_true", help=longer)


def add_start(group: argparse._ArgumentGroup) -> None:
    """Add the model that learns, and what stays of it."""
    group.add_argument("-m", dest="model", metavar="MODEL", help="start from this model (default: prosect-small)")
    group.add_argument(
        "-w",
        dest="weights",
        metavar="WEIGHTS",
        type=path,
        help="start from this weights file (default: the installed ones)",
    )
    add_device(group)
    known = "start a new structure as a known one (default: the most similar is looked for)"
    group.add_argument("--from", dest="sources", metavar="NEW=KNOWN", action="append", default=[], help=known)
    group.add_argument("--keep-classes", action="store_true", help="keep the classes that the model knows, too")
    both = "teach clicks the new structures, too; twice the work"
    group.add_argument("--clicks", action="store_true", help=both)
    frozen = "leave everything as it is that answers to clicks depend on"
    group.add_argument("--freeze-encoder", action="store_true", help=frozen)


def add_training(group: argparse._ArgumentGroup) -> None:
    """Add how long and how is learnt, and by what it is judged."""
    add_learning(group)
    stop = "stop after this time; --continue goes on (default: no limit)"
    group.add_argument("--minutes", metavar="M", type=not_negative, help=stop)
    share = "share of the scans held out to stop early by (default: 0.2; of fewer than 5 scans none)"
    group.add_argument("--validation", metavar="SHARE", type=float, default=0.2, help=share)
    every = "steps between validations (default: 50)"
    group.add_argument("--validate-every", metavar="N", type=at_least_one, default=50, help=every)
    gain = "validations without a gain that end the run; 0 for never (default: 4)"
    group.add_argument("--patience", metavar="N", type=count, default=4, help=gain)


COMMAND = Command("teach a model new structures from a few labelled scans", add)
