"""What can be typed of `train`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_device, add_quiet
from prosect.cli.arguments.words import at_least_one, count, path, positive

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `train`."""
    parser.epilog = (
        "examples:\n"
        "  prosect train recipe.toml --work run --dry-run\n"
        "  prosect train recipe.toml --work run --tensorboard\n"
        "  torchrun --nproc-per-node 4 -m prosect.cli.main train recipe.toml --work run -d gpu\n"
        "killed at any time, the same command goes on; with one thread count its weights are bit for bit the same"
    )
    parser.add_argument("recipe", metavar="RECIPE.toml", type=path, help="see docs/howto/train.md")
    where = "folder of states, logs, prepared scans and the weights"
    parser.add_argument("--work", metavar="DIR", type=path, required=True, help=where)
    parser.add_argument(
        "--stage", metavar="NAME", nargs="+", help="only these stages (default: all, in the order of the recipe)"
    )
    parser.add_argument(
        "--steps",
        type=at_least_one,
        metavar="N",
        help="at most so many steps in each stage, to try it out (default: as many as the recipe says)",
    )
    parser.add_argument(
        "--minutes", type=positive, metavar="M", help="save and stop after this time (default: no limit)"
    )
    parser.add_argument("--dry-run", action="store_true", help="check every file, say what would be trained, and stop")
    parser.add_argument("--unchecked", action="store_true", help="do not read all files before the first step")
    near = "how far label voxels may lie from the scan's, in mm (default: 0.01)"
    parser.add_argument("--tolerance-mm", type=positive, metavar="MM", help=near)
    parser.add_argument("--tensorboard", action="store_true", help="write the logs for TensorBoard, too")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="processor threads (default: all cores)")
    ahead = "threads that draw patches ahead (default: 0, the training draws them itself)"
    parser.add_argument("--loaders", type=count, default=0, metavar="N", help=ahead)
    add_device(parser)
    add_quiet(parser)


COMMAND = Command("train a model by a recipe, stage by stage", add)
