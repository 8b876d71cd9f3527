"""What can be typed of `weights`."""

from __future__ import annotations

import argparse
from typing import Any

from prosect.cli.arguments.command import Command
from prosect.cli.arguments.groups import add_debug
from prosect.cli.arguments.parser import Parser
from prosect.cli.arguments.words import path

__all__ = ["COMMAND"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `weights`."""
    debug = Parser(add_help=False)
    add_debug(debug)
    shared: dict[str, Any] = {"parents": [debug]}
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="models known, and where their weights are", **shared)
    bring = actions.add_parser("import", help="take a file of official weights", **shared)
    bring.add_argument("file", metavar="FILE", type=path, help="model.pt, .pth or .safetensors")
    bring.add_argument("model", metavar="MODEL", help="which model the file belongs to, such as vista3d")
    bring.add_argument("--ema", action="store_true", help="take the running average in the file, not its weights")
    verify = actions.add_parser("verify", help="check weights against their hashes", **shared)
    verify.add_argument("model", metavar="MODEL", nargs="?", help="a model or a weights file (default: all here)")
    pull = actions.add_parser("pull", help="download weights", **shared)
    pull.add_argument("model", metavar="MODEL", help="model name")


COMMAND = Command("list, import, verify or fetch model weights", add, has_actions=True)
