"""Flags that several commands share."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.words import (
    at_least_one,
    count,
    device,
    modality,
    number,
    orientation,
    path,
    positive,
)

__all__ = [
    "LIST",
    "PHANTOMS",
    "PROFILES",
    "add_choice",
    "add_debug",
    "add_device",
    "add_engine",
    "add_learning",
    "add_list",
    "add_model",
    "add_picking",
    "add_profile",
    "add_quiet",
]

LIST = "data list: the official JSON form, a .csv or .tsv with columns image and label, or a folder with images, labels"
PROFILES = ("prosect", "bundle", "research")
ENGINES = ("auto", "modules", "fast", "openvino", "compiled")
PRECISIONS = ("auto", "float32", "bfloat16")
PHANTOMS = ("torso", "head-neck")
INTENSITIES = ("auto", "model", "percentile")
STEPS = 400
MODEL = "model name (default: all that ship, as one)"
WEIGHTS = "weights file, such as one of `prosect finetune`, or of the model that -m names (default: the installed ones)"


def add_quiet(parser: argparse._ActionsContainer) -> None:
    """Add the flag that silences all but errors."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def add_picking(parser: argparse._ActionsContainer) -> None:
    """Add the flags that pick one scan of several."""
    parser.add_argument(
        "--series",
        metavar="UID",
        help="which DICOM series, by its UID or the end of it, or which volume of one, as #2 (default: the only one)",
    )
    of_many = "which volume of a 4D file or DICOM series, from 0 (default: the only one)"
    parser.add_argument("--volume", metavar="N", type=count, help=of_many)
    kind = "what kind of scan it is: CT, MR, PT, NM, US, ... (default: what the file says)"
    parser.add_argument("--modality", metavar="KIND", type=modality, help=kind)
    outside = "intensity of NaN voxels, such as -1024 in CT (default: NaN is refused)"
    parser.add_argument("--nan-as", metavar="VALUE", type=number, help=outside)
    axes = "where the voxel axes point, such as RAS or LPS, where a NIfTI file does not say (default: it is refused)"
    parser.add_argument("--assume-orientation", metavar="AXES", type=orientation, help=axes)
    parser.add_argument(
        "--regularise", action="store_true", help="resample DICOM slices whose distance changes to the smallest one"
    )


def add_choice(group: argparse._ActionsContainer) -> None:
    """Add the flags that name a model and its weights."""
    group.add_argument("-m", dest="model", metavar="MODEL", help=MODEL)
    group.add_argument("-w", dest="weights", metavar="WEIGHTS", type=path, help=WEIGHTS)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a model."""
    model = parser.add_argument_group("model")
    add_choice(model)
    add_profile(model)
    add_device(model)
    add_engine(model)


def add_profile(group: argparse._ActionsContainer) -> None:
    """Add the flag that says by whose rules a scan is prepared and swept."""
    rules = (
        "by whose rules a scan is prepared and swept: prosect (ours; default), or for parity bundle or research, as "
        "the two official code bases do"
    )
    group.add_argument("--profile", choices=PROFILES, default=PROFILES[0], help=rules)


def add_device(group: argparse._ActionsContainer) -> None:
    """Add the flag that says where the network runs."""
    where = "where the network runs: cpu, gpu (gpu:1 is the second), mps, or auto: a GPU where there is one (default)"
    group.add_argument("-d", "--device", type=device, default="auto", metavar="DEVICE", help=where)


def add_engine(model: argparse._ActionsContainer) -> None:
    """Add the flags that say how the network runs."""
    ways = "how the network runs: modules, fast, openvino, on a GPU compiled, or auto (default), the fastest installed"
    model.add_argument("--engine", choices=ENGINES, default="auto", help=ways)
    exact = "in what it multiplies: float32, bfloat16, or auto (default), which is bfloat16 on a GPU only"
    model.add_argument("--precision", choices=PRECISIONS, default="auto", help=exact)


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a data list is read."""
    group = parser.add_argument_group("the list")
    group.add_argument("--root", metavar="DIR", type=path, help="where its paths start (default: its own folder)")
    group.add_argument(
        "--pseudo-root", metavar="DIR", type=path, help="the same for pseudo-labels (default: as --root)"
    )
    group.add_argument(
        "--supervoxel-root", metavar="DIR", type=path, help="the same for supervoxels (default: as --root)"
    )
    named = "name of the data set, such as AMOS22 (default: as the list or its file is called)"
    group.add_argument("--dataset", metavar="NAME", help=named)
    pairs = "what its label values mean: 1=liver 9= (nothing) '3=+my lesion' (new); liver alone: as each file names it "
    pairs += "(default: what the list says)"
    group.add_argument("--map", metavar="VALUE=NAME", nargs="+", default=[], help=pairs)
    table = "the same from a .json, .tsv or .csv (default: none)"
    group.add_argument("--mapping", metavar="FILE", type=path, help=table)
    far = "how far label voxels may lie from the scan's, in mm (default: 0.01)"
    group.add_argument("--tolerance-mm", metavar="MM", type=positive, default=None, help=far)


def add_learning(group: argparse._ActionsContainer) -> None:
    """Add the flags that say how a model learns new structures."""
    group.add_argument(
        "--steps", metavar="N", type=at_least_one, default=STEPS, help=f"training steps, at most (default: {STEPS})"
    )
    group.add_argument("--rate", metavar="R", type=float, default=2e-3, help="peak learning rate (default: 0.002)")
    working = "side of a voxel that the network sees, in mm (default: by the structures' size)"
    group.add_argument("--spacing", metavar="MM", type=positive, help=working)
    voxels = "voxels of a patch and window (default: the model's, shrunk to the scans)"
    group.add_argument("--patch", metavar="N", type=at_least_one, nargs=3, help=voxels)
    scale = "scale intensities as the model, between percentiles, or as most scans ask for (default: auto)"
    group.add_argument("--intensity", choices=INTENSITIES, default=INTENSITIES[0], help=scale)


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the flag that every command has."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
