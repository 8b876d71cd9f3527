"""Flags of TotalSegmentator: each is meant, taken with a note, or refused with a way on; none is read as another."""

from __future__ import annotations

import pytest

from prosect.cli.arguments import COMMANDS, build_parser
from prosect.cli.arguments.totalsegmentator import NEEDLESS, REFUSED
from worlds.refusals import names

# The table of TotalSegmentator 2.18, without -i, -o and those that every test here uses anyway.
MEANT = ("-ot", "-ml", "-d", "-p", "-rs", "-rsr", "-s", "-sx", "-rp", "-q", "-v", "--debug", "--version")
TAKES_VALUE = {"-ot": ["nifti"], "-d": ["cpu"], "-rs": ["liver"], "-rsr": ["liver"]}


def flags_of(command: str) -> set[str]:
    """Return every flag that a command knows."""
    parser = build_parser(str)
    (commands,) = (action for action in parser._actions if action.choices and "segment" in action.choices)
    return set(commands.choices[command]._option_string_actions)


def test_every_flag_of_the_table_is_known() -> None:
    foreign = {name for flag in (*NEEDLESS, *REFUSED) for name in flag.names}
    assert set(MEANT) | foreign <= flags_of("segment")
    assert not set(MEANT) & foreign


@pytest.mark.parametrize("flag", NEEDLESS, ids=lambda flag: flag.names[0])
def test_a_flag_that_is_not_needed_is_taken_with_a_note(run, model, scan_path, tmp_path, flag) -> None:
    for name in flag.names:
        words = [name, *["1"] * int(flag.values or 0)]
        status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "--overwrite", *words)
        assert (status, err) == (0, f"prosect: note: {name} is not needed: {flag.word}\n")
    assert "o_statistics.json" not in names(tmp_path), "-ss is not -s with the value s"


def test_quiet_silences_the_notes_and_several_flags_each_have_one(run, model, scan_path, tmp_path) -> None:
    words = ["segment", scan_path, "-o", tmp_path / "o.nii.gz", "-nr", "4", "-fs"]
    assert run(*words)[2].count("is not needed") == 2
    assert run(*words, "--overwrite", "-q")[2] == ""


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: flag.names[0])
def test_a_flag_that_is_refused_says_what_to_do(run, model, scan_path, tmp_path, flag) -> None:
    for name in flag.names:
        status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", name, *["1"] * int(flag.values or 0))
        assert status == 2
        assert err.endswith(f"{name} is not offered: {flag.word}\n")
    assert model.calls == []


@pytest.mark.parametrize("word", ["-sz", "-qv", "-onew.nii.gz", "--over", "--statistic", "--roi", "--zzz=4"])
def test_no_flag_is_guessed_from_its_beginning(run, model, scan_path, tmp_path, word) -> None:
    status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", word)
    assert status == 2
    assert f"{word.split('=')[0]}: there is no such flag" in err
    assert names(tmp_path) == {"scan.nii.gz"}


def test_a_flag_nearly_right_names_the_nearest(run, scan_path) -> None:
    assert "the nearest are --overwrite" in run("segment", scan_path, "-o", "o.nii.gz", "--overwrit")[2]
    assert "--json" in run("info", scan_path, "--jsn")[2]


def test_a_second_scan_is_told_where_outputs_and_several_scans_go(run, model, scan_path, tmp_path) -> None:
    status, _, err = run("segment", scan_path, tmp_path / "out.nii.gz")
    assert status == 2
    assert "out.nii.gz: segment takes one input, and the output stands behind -o" in err
    assert "a .txt list" in err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_says_the_version_and_refuses_flags_that_begin_like_others(run, command) -> None:
    status, out, _ = run(command, "--version")
    assert (status, out.startswith("prosect ")) == (0, True)
    assert "prosect-small, prosect-torso" in out.splitlines()[1], "which weights answer is part of the version"
    status, _, err = run(command, "--versio")
    assert status == 2
    assert "--versio: there is no such flag" in err or "required" in err
