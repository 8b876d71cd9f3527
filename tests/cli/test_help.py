"""The help of every command says what each flag does, and what holds where it is not given."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from prosect.cli.arguments import build_parser

Parser = argparse.ArgumentParser


def parsers(parser: Parser, name: str) -> Iterator[tuple[str, Parser]]:
    """Yield a parser and those of its actions, by what is typed."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, own in action.choices.items():
                yield from parsers(own, f"{name} {word}")


def test_what_is_wrong_is_not_buried_under_all_flags(run) -> None:
    """Errors of one flag and of several together are told in the name of the command, in two lines."""
    for words in (["segment", "--nosuch"], ["segment", "ct.nii.gz"], ["click", "ct.nii.gz", "-o", "o.nii.gz"]):
        status, _, err = run(*words)
        assert status == 2
        first, second = err.splitlines()
        assert first == f"usage: see `prosect {words[0]} --help`"
        assert second.startswith(f"prosect {words[0]}: error: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["segmnt", "ct.nii.gz"], "there is no command 'segmnt'; the nearest is 'segment'; `prosect --help` lists all"),
        (["weights", "ls"], "there is no action 'ls'; the nearest is 'list'"),
        (["zzz"], "there is no command 'zzz'; `prosect --help`"),
    ],
)
def test_a_misspelt_command_is_told_the_nearest(run, words: list[str], said: str) -> None:
    status, _, err = run(*words)
    assert (status, said in err) == (2, True), err


ALL = dict(parsers(build_parser(str), "prosect"))


def shown(parser: Parser) -> list[argparse.Action]:
    """Return flags and places that help lists."""
    found = []
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS:
            found.append(action)
    return found


def name_of(action: argparse.Action) -> str:
    """Return what a message calls a flag."""
    return "/".join(action.option_strings) or str(action.metavar)


@pytest.mark.parametrize("name", ALL)
def test_help_begins_with_what_the_command_does_and_every_flag_has_words(name: str) -> None:
    assert ALL[name].description
    assert [name_of(action) for action in shown(ALL[name]) if not action.help] == []


@pytest.mark.parametrize("name", ALL)
def test_what_takes_a_value_and_may_be_left_out_says_what_holds_then(name: str) -> None:
    silent = []
    for action in shown(ALL[name]):
        takes_value = action.nargs != 0
        if takes_value and not action.required and "default" not in str(action.help):
            silent.append(name_of(action))
    assert silent == []


@pytest.mark.parametrize("name", ALL)
def test_the_default_that_is_said_is_the_default(name: str) -> None:
    wrong = []
    for action in shown(ALL[name]):
        told = re.search(r"\(default: (-?[\d.]+)(?=[;,) ])", str(action.help))
        real = action.default
        # Other defaults are worked out later, and stand for the figure that is told.
        if told is not None and isinstance(real, int | float) and float(told[1]) != real:
            wrong.append(f"{name_of(action)}: {told[1]} is said, {real} is meant")
    assert wrong == []


@pytest.mark.parametrize("name", ALL)
def test_words_that_are_chosen_from_have_the_default_among_them(name: str) -> None:
    for action in shown(ALL[name]):
        if action.choices and action.default is not None:
            defaults = action.default if isinstance(action.default, list) else [action.default]
            assert set(defaults) <= set(action.choices), name_of(action)
            for word in defaults:
                assert str(word) in str(action.help), f"{name_of(action)}: help does not name {word}"
