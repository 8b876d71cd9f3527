"""A case belongs to one worker at a time: the first that claims it, or the first after its holder went silent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from prosect.cohort import claims as claims_module
from prosect.cohort.claims import FolderClaims, claim_key, heartbeat, look_at_claims
from prosect.errors import OutputError

LEASE_S = 100.0


class Clock:
    """A clock that is set by hand; claims compare it with the dates of files."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(tmp_path: Path, clock: Clock) -> Callable[[str], FolderClaims]:
    """Return the claims of a worker in the one folder."""
    return lambda name: FolderClaims(tmp_path / "claims", name, LEASE_S, clock)


Make = Callable[[str], FolderClaims]


def test_one_of_two_gets_a_case_and_the_other_when_it_is_given_back(worker: Make) -> None:
    first, second = worker("a"), worker("b")
    assert first.take("case")
    assert not second.take("case")
    assert not first.take("case"), "not twice by the same worker either"
    assert second.take("another")
    first.release("case")
    assert second.take("case")


def test_of_many_that_ask_at_once_one_gets_each_case(worker: Make) -> None:
    names = [f"case {n}" for n in range(20)]
    wins: dict[str, list[str]] = {}
    gate = threading.Barrier(4)

    def ask(who: str) -> None:
        claims = worker(who)
        gate.wait()
        wins[who] = [name for name in names if claims.take(name)]

    threads = [threading.Thread(target=ask, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for won in wins.values() for name in won) == sorted(names)


def test_a_claim_that_is_not_renewed_for_a_lease_goes_to_one_other(worker: Make, clock: Clock) -> None:
    dead, second, third = worker("a"), worker("b"), worker("c")
    dead.take("case")
    clock.ahead_s = LEASE_S - 1
    assert not second.take("case")
    clock.ahead_s = LEASE_S + 1
    assert second.take("case")
    clock.ahead_s = 2  # the successor's claim is as fresh as its file
    assert not third.take("case")
    assert second.holds("case")
    assert not dead.holds("case"), "it must see that it was taken for dead"


def test_a_claim_that_is_renewed_stays(worker: Make, clock: Clock, tmp_path: Path) -> None:
    slow, other = worker("a"), worker("b")
    slow.take("case")
    path = tmp_path / "claims" / f"{claim_key('case')}.1"
    stood = path.stat().st_mtime
    os.utime(path, (stood - 2 * LEASE_S, stood - 2 * LEASE_S))
    slow.renew()
    assert not other.take("case")
    assert slow.holds("case")


def test_who_was_taken_for_dead_does_not_renew_or_release_its_successors_claim(worker: Make, clock: Clock) -> None:
    slow, successor, third = worker("a"), worker("b"), worker("c")
    slow.take("case")
    clock.ahead_s = LEASE_S + 1
    assert successor.take("case")
    clock.ahead_s = 0
    slow.renew()
    slow.release("case")
    slow.close()
    assert successor.holds("case")
    assert not third.take("case")


def test_claims_of_a_worker_known_to_be_dead_are_free_at_once(worker: Make) -> None:
    dead, driver, other = worker("a"), worker("driver"), worker("b")
    for case in ("one", "two"):
        dead.take(case)
    other.take("three")
    assert driver.break_claims("a") == 2
    assert other.take("one")
    assert not driver.take("three")


def test_who_holds_what_for_how_long_is_shown(worker: Make, clock: Clock) -> None:
    worker("a").take("été")
    clock.ahead_s = 40.0
    looking = worker("looking")
    clock.ahead_s = 70.0
    found = looking.held()
    assert [(held.case, held.owner) for held in found] == [("été", "a")]
    assert found[0].age_s == pytest.approx(30.0, abs=2.0)


def test_a_folder_that_cannot_be_written_can_still_be_looked_at(
    worker: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker("a").take("case")
    monkeypatch.setattr(FolderClaims, "_measure_offset", refuse)
    dated = (tmp_path / "claims" / f"{claim_key('case')}.1").stat().st_mtime
    found = look_at_claims(tmp_path / "claims", now=lambda: dated + 50.0)
    assert [(held.case, held.age_s) for held in found] == [("case", pytest.approx(50.0))]
    assert look_at_claims(tmp_path / "none") == ()


def refuse(_claims: FolderClaims) -> float:
    raise OutputError("read only", code="OUTPUT_UNWRITABLE")


def test_a_claim_without_words_still_counts(worker: Make, tmp_path: Path) -> None:
    """The holder was killed between making the file and writing into it."""
    claims = worker("a")
    (tmp_path / "claims" / f"{claim_key('case')}.1").touch()
    assert not claims.take("case")
    assert claims.held() == ()


@pytest.fixture
def is_dead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the processes that have ended; each worker of a test runs in one of its own, named by `as_process`."""
    ended: list[str] = []
    monkeypatch.setattr(claims_module, "has_ended", lambda process: process in ended)
    return ended


def test_the_claim_of_a_process_that_has_ended_here_goes_to_one_other_at_once(
    worker: Make, is_dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, second, third = worker("a"), worker("b"), worker("c")
    monkeypatch.setattr(claims_module, "own_process", lambda: "a's")
    dead.take("case")
    monkeypatch.setattr(claims_module, "own_process", lambda: "b's")
    assert not second.take("case")
    assert [held.is_left(LEASE_S) for held in second.held()] == [False]
    is_dead.append("a's")
    assert [held.is_left(LEASE_S) for held in second.held()] == [True]
    assert second.take("case")
    assert not third.take("case")
    assert second.holds("case")
    assert not dead.holds("case")


def test_names_that_no_file_system_takes_can_be_claimed(worker: Make) -> None:
    claims, other = worker("a"), worker("b")
    for name in ("a/b", "x" * 400, "con", "\udc80"):
        assert claims.take(name)
        assert not other.take(name)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, worker: Make) -> None:
    claims = worker("a")
    for path in (tmp_path / "claims").iterdir():
        path.unlink()
    (tmp_path / "claims").rmdir()
    (tmp_path / "claims").write_text("no folder")
    with pytest.raises(OutputError):
        claims.take("case")


def test_the_heart_beats_until_the_block_ends_and_outlives_a_failure() -> None:
    class Failing:
        def __init__(self) -> None:
            self.beats = 0
            self.enough = threading.Event()

        def renew(self) -> None:
            self.beats += 1
            if self.beats >= 3:
                self.enough.set()
            raise OSError("the file server is away")

    claims = Failing()
    with heartbeat(claims, 0.001):  # type: ignore[arg-type]
        assert claims.enough.wait(5)
    after = claims.beats
    claims.enough.clear()
    assert not claims.enough.wait(0.02)
    assert claims.beats == after
