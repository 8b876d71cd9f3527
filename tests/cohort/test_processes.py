"""A process is taken for dead only where that is sure: here, and not because nothing is known of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prosect.cohort import processes
from prosect.cohort.processes import has_ended, own_process

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="only Linux tells")

SAY_OWN = "from prosect.cohort.processes import own_process; print(own_process(), flush=True); input()"


@pytest.fixture(scope="module")
def child() -> tuple[str, str]:
    """Return what a child process called itself, and whether it seemed to live: `before` and `as a zombie`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    alive = has_ended(name)
    process.kill()
    # Until somebody asks how it ended, it is a zombie.
    while processes.stat_of(process.pid)[processes.STATE] != processes.ZOMBIE:
        pass
    zombie = has_ended(name)
    process.communicate()
    return name, f"{alive} {zombie}"


def test_one_that_runs_lives_and_a_killed_one_has_ended(child: tuple[str, str]) -> None:
    name, seen = child
    assert seen == "False True"
    assert has_ended(name)
    assert not has_ended(own_process())


def test_a_number_that_was_given_again_is_not_the_same_process() -> None:
    place, start = own_process().rsplit("/", 1)
    assert has_ended(f"{place}/{int(start) - 1}")


@pytest.mark.parametrize("part", range(3))
def test_nothing_is_known_of_another_machine_start_or_container(child: tuple[str, str], part: int) -> None:
    words = child[0].split("/")
    words[part] += "x"
    assert not has_ended("/".join(words))


@pytest.mark.parametrize("words", ["", "/", "a", "a/b", "a/b/c/1/2", "////", "a/b/c/-1/2"])
def test_words_that_no_process_says_are_of_nobody(words: str) -> None:
    assert not has_ended(words)


def test_where_the_system_tells_nothing_nothing_is_known(
    child: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BOOT", tmp_path / "none")
    assert own_process() == ""
    assert not has_ended(child[0])


def test_one_that_the_system_hides_from_us_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = own_process()
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert not has_ended(me)
