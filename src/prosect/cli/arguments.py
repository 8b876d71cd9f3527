"""What can be typed. Flag names follow TotalSegmentator where the meaning is the same."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prosect.cli.data_arguments import check_data_arguments, evaluate_arguments, pseudo_label_arguments
from prosect.cli.finetune_arguments import finetune_arguments
from prosect.cli.phantom_arguments import phantom_arguments
from prosect.cli.train_arguments import train_arguments
from prosect.cli.typed import path

__all__ = ["build_parser", "check"]

DEVICE = re.compile(r"(auto|cpu|mps|(?:gpu|cuda)(?::\d{1,3})?)")
PROFILES = ("prosect", "bundle", "research")
OUTPUT_TYPES = ("nifti", "nrrd", "seg.nrrd", "mha")
ENCODERS = ("sam-vit-h", "sam-vit-l", "sam-vit-b", "mobile-sam", "features", "intensity")
PHANTOMS = ("torso", "head-neck")
DESCRIPTION = "Segment 3D medical scans. Research use only: not for diagnosis or treatment."


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the line breaks of examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def build_parser(version: Callable[[], str]) -> argparse.ArgumentParser:
    """Return the parser of every command; it loads none of them.

    Args:
        version: Says the version when it is asked for.
    """
    parser = argparse.ArgumentParser("prosect", description=DESCRIPTION, formatter_class=Help)
    parser.add_argument("--version", action=Version, nargs=0, say=version, help="show the version and exit")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add: dict[str, Any] = {"parents": [shared], "formatter_class": Help}
    segment_arguments(commands.add_parser("segment", help="label a scan", description="Label a scan.", **add))
    clicking = "correct or make a structure by clicks"
    click_arguments(commands.add_parser("click", help=clicking, description=f"{clicking.capitalize()}.", **add))
    info = commands.add_parser("info", help="what a scan file holds, without patient data", **add)
    info.add_argument("input", metavar="FILE", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    picking_arguments(info)
    info.add_argument("--json", action="store_true", help="print JSON")
    labels = commands.add_parser("labels", help="the structures of a model", **add)
    labels.add_argument("model", metavar="MODEL", nargs="?", help="model or vocabulary (default: the model that ships)")
    labels.add_argument("--all", action="store_true", help="also those that cannot be segmented")
    labels.add_argument("--json", action="store_true", help="print JSON")
    weights = commands.add_parser("weights", help="list, import, verify or fetch model weights", formatter_class=Help)
    weights_arguments(weights, add)
    people = "make synthetic people with known labels"
    person = commands.add_parser("phantom", help=people, description=f"{people.capitalize()}.", **add)
    phantom_arguments(person, PHANTOMS, at_least_one, count)
    cutting = "cut a scan into supervoxels, for training"
    supervoxels = commands.add_parser("supervoxels", help=cutting, description=f"{cutting.capitalize()}.", **add)
    supervoxel_arguments(supervoxels)
    verify_arguments(commands.add_parser("verify", help="check a result against its report, and make it again", **add))
    data_commands(commands, add)
    commands.add_parser("doctor", help="check this installation", **add)
    return parser


def data_commands(commands: Any, add: dict[str, Any]) -> None:
    """Add the commands about data sets."""
    look = "look at every file of a data list before training"
    check_data_arguments(commands.add_parser("check-data", help=look, description=f"{look.capitalize()}.", **add))
    label = "label scans by another model, for training"
    made = commands.add_parser("pseudo-label", help=label, description=f"{label.capitalize()}.", **add)
    pseudo_label_arguments(made, device)
    judge = "judge a model on labelled scans"
    judged = commands.add_parser("evaluate", help=judge, description=f"{judge.capitalize()}.", **add)
    evaluate_arguments(judged, device, at_least_one)
    learn = "teach a model new structures from a few labelled scans"
    learner = commands.add_parser("finetune", help=learn, description=f"{learn.capitalize()}.", **add)
    finetune_arguments(learner, device, at_least_one)
    teach = "train a model by a recipe, stage by stage"
    train_arguments(
        commands.add_parser("train", help=teach, description=f"{teach.capitalize()}.", **add), device, at_least_one
    )


class Version(argparse.Action):
    """Print the version, which is worked out only then, and leave."""

    def __init__(self, *args: Any, say: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.say = say

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        """Print and exit with status 0."""
        print(f"prosect {self.say()}")
        parser.exit(0)


class Output(argparse.Action):
    """Keep the output as a path, and whether it was written as a folder (`out/`)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, *_: object) -> None:
        """Store both."""
        if not value:
            raise argparse.ArgumentError(self, "a file or folder is needed; the word is empty")
        namespace.output = Path(value)
        namespace.output_is_folder = value.endswith(("/", os.sep))


