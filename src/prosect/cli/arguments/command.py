"""How one command is spoken to: its line in the list of commands, its flags, and what they must not be together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Command", "Help", "sentence"]


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the line breaks of examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def accept(_parser: argparse.ArgumentParser, _args: argparse.Namespace) -> None:
    """Refuse nothing."""


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Attributes:
        help: What it does, in a line.
        add: Adds its flags to its parser.
        check: Refuses (exit 2) what only the flags together show.
        extra_word: What is said of a word that has no place, with `{word}` for it.
        has_actions: Whether it only leads to actions, which have the flags of all commands in its place.
    """

    help: str
    add: Callable[[argparse.ArgumentParser], None]
    check: Callable[[argparse.ArgumentParser, argparse.Namespace], None] = accept
    extra_word: str = ""
    has_actions: bool = False

    @property
    def description(self) -> str:
        """The line as a sentence."""
        return sentence(self.help)


def sentence(line: str) -> str:
    """Return a line of help as a sentence."""
    return f"{line[0].upper()}{line[1:]}."  # not `capitalize`, which writes PACS small
