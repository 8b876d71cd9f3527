"""What can be typed of `segment`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.executors import add_executors, check_executors
from prosect.cli.arguments.groups import PHANTOMS, add_choice, add_device, add_engine, add_picking, add_profile
from prosect.cli.arguments.tasks import ELSEWHERE, LISTS, TASKS, TOTAL
from prosect.cli.arguments.totalsegmentator import add_foreign
from prosect.cli.arguments.words import not_negative, path, positive
from prosect.io.dicom.choices import SEG_COMPRESSIONS, SEG_ENCODINGS
from prosect.io.formats import OUTPUT_TYPES, WRITTEN_ENDINGS

__all__ = ["COMMAND"]

# What TotalSegmentator calls it, too.
ALIASES = {"dicom": "dicom_rtstruct"}


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
        chosen = [ALIASES.get(word, word) for word in chosen]
        for word in chosen:
            if word not in OUTPUT_TYPES:
                parser.error(f"-ot {word}: there is no such type; use {', '.join(OUTPUT_TYPES)}")
        namespace.output_type = tuple(dict.fromkeys(chosen))


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `segment`."""
    parser.set_defaults(output_is_folder=False)
    parser.epilog = (
        "examples:\n"
        "  prosect segment ct.nii.gz -o labels.nii.gz -p\n"
        "  prosect segment ct.nii.gz -o masks -s\n"
        "  prosect segment dicom_folder -o labels.nrrd -rs liver spleen 'left kidney'\n"
        "  prosect segment folder_of_scans -o folder_of_labels -s\n"
        "  prosect segment --phantom torso -o labels.nii.gz -p\n"
        "other flags of TotalSegmentator are taken, with a note that they are not needed, or refused with a word on why"
    )
    add_input(parser)
    add_results(parser.add_argument_group("results"))
    add_asking(parser)
    add_executors(parser)
    talk = parser.add_argument_group("messages").add_mutually_exclusive_group()
    talk.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    talk.add_argument("-v", "--verbose", action="store_true", help="print timings and repairs")
    add_foreign(parser)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add where the scan is, and where results go."""
    source = parser.add_argument_group("input and output")
    source.add_argument(
        "input",
        metavar="INPUT",
        nargs="?",
        type=path,
        help="NIfTI, NRRD, MHA, DICOM, zip, or a folder of scans (no default)",
    )
    source.add_argument(
        "-i", dest="input_flag", metavar="INPUT", type=path, help="the same, as a flag (default: the place)"
    )
    source.add_argument(
        "--phantom", choices=PHANTOMS, help="segment a synthetic person instead of a file (default: no)"
    )
    place = f"label file ({', '.join(WRITTEN_ENDINGS)}), or a folder of one mask per structure (no default)"
    source.add_argument("-o", dest="output", metavar="OUT", action=Output, help=place)
    source.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_picking(source)


def add_asking(parser: argparse.ArgumentParser) -> None:
    """Add which model is asked, for what, and how."""
    model = parser.add_argument_group("model")
    add_choice(model)
    model.add_argument(
        "-rs",
        "--roi_subset",
        "-rsr",
        "--roi_subset_robust",
        nargs="+",
        metavar="NAME",
        help="only these structures or groups (default: everything)",
    )
    task = "a set of structures by TotalSegmentator's name, such as total (everything; default) or body; -lt lists them"
    model.add_argument("-ta", "--task", default=TOTAL, type=task_name, metavar="SET", help=task)
    model.add_argument("-lt", "--list-tasks", action="store_true", help="list the sets and stop")
    model.add_argument(
        "-lc", "--list-classes", nargs="?", const=TOTAL, type=task_name, metavar="SET",
        help="list the structures of a set (default: total) and stop",
    )  # fmt: skip
    model.add_argument("--overlap", action="store_true", help="one layer per structure, so that none hides another")
    add_profile(model)
    add_device(model)
    add_engine(model)
    coarse = "run on a grid of a third as many voxels: faster, and less exact"
    model.add_argument("-f", "--fast", "-ff", "--fastest", action="store_true", help=coarse)
    kept = "keep structures that cannot be in the scan, too, such as a larynx in an abdomen"
    model.add_argument("--all", dest="keep_all", action="store_true", help=kept)
    model.add_argument(
        "--dry-run", action="store_true", help="refuse what the run would refuse, print the memory plan, and stop"
    )


def task_name(text: str) -> str:
    """Return the name of a set of structures."""
    if text not in (TOTAL, *TASKS, *LISTS):
        raise argparse.ArgumentTypeError(f"{text}: {ELSEWHERE}")
    return text


def add_results(group: argparse._ActionsContainer) -> None:
    """Add the flags that say which files are made; their usual place is in the folder, or beside the file as OUT_..."""
    types = f"types of a folder's files: {', '.join(OUTPUT_TYPES)} (default: nifti)"
    group.add_argument("-ot", "--output_type", nargs="+", action=Types, default=(), metavar="TYPE", help=types)
    group.add_argument("-ml", "--ml", action="store_true", help="one file for all structures: in a folder, labels.*")
    group.add_argument("--per-class", action="store_true", help="one mask per structure, in the folder OUT")
    group.add_argument("-p", "--preview", action="store_true", help="a picture, preview.png")
    rows = "the same with a row of planes through the middle of each structure"
    group.add_argument("-pr", "--preview-rows", action="store_true", help=rows)
    usual = "(PATH by default in the folder OUT, or beside the file)"
    table = f"volumes and intensities, statistics.json and .csv {usual}"
    optional: dict[str, Any] = {"nargs": "?", "const": True, "default": False, "type": Path, "metavar": "PATH"}
    group.add_argument("-s", "--statistics", **optional, help=table)
    group.add_argument("-sx", "--statistics_extra", action="store_true", help="the same with more numbers")
    middle = "which intensity the JSON has of a structure: mean (default) or median"
    group.add_argument(
        "-sa", "--stats_aggregation", dest="aggregation", choices=("mean", "median"), default="mean", help=middle
    )
    features = "shape and first-order features under IBSI's names, statistics_radiomics.json"
    group.add_argument("-r", "--radiomics", action="store_true", help=features)
    blobs = "leave out connected pieces smaller than this, in mm3 (default: none; 200 where no number follows)"
    group.add_argument(
        "-rmb", "--remove_small_blobs", dest="least_mm3", nargs="?", const=200.0, type=positive, metavar="MM3",
        help=blobs,
    )  # fmt: skip
    likely = "the probability of each structure, a volume each of one NIfTI file, probabilities.nii.gz "
    likely += usual
    group.add_argument("-sp", "--save_probabilities", dest="probabilities", **optional, help=likely)
    how = f"how the result came about, report.json; a folder always has it {usual}"
    group.add_argument("-rp", "--report", **optional, help=how)
    tables = "beside a NIfTI label map its names for ITK-SNAP (.label.txt), Slicer (.ctbl) and nnU-Net (dataset.json)"
    group.add_argument("--label-tables", action="store_true", help=tables)
    counted = "label values from 1 to the number of structures, not those of `prosect labels`"
    group.add_argument("--renumber", action="store_true", help=counted)
    kind = "binary (default): every viewer reads it; labelmap: far smaller, viewers of 2025 and later"
    group.add_argument("--seg-encoding", choices=SEG_ENCODINGS, default="binary", help=f"of a DICOM SEG. {kind}")
    packed = (
        "of a DICOM SEG (default: none for binary, rle for labelmap); deflate is smallest, but many a PACS refuses it"
    )
    group.add_argument("--seg-compression", choices=SEG_COMPRESSIONS, help=packed)
    fewer = "how far outlines of an RTSTRUCT may leave the edges of pixels, for fewer points (default: 0, exact)"
    group.add_argument("--rt-tolerance", type=not_negative, default=0.0, metavar="MM", help=fewer)
    without = "DICOM results without patient and study, and with hashes for all UIDs"
    group.add_argument("--deidentify", action="store_true", help=without)


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what only the flags together show, and settle the one input."""
    if args.task != TOTAL and args.roi_subset is not None:
        parser.error(f"-ta {args.task} and -rs both choose structures; give one of them")
    if args.list_tasks or args.list_classes is not None:
        return
    given = []
    for place in (args.input, args.input_flag, args.phantom):
        if place is not None:
            given.append(place)
    if len(given) != 1:
        named = " and ".join(str(place) for place in given) or "none"
        taken = next(
            (p for p in (args.statistics, args.report, args.probabilities) if isinstance(p, Path) and not given), None
        )
        hint = ""
        if taken is not None:
            hint = f"; {taken} was taken as the value of the flag before it"
        parser.error(f"segment takes one input (a file, a folder or --phantom); given: {named}{hint}")
    if args.phantom and (args.series is not None or args.volume is not None):
        parser.error("--series and --volume pick from a file; a phantom holds one scan")
    if args.input is not None:
        args.input = args.input
    else:
        args.input = args.input_flag
    check_executors(parser, args)
    if args.tables and not (args.statistics or args.statistics_extra):
        parser.error("--tables joins the statistics of all scans; add -s")
    if args.output is None and not args.dry_run:
        parser.error("segment needs an output: -o labels.nii.gz")


EXTRA_WORD = (
    "{word}: segment takes one input, and the output stands behind -o. Several scans go in a folder, or in a .txt list "
    "with one path a line: prosect segment FOLDER -o RESULTS"
)
COMMAND = Command("label a scan, or every scan of a folder", add, check, EXTRA_WORD)