class Types(argparse.Action):
    """Take several types, separated by blanks or commas."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        """Store those that are known; refuse others by name."""
        chosen = [word for value in values for word in value.split(",") if word]
        for word in chosen:
            if word.startswith("dicom"):
                parser.error(f"-ot {word}: DICOM results are not written yet; use {', '.join(OUTPUT_TYPES)}")
            if word not in OUTPUT_TYPES:
                parser.error(f"-ot {word}: there is no such type; use {', '.join(OUTPUT_TYPES)}")
        namespace.output_type = tuple(dict.fromkeys(chosen))


def segment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `segment`."""
    parser.set_defaults(output_is_folder=False)
    parser.epilog = (
        "examples:\n"
        "  prosect segment ct.nii.gz -o labels.nii.gz -p\n"
        "  prosect segment ct.nii.gz -o masks -s\n"
        "  prosect segment dicom_folder -o labels.nrrd -rs liver spleen 'left kidney'\n"
        "  prosect segment folder_of_scans -o folder_of_labels -s\n"
        "  prosect segment --phantom torso -o labels.nii.gz -p"
    )
    source = parser.add_argument_group("input and output")
    source.add_argument(
        "input", metavar="INPUT", nargs="?", type=path, help="NIfTI, NRRD, MHA, DICOM, zip, or a folder of scans"
    )
    source.add_argument("-i", dest="input_flag", metavar="INPUT", type=path, help="the same, as a flag")
    source.add_argument("--phantom", choices=PHANTOMS, help="segment a synthetic person instead of a file")
    place = "label file (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha), or a folder of one mask per structure"
    source.add_argument("-o", dest="output", metavar="OUT", action=Output, help=place)
    source.add_argument("--overwrite", action="store_true", help="replace results that exist")
    picking_arguments(source)
    result_arguments(parser.add_argument_group("results"))
    model = parser.add_argument_group("model")
    model.add_argument("-m", dest="model", metavar="MODEL", help="model name (default: the one that ships)")
    model.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help="weights file of that model")
    model.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help="only these structures or groups")
    model.add_argument("--overlap", action="store_true", help="one layer per structure, so that none hides another")
    sweep = "how the scan is swept (default: prosect)"
    model.add_argument("--profile", choices=PROFILES, default="prosect", help=sweep)
    machine = "cpu, gpu, gpu:N, cuda, cuda:N, mps or auto (default)"
    model.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help=machine)
    model.add_argument("--dry-run", action="store_true", help="print the memory plan and stop")
    talk = parser.add_argument_group("messages").add_mutually_exclusive_group()
    talk.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    talk.add_argument("-v", "--verbose", action="store_true", help="print timings and repairs")


def click_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `click`."""
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # so that `--at -40,12,3` is a value
    parser.epilog = (
        "examples:\n"
        "  prosect click ct.nii.gz -o liver.nii.gz --structure liver --at 12.5,-40,310.2 --at 30,-52,300-\n"
        "  prosect click ct.nii.gz -o lesion.nii.gz --structure 'my lesion' --at 203,144,60 --space voxel\n"
        "  prosect click ct.nii.gz -o out.nii.gz --clicks F.mrk.json --structure spleen --from mask.nii.gz"
    )
    parser.add_argument("input", metavar="INPUT", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    place = "label file (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha)"
    parser.add_argument("-o", dest="output", metavar="OUT", type=path, required=True, help=place)
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    picking_arguments(parser)
    clicks = parser.add_argument_group("clicks")
    at = "a click; + (default) or - at the end says whether the place belongs to the structure"
    clicks.add_argument("--at", metavar="X,Y,Z[+|-]", action="append", default=[], help=at)
    clicks.add_argument("--space", choices=("ras", "lps", "voxel"), default="ras", help="of --at (default: ras, mm)")
    clicks.add_argument("--clicks", metavar="FILE", type=path, help="clicks in JSON, or a Slicer .mrk.json")
    own = "what the clicks are for; a name that no vocabulary has makes an object of its own (default: object)"
    clicks.add_argument("--structure", metavar="NAME", default="object", help=own)
    draft = "what to correct: auto (where the model knows the structure; default), none, or a mask"
    clicks.add_argument("--from", dest="draft", metavar="DRAFT", default="auto", help=draft)
    clicks.add_argument("--journal", metavar="FILE", type=path, help="keep every action here; one that exists goes on")
    model = parser.add_argument_group("model")
    model.add_argument("-m", dest="model", metavar="MODEL", help="model name (default: the one that ships)")
    model.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help="weights file of that model")
    model.add_argument("--profile", choices=PROFILES, default="prosect", help="how the scan is prepared")
    model.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help="cpu, gpu, mps or auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def supervoxel_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `supervoxels`."""
    parser.epilog = (
        "examples:\n"
        "  prosect supervoxels ct.nii.gz -o supervoxels.nii.gz -p\n"
        "  prosect supervoxels ct.nii.gz -o supervoxels.nii.gz --encoder sam-vit-h -w sam_vit_h_4b8939.pth\n"
        "  prosect supervoxels ct.nii.gz --encoder sam-vit-h --dry-run"
    )
    parser.add_argument("input", metavar="SCAN", type=path, help="NIfTI, NRRD, MHA, DICOM folder or zip")
    place = "label file (.nii.gz, .nii, .seg.nrrd, .nrrd, .mha)"
    parser.add_argument("-o", dest="output", metavar="OUT", type=path, help=place)
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    picking_arguments(parser)
    source = "what the cut follows: an image encoder, the features of a model, or intensity (default: features)"
    parser.add_argument("--encoder", choices=ENCODERS, default="features", help=source)
    parser.add_argument("-w", "--weights", metavar="FILE", type=path, help="weights file of that encoder")
    about = "about how many supervoxels (default: 100)"
    parser.add_argument("--segments", type=at_least_one, default=100, metavar="N", help=about)
    parser.add_argument("-p", "--preview", action="store_true", help="a picture beside the output")
    machine = "cpu, gpu, gpu:N, mps or auto (default)"
    parser.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help=machine)
    parser.add_argument("--dry-run", action="store_true", help="print the working grid and the memory plan, and stop")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def result_arguments(group: argparse._ActionsContainer) -> None:
    """Add the flags that say which files are made; their usual place is in the folder, or beside the file as OUT_..."""
    types = f"types of a folder's files: {', '.join(OUTPUT_TYPES)} (default: nifti)"
    group.add_argument("-ot", "--output_type", nargs="+", action=Types, default=(), metavar="TYPE", help=types)
    group.add_argument("-ml", "--ml", action="store_true", help="one file for all structures: in a folder, labels.*")
    group.add_argument("--per-class", action="store_true", help="one mask per structure, in the folder OUT")
    group.add_argument("-p", "--preview", action="store_true", help="a picture, preview.png")
    table = "volumes and intensities, statistics.json and .csv"
    optional: dict[str, Any] = {"nargs": "?", "const": True, "default": False, "type": Path, "metavar": "PATH"}
    group.add_argument("-s", "--statistics", **optional, help=table)
    group.add_argument("-sx", "--statistics_extra", action="store_true", help="the same with more numbers")
    how = "how the result came about, report.json (a folder always has it)"
    group.add_argument("-rp", "--report", **optional, help=how)


