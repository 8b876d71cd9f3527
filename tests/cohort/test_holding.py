"""Threads of one worker share its claims, and leave none behind; the same for files and for objects."""

from __future__ import annotations

import errno
import hashlib
import io
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort import holding
from prosect.cohort.claims import Claims, FolderClaims
from prosect.cohort.holding import OwnClaims
from prosect.errors import OutputError, ResourceError

LEASE_S = 100.0


class MemoryBucket:
    """An object store in memory; what is about to be answered can be held up."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.after_put: Callable[[], None] = lambda: None

    def put(self, name: str, content: bytes, IfNoneMatch: str = "", IfMatch: str = "") -> str | None:  # noqa: N803
        with self.lock:
            there = self.objects.get(name)
            if IfNoneMatch and there is not None:
                return None
            if IfMatch and (there is None or tag_of(there) != IfMatch):
                return None
            self.objects[name] = content
        self.after_put()
        return tag_of(content)

    def head(self, name: str) -> dict[str, Any] | None:
        with self.lock:
            there = self.objects.get(name)
        if there is None:
            return None
        facts: dict[str, Any] = {"HTTPHeaders": {}}
        return {"ETag": tag_of(there), "LastModified": datetime.now(UTC), "ResponseMetadata": facts}

    def get(self, name: str) -> bytes | None:
        with self.lock:
            return self.objects.get(name)

    def delete(self, name: str) -> None:
        with self.lock:
            self.objects.pop(name, None)

    def list(self, folder: str, _after: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        with self.lock:
            names = sorted(self.objects)
        for name in names:
            if name.startswith(folder):
                yield name, {}


def tag_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


Make = Callable[[str], Claims]


@pytest.fixture(params=["files", "objects"])
def worker(request: pytest.FixtureRequest, tmp_path: Path, bucket: MemoryBucket) -> Make:
    """Return the claims of a worker in the one place where all meet."""
    if request.param == "files":
        return lambda name: FolderClaims(tmp_path / "claims", name, LEASE_S)
    objects = pytest.importorskip("prosect.cohort.objects", reason="needs the extra `s3`")
    return lambda name: objects.ObjectClaims(bucket, name, LEASE_S)


class Gate:
    """Holds up the first thread that comes by until it is let go."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.open.wait(5)


def start(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def claims(bucket: MemoryBucket) -> Claims:
    objects = pytest.importorskip("prosect.cohort.objects", reason="needs the extra `s3`")
    made: Claims = objects.ObjectClaims(bucket, "a", LEASE_S)
    return made


def test_a_claim_that_is_given_back_in_the_middle_of_its_renewal_is_gone(bucket: MemoryBucket, claims: Claims) -> None:
    claims.take("case")
    bucket.after_put = gate = Gate()
    beat = start(claims.renew)
    assert gate.reached.wait(5)
    giver = start(lambda: claims.release("case"))
    giver.join(0.05)
    gate.open.set()
    for thread in (beat, giver):
        thread.join(5)
    assert bucket.objects == {}


def test_closing_waits_for_a_claim_that_is_being_made_and_takes_it_back(bucket: MemoryBucket, claims: Claims) -> None:
    """The process ends when it is closed: what a thread does later is not done."""
    bucket.after_put = gate = Gate()
    taker = start(lambda: claims.take("case"))
    assert gate.reached.wait(5)
    closer = start(claims.close)
    closer.join(0.05)
    left_after_closing = not closer.is_alive() and bool(bucket.objects)
    gate.open.set()
    for thread in (taker, closer):
        thread.join(5)
    assert not left_after_closing
    assert bucket.objects == {}
    assert not claims.take("another")


def stress(first: Claims, second: Claims, names: list[str]) -> None:
    """Let both workers take, renew and give back, each with its heart beating, and the first leave meanwhile."""
    gate = threading.Barrier(5)

    def work(mine: Claims, seed: int) -> None:
        draw = random.Random(seed)
        gate.wait()
        for _ in range(12):
            name = draw.choice(names)
            if mine.take(name):
                mine.renew()
                mine.release(name)

    def beat(mine: Claims) -> None:
        gate.wait()
        mine.renew()

    def close() -> None:
        gate.wait()
        first.close()

    threads = [start(close)]
    for seed, mine in enumerate((first, second)):
        threads += [start(partial(work, mine, seed)), start(partial(beat, mine))]
    for thread in threads:
        thread.join(20)


def test_threads_that_take_renew_give_back_and_close_leave_nothing(worker: Make) -> None:
    for trial in range(4):
        second = worker(f"b{trial}")
        stress(worker(f"a{trial}"), second, ["one", "two", "three"])
        second.close()
        assert worker("looking").held() == ()


def test_of_many_threads_that_ask_at_once_one_gets_each_case(worker: Make) -> None:
    names = [f"case {number}" for number in range(10)]
    gate = threading.Barrier(4)
    wins: list[str] = []

    def ask(who: str) -> None:
        claims = worker(who)
        gate.wait()
        wins.extend(name for name in names if claims.take(name))

    threads = [start(partial(ask, who)) for who in ("a", "b", "c", "d")]
    for thread in threads:
        thread.join(20)
    assert sorted(wins) == names


class Stuck(OwnClaims[int]):
    """A file server that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def _make(self, case: str) -> int | None:
        self.gate()
        return 1

    def _stands(self, case: str, token: int) -> bool:
        return True

    def _extend(self, case: str, token: int) -> int | None:
        raise OutputError("away", code="OUTPUT_UNWRITABLE")

    def _remove(self, case: str, token: int) -> None:
        raise OSError("away")


def test_who_leaves_does_not_wait_for_a_file_server_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "PATIENCE_S", 0.05)
    claims = Stuck()
    taker = start(lambda: claims.take("case"))
    assert claims.gate.reached.wait(5)
    claims.close()
    claims.gate.open.set()
    taker.join(5)
    assert not claims.take("another")


def test_a_place_that_is_away_for_a_while_costs_no_claim_and_no_worker() -> None:
    claims = Stuck()
    claims.gate.reached.set()
    claims.take("case")
    claims.renew()
    assert claims.holds("case"), "the next beat may reach it"
    claims.release("case")
    assert not claims.holds("case"), "nobody renews it, so its lease ends it"


def test_who_slept_does_not_touch_the_claim_of_one_who_came_after_its_successor(tmp_path: Path) -> None:
    """The numbers of claims begin anew when a case is given back."""
    ahead = [0.0]
    slept, successor, third = (FolderClaims(tmp_path, name, LEASE_S, lambda: ahead[0]) for name in "abc")
    slept.take("case")
    ahead[0] = LEASE_S + 1
    assert successor.take("case")
    successor.release("case")
    ahead[0] = 0.0
    assert third.take("case")
    assert not slept.holds("case")
    slept.renew()
    slept.release("case")
    assert third.holds("case")


class FullDisk(io.BytesIO):
    """A file that is made and cannot be filled."""

    def __init__(self, path: Path, _mode: str) -> None:
        super().__init__()
        path.touch(exist_ok=False)

    def write(self, _content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_no_claim_without_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims, other = (FolderClaims(tmp_path, name, LEASE_S) for name in "ab")
    monkeypatch.setattr("prosect.cohort.claims.open", FullDisk, raising=False)
    with pytest.raises(ResourceError) as refused:
        claims.take("case")
    monkeypatch.undo()
    assert refused.value.code == "DISK_FULL"
    assert other.take("case"), "not only after a lease"
