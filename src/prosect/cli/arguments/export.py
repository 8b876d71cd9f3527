"""What can be typed of `export`."""

from __future__ import annotations

import argparse
from typing import Any

from prosect.cli.arguments.command import Command, Help
from prosect.cli.arguments.groups import add_debug
from prosect.cli.arguments.words import at_least_one, path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of export."""
    debug = argparse.ArgumentParser(add_help=False)
    add_debug(debug)
    shared: dict[str, Any] = {"parents": [debug], "formatter_class": Help}
    actions = parser.add_subparsers(dest="action", metavar="KIND", required=True)
    bundle = actions.add_parser("bundle", help="a MONAI bundle of MONAI's own classes", **shared)
    add_model(bundle)
    bundle.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="a new or empty folder")
    for kind, ending in (("onnx", ".onnx"), ("torchscript", ".ts")):
        words = "the automatic branch, with the vectors of its classes beside it"
        graph = actions.add_parser(kind, help=words, **shared)
        add_model(graph)
        named = f"a file ending in {ending}"
        graph.add_argument("-o", dest="output", metavar="FILE", type=path, required=True, help=named)
        size = "shape of a window in voxels (default: that of the model)"
        graph.add_argument("--window", nargs=3, type=at_least_one, metavar=("I", "J", "K"), help=size)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add which model is exported."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help="model name (default: the one trainings begin with)")
    parser.add_argument(
        "-w",
        dest="weights",
        metavar="WEIGHTS",
        type=path,
        help="weights file of that model (default: the installed ones)",
    )


COMMAND = Command("give a model to other programs: bundle, onnx, torchscript", add, has_actions=True)
