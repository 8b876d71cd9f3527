"""The pipeline: three scans at most, one bad case among good ones, and an end in order however it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.ledger import History
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import Outcome, Work, run
from prosect.cohort.plan import Plan
from prosect.cohort.report import pace
from prosect.errors import FormatError, ResourceError

pytestmark = pytest.mark.usefixtures("no_thread_is_left")
SCANS = [Scan(f"c{n}", Path(f"c{n}.nii")) for n in range(12)]


class Counted:
    """A volume or result that knows how many are alive."""

    alive = 0
    most = 0

    def __init__(self) -> None:
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


def nothing(scan: Scan, *rest: object) -> Mapping[str, Any]:
    return {"files": [scan.name]}


def failing(names: set[str], error: Callable[[], BaseException]) -> Callable[..., Mapping[str, Any]]:
    def step(scan: Scan, *rest: object) -> Mapping[str, Any]:
        if scan.name in names:
            raise error()
        return nothing(scan)

    return step


def test_every_scan_is_recorded_once_and_in_order() -> None:
    seen: list[Outcome] = []
    run(SCANS, Work(nothing, nothing, nothing), seen.append)
    assert [outcome.scan for outcome in seen] == SCANS
    assert all(not outcome.code and outcome.kept["files"] for outcome in seen)
    assert set(seen[0].seconds) == {"reading", "segmenting", "saving"}


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("slow", ["compute", "save"])
def test_all_slots_are_used_and_no_more(slots: int, slow: str) -> None:
    """The slow stage waits until the reader has filled every slot, then a little for one more that must not come."""
    Counted.alive = Counted.most = 0
    full, never = threading.Event(), threading.Event()

    def read(scan: Scan) -> Counted:
        volume = Counted()
        if Counted.alive == slots:
            full.set()
        return volume

    def stage(name: str) -> Callable[..., Mapping[str, Any]]:
        def body(scan: Scan, *rest: object) -> Mapping[str, Any]:
            if name == slow:
                assert full.wait(20), f"only {Counted.most} of {slots} scans were read ahead"
                never.wait(0.004)
            return nothing(scan)

        return body

    seen: list[Outcome] = []
    run(SCANS, Work(read, stage("compute"), stage("save")), seen.append, slots=slots)
    assert [outcome.message for outcome in seen if outcome.code] == []
    assert Counted.most == slots
    assert Counted.alive == 0


def test_reading_and_saving_overlap_with_computing() -> None:
    """Each stage waits for the two others to be at work on their scans; one after the other they would never meet."""
    meeting = threading.Barrier(3, timeout=20)
    place = {scan.name: n for n, scan in enumerate(SCANS)}

    def stage(offset: int) -> Callable[..., Mapping[str, Any]]:
        def body(scan: Scan, *rest: object) -> Mapping[str, Any]:
            if 2 <= place[scan.name] + offset < len(SCANS):
                meeting.wait()
            return nothing(scan)

        return body

    seen: list[Outcome] = []
    run(SCANS, Work(stage(0), stage(1), stage(2)), seen.append)
    assert not [outcome.message for outcome in seen if outcome.code]


@pytest.mark.parametrize("stage", ["read", "compute", "save"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (lambda: FormatError("cut short", code="INPUT_TRUNCATED"), "INPUT_TRUNCATED"),
        (lambda: ZeroDivisionError("by\nzero"), "INTERNAL_BUG"),
        (lambda: MemoryError(), "MEMORY_EXHAUSTED"),
    ],
)
def test_bad_cases_are_recorded_with_their_code_and_the_rest_is_done(
    stage: str, error: Callable[[], BaseException], code: str
) -> None:
    steps = {"read": nothing, "compute": nothing, "save": nothing, stage: failing({"c0", "c5", "c11"}, error)}
    seen: list[Outcome] = []
    run(SCANS, Work(steps["read"], steps["compute"], steps["save"]), seen.append)
    assert {o.scan.name: o.code for o in seen} == {s.name: code if s.name in ("c0", "c5", "c11") else "" for s in SCANS}
    assert len(seen) == len(SCANS)
    assert ("Traceback" in seen[0].trace) == (seen[0].code == "INTERNAL_BUG")


def test_a_scan_too_large_beside_others_is_done_alone_at_the_end() -> None:
    alive: set[str] = set()
    beside: list[set[str]] = []

    def read(scan: Scan) -> str:
        alive.add(scan.name)
        return scan.name

    def compute(scan: Scan, volume: str) -> str:
        if scan.name == "c3":
            beside.append(alive - {"c3"})
            if len(beside) == 1:
                raise ResourceError("too large", code="MEMORY_EXHAUSTED")
        return volume

    seen: list[Outcome] = []

    def record(outcome: Outcome) -> None:
        alive.discard(outcome.scan.name)
        seen.append(outcome)

    run(SCANS, Work(read, compute, nothing), record)
    assert [o.scan.name for o in seen] == [s.name for s in SCANS if s.name != "c3"] + ["c3"]
    assert not seen[-1].code
    assert beside[1] == set()


@pytest.mark.parametrize("stage", ["save", "record"])
def test_a_full_disk_ends_the_run_and_computes_nothing_in_vain(stage: str) -> None:
    computed: list[str] = []
    full = failing({"c2"}, lambda: ResourceError("full", code="DISK_FULL"))

    def compute(scan: Scan, volume: object) -> object:
        computed.append(scan.name)
        return volume

    seen: list[Outcome] = []

    def record(outcome: Outcome) -> None:
        if stage == "record":
            full(outcome.scan)
        seen.append(outcome)

    with pytest.raises(ResourceError, match="full"):
        run(SCANS, Work(nothing, compute, full if stage == "save" else nothing), record)
    assert [o.scan.name for o in seen] == ["c0", "c1"]
    assert set(computed) <= {"c0", "c1", "c2", "c3", "c4"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_lets_the_result_being_saved_finish_and_starts_nothing_else(error: type[BaseException]) -> None:
    saving = threading.Event()
    go_on = threading.Event()
    seen: list[str] = []

    def compute(scan: Scan, volume: object) -> object:
        if scan.name == "c4":
            assert saving.wait(20)
            go_on.set()
            raise error
        return volume

    def save(scan: Scan, *rest: object) -> Mapping[str, Any]:
        if scan.name == "c3":
            saving.set()
            assert go_on.wait(20)
        return nothing(scan)

    with pytest.raises(error):
        run(SCANS, Work(nothing, compute, save), lambda outcome: seen.append(outcome.scan.name))
    assert seen == ["c0", "c1", "c2", "c3"]


def test_the_pace_of_a_run_counts_its_own_scans_alone() -> None:
    a, b, before = (Scan(name, Path(name)) for name in ("a", "b", "before"))
    known = History(done={name: {"seconds": {"reading": 9.0, "segmenting": 3.0}} for name in ("a", "before")})
    plan = Plan((a, b), (), (before,), (), ())
    assert pace(plan, known, 4.0) == {"scans": 1, "seconds": 4.0, "model_busy_percent": 75.0}
    assert pace(Plan((), (), (a,), (), ()), known, 0.0)["model_busy_percent"] is None


@pytest.mark.parametrize("stage", ["read", "save"])
def test_with_room_for_five_two_are_read_and_two_are_saved_at_a_time(stage: str) -> None:
    """Each waits for another one beside it, which would never come to a lone thread."""
    pair = threading.Barrier(2, timeout=10)

    def beside_another(scan: Scan, *_rest: object) -> Mapping[str, Any]:
        pair.wait()
        return nothing(scan)

    steps = {"read": nothing, "save": nothing, stage: beside_another}
    seen: list[Outcome] = []
    run(SCANS, Work(steps["read"], nothing, steps["save"]), seen.append, slots=5)
    assert sorted(outcome.scan.name for outcome in seen) == sorted(scan.name for scan in SCANS)
    assert all(not outcome.code for outcome in seen)


def test_outcomes_are_recorded_one_at_a_time_and_a_failure_there_ends_all_threads() -> None:
    at_work: list[str] = []

    def record(outcome: Outcome) -> None:
        assert at_work == []
        at_work.append(outcome.scan.name)
        threading.Event().wait(0.002)
        at_work.pop()
        if outcome.scan.name == "c7":
            raise ResourceError("full", code="DISK_FULL")

    with pytest.raises(ResourceError):
        run(SCANS, Work(nothing, nothing, nothing), record, slots=7)


def test_a_reader_that_finds_nothing_left_does_not_keep_the_others_from_ending() -> None:
    seen: list[Outcome] = []
    for count in range(4):
        run(SCANS[:count], Work(nothing, nothing, nothing), seen.append, slots=9)
    assert len(seen) == 0 + 1 + 2 + 3
