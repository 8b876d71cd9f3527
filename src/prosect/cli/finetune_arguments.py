"""What can be typed of `finetune`, and of the few-shot protocol of `evaluate` that is made of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from prosect.cli.typed import path

__all__ = ["finetune_arguments", "learning_arguments", "shots"]

INTENSITIES = ("auto", "model", "percentile")
STEPS = 400

Kind = Callable[[str], Any]


def finetune_arguments(parser: argparse.ArgumentParser, device: Kind, at_least_one: Kind) -> None:
    """Add the flags of `finetune`."""
    parser.epilog = (
        "examples:\n"
        "  prosect finetune --images scans --labels masks --classes '1=left hippocampus head' -o my.safetensors\n"
        "  prosect finetune --images scans --labels masks --classes 1=lesion 2= --from lesion=liver -o my.safetensors\n"
        "  prosect segment new.nii.gz -w my.safetensors -o labels.nii.gz\n"
        "killed at any time, the same command goes on"
    )
    data = parser.add_argument_group("scans and structures")
    data.add_argument("--images", metavar="DIR", type=path, required=True, help="folder of scans")
    data.add_argument("--labels", metavar="DIR", type=path, required=True, help="label maps of the same file names")
    meaning = "what label values mean: '1=left hippocampus head'; an unknown name is new; 2= is nothing we want"
    data.add_argument("--classes", metavar="VALUE=NAME", nargs="+", required=True, help=meaning)
    far = "how far label voxels may lie from the scan's (default: 0.001)"
    data.add_argument("--tolerance-mm", metavar="MM", type=float, default=None, help=far)
    out = parser.add_argument_group("output")
    out.add_argument("-o", dest="output", metavar="FILE", type=path, required=True, help="weights, .safetensors")
    out.add_argument("--overwrite", action="store_true", help="replace weights that exist")
    out.add_argument("--name", metavar="NAME", help="name of the model (default: that of the file)")
    kept = "folder of prepared scans and states, to go on from (default: OUT.work)"
    out.add_argument("--work", metavar="DIR", type=path, help=kept)
    model = parser.add_argument_group("model")
    model.add_argument("-m", dest="model", metavar="MODEL", help="start from this model (default: the one that ships)")
    model.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help="start from this weights file")
    model.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help="cpu, gpu, mps or auto")
    known = "start a new structure as a known one (default: the most similar is looked for)"
    model.add_argument("--from", dest="sources", metavar="NEW=KNOWN", action="append", default=[], help=known)
    model.add_argument("--keep-classes", action="store_true", help="keep the classes that the model knows, too")
    both = "teach clicks the new structures, too; twice the work"
    model.add_argument("--clicks", action="store_true", help=both)
    frozen = "leave everything as it is that answers to clicks depend on"
    model.add_argument("--freeze-encoder", action="store_true", help=frozen)
    learning = parser.add_argument_group("training")
    learning_arguments(learning, at_least_one)
    learning.add_argument("--minutes", metavar="M", type=float, help="stop after this time; the same command goes on")
    share = "share of the scans held out to stop early by (default: 0.2; of fewer than 5 scans none)"
    learning.add_argument("--validation", metavar="SHARE", type=float, default=0.2, help=share)
    every = "steps between validations (default: 50)"
    learning.add_argument("--validate-every", metavar="N", type=at_least_one, default=50, help=every)
    gain = "validations without a gain that end the run; 0 for never (default: 4)"
    learning.add_argument("--patience", metavar="N", type=int, default=4, help=gain)
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be trained, and stop")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def learning_arguments(group: argparse._ActionsContainer, at_least_one: Kind) -> None:
    """Add the flags that say how is learnt."""
    group.add_argument("--steps", metavar="N", type=at_least_one, default=STEPS, help=f"at most (default: {STEPS})")
    group.add_argument("--rate", metavar="R", type=float, default=2e-3, help="peak learning rate (default: 0.002)")
    group.add_argument("--spacing", metavar="MM", type=float, help="working spacing (default: the model's)")
    voxels = "voxels of a patch and window (default: the model's, shrunk to the scans)"
    group.add_argument("--patch", metavar="N", type=at_least_one, nargs=3, help=voxels)
    scale = "scale intensities as the model, between percentiles, or as most scans ask for (default: auto)"
    group.add_argument("--intensity", choices=INTENSITIES, default=INTENSITIES[0], help=scale)


def shots(text: str) -> tuple[int, ...]:
    """Return ascending numbers of cases: `1,5,10`."""
    try:
        numbers = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of cases, such as 1,5,10")
    return numbers
