"""How words are read: a flag is only ever itself, never the beginning of another, nor several run together."""

from __future__ import annotations

import argparse
import difflib
from typing import Any, NoReturn

from prosect.cli.arguments.command import Help

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser that guesses nothing.

    argparse takes `--over` for `--overwrite`, and `-ss` for `-s` with the value `s`. Both are how a script of another
    tool comes to mean something else here, so neither is done: a flag that is not known is refused by name.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": Help, "allow_abbrev": False, **options})
        self.extra_word = "{word}: one word too many; see `{command} --help`"

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Return which flags a word may be the beginning of: none. `allow_abbrev` covers only those with two dashes."""
        return []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Return what was understood; refuse here, where the flags of the command are known, what was not."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.refuse_word(rest[0])
        return known, []

    def error(self, message: str) -> NoReturn:
        """Leave with status 2 and what is wrong; all flags of a command, as argparse lists them, would bury it."""
        self.exit(2, f"usage: see `{self.prog} --help`\n{self.prog}: error: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a command or an action that there is not, with the nearest; argparse lists them all."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            near = difflib.get_close_matches(value, action.choices, 1)
            hint = ""
            if near:
                hint = f"; the nearest is '{near[0]}'"
            what = str(action.metavar).lower()
            raise argparse.ArgumentError(None, f"there is no {what} '{value}'{hint}; `{self.prog} --help` lists all")
        super()._check_value(action, value)

    def refuse_word(self, word: str) -> NoReturn:
        """Leave with status 2 and a sentence on a word that no flag or place takes."""
        if not word.startswith("-"):
            self.error(self.extra_word.format(word=word, command=self.prog))
        flag = word.split("=", 1)[0]
        known = []
        for text in self._option_string_actions:
            if text.startswith("--") == flag.startswith("--"):
                known.append(text)
        near = difflib.get_close_matches(flag, known, 2)
        hint = ""
        if near:
            hint = f"; the nearest are {' and '.join(near)}"
        self.error(f"{flag}: there is no such flag{hint}; flags are written in full and apart")