def picking_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the flags that pick one scan of several."""
    parser.add_argument("--series", metavar="UID", help="which DICOM series, by its UID or the end of it")
    parser.add_argument("--volume", metavar="N", type=count, help="which volume of a 4D file, from 0")


def weights_arguments(parser: argparse.ArgumentParser, add: dict[str, Any]) -> None:
    """Add the actions of `weights`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="models known, and where their weights are", **add)
    bring = actions.add_parser("import", help="take a file of official weights", **add)
    bring.add_argument("file", metavar="FILE", type=path, help="model.pt, .pth or .safetensors")
    bring.add_argument("model", metavar="MODEL", help="which model the file belongs to, such as vista3d")
    verify = actions.add_parser("verify", help="check weights against their hashes", **add)
    verify.add_argument("model", metavar="MODEL", nargs="?", help="one model (default: all that are here)")
    pull = actions.add_parser("pull", help="download weights", **add)
    pull.add_argument("model", metavar="MODEL", help="model name")


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `verify`."""
    parser.add_argument(
        "out", metavar="OUT", type=path, help="a report, a folder of results, or a result beside its report"
    )
    parser.add_argument("--hashes-only", action="store_true", help="do not segment again")
    where = "where the scan is (default: its recorded name beside the report)"
    parser.add_argument("-i", "--input", metavar="PATH", type=path, help=where)
    parser.add_argument("--outputs", metavar="DIR", type=path, help="where the results are (default: with the report)")
    parser.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help="the weights file that was used")
    machine = "make it again on another device (default: the recorded one)"
    parser.add_argument("-d", "--device", type=device, metavar="DEVICE", help=machine)
    parser.add_argument("-q", "--quiet", action="store_true", help="print the verdict only")


def device(text: str) -> str:
    """Return the device as torch names it: `gpu` is `cuda`."""
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no device; use cpu, gpu, gpu:0, cuda, cuda:0, mps or auto")
    return text.replace("gpu", "cuda")


def count(text: str) -> int:
    """Return a whole number from 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def at_least_one(text: str) -> int:
    """Return a whole number from 1."""
    number = count(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1")
    return number


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse (exit 2) what only the flags together show, and settle the one input of `segment`."""
    if args.command == "click" and not args.at and args.clicks is None:
        parser.error("click needs at least one click: --at X,Y,Z or --clicks FILE")
    if args.command == "supervoxels" and args.output is None and not args.dry_run:
        parser.error("supervoxels needs an output: -o supervoxels.nii.gz")
    if args.command != "segment":
        return
    given = [place for place in (args.input, args.input_flag, args.phantom) if place is not None]
    if len(given) != 1:
        named = " and ".join(str(place) for place in given) or "none"
        taken = next((p for p in (args.statistics, args.report) if isinstance(p, Path) and not given), None)
        hint = f"; {taken} was taken as the value of the flag before it" if taken is not None else ""
        parser.error(f"segment takes one input (a file, a folder or --phantom); given: {named}{hint}")
    if args.phantom and (args.series is not None or args.volume is not None):
        parser.error("--series and --volume pick from a file; a phantom holds one scan")
    args.input = args.input if args.input is not None else args.input_flag
    if args.output is None and not args.dry_run:
        parser.error("segment needs an output: -o labels.nii.gz")
