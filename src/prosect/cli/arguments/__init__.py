"""What can be typed. Flag names follow TotalSegmentator where the meaning is the same."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from prosect.cli.arguments import (
    check_data,
    click,
    cohort,
    doctor,
    evaluate,
    export,
    finetune,
    info,
    labels,
    models,
    pacs,
    phantom,
    pseudo_label,
    segment,
    serve,
    supervoxels,
    train,
    verify,
    view,
    weights,
)
from prosect.cli.arguments.command import Command, sentence
from prosect.cli.arguments.groups import add_debug
from prosect.cli.arguments.parser import Parser

__all__ = ["COMMANDS", "build_parser", "check"]

DESCRIPTION = "Segment 3D medical scans. Research use only: not for diagnosis or treatment."
# In the order in which `prosect --help` lists them.
COMMANDS: dict[str, Command] = {
    "segment": segment.COMMAND,
    "click": click.COMMAND,
    "serve": serve.COMMAND,
    "view": view.COMMAND,
    "info": info.COMMAND,
    "models": models.COMMAND,
    "labels": labels.COMMAND,
    "weights": weights.COMMAND,
    "phantom": phantom.COMMAND,
    "supervoxels": supervoxels.COMMAND,
    "verify": verify.COMMAND,
    "check-data": check_data.COMMAND,
    "pseudo-label": pseudo_label.COMMAND,
    "evaluate": evaluate.COMMAND,
    "finetune": finetune.COMMAND,
    "train": train.COMMAND,
    "export": export.COMMAND,
    "cohort": cohort.COMMAND,
    "pacs": pacs.COMMAND,
    "doctor": doctor.COMMAND,
}


class Version(argparse.Action):
    """Print the version, which is worked out only then, and leave."""

    def __init__(self, *args: Any, say: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.say = say

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        """Print and exit with status 0."""
        print(f"prosect {self.say()}")
        parser.exit(0)


def build_parser(version: Callable[[], str]) -> Parser:
    """Return the parser of every command; it loads none of them.

    Args:
        version: Says the version when it is asked for.
    """
    parser = Parser("prosect", description=DESCRIPTION)
    debug = Parser(add_help=False)
    add_debug(debug)
    add_version(parser, version)
    add_version(debug, version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if command.has_actions:
            parents = []
        else:
            parents = [debug]
        own = commands.add_parser(name, help=command.help, description=command.description, parents=parents)
        if command.has_actions:
            add_version(own, version)
        own.extra_word = command.extra_word or own.extra_word
        command.add(own)
        describe_actions(own)
    return parser


def describe_actions(parser: argparse.ArgumentParser) -> None:
    """Let the help of each action of a command begin with what it does, as that of the command does."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for row in action._choices_actions:
                action.choices[row.dest].description = sentence(row.help or row.dest)


def add_version(parser: argparse.ArgumentParser, version: Callable[[], str]) -> None:
    """Let a parser say the version."""
    parser.add_argument(
        "--version", action=Version, nargs=0, say=version, help="show the version and the weights that are here"
    )


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse (exit 2) what only the flags together show, in the name of the command."""
    own = parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            own = action.choices[args.command]
    COMMANDS[args.command].check(own, args)
