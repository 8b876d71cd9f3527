"""Workers that share a folder do every case once between them, whatever ends one of them."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.ledger import DONE, OVERDUE, READING, REFUSED, RETRY, SAVING, START, STOPPED, digest
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import Outcome, Work
from prosect.cohort.places import FolderPlace
from prosect.cohort.retrying import retry
from prosect.cohort.sharing import Part, SharedWork, order_of
from prosect.cohort.store import FolderStore, read_all_events
from prosect.cohort.union import MOST_ATTEMPTS, Union
from prosect.errors import FormatError, OutputError, ResourceError
from prosect.io.line_log import open_log

SETTINGS = {"model": "fake"}
MINE = digest(SETTINGS)


class Killed(BaseException):
    """Stands for a kill: no handler of the worker sees it."""


@dataclass
class Lab:
    """A folder of scans, a folder of results, and as many workers as a test wants."""

    root: Path
    count: int = 6
    bad: dict[str, Exception] = field(default_factory=dict)
    on_compute: Callable[[Scan], None] = lambda scan: None
    computed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out = self.root / "out"
        self.out.mkdir()
        (self.root / "in").mkdir()
        for number in range(self.count):
            (self.root / "in" / f"c{number}").write_text(f"scan {number}")

    @property
    def scans(self) -> list[Scan]:
        return [Scan(path.name, path, files=(path,)) for path in sorted((self.root / "in").iterdir())]

    def store(self, name: str, lease_s: float = 300.0) -> FolderStore:
        return FolderStore(self.out, name, lease_s)

    def work(self, store: FolderStore) -> Work[str, str]:
        def compute(scan: Scan, volume: str) -> str:
            self.on_compute(scan)
            self.computed.append(scan.name)
            if scan.name in self.bad:
                raise self.bad[scan.name]
            return volume.upper()

        def save(scan: Scan, volume: str, result: str) -> Mapping[str, Any]:
            place = store.work / f"{scan.name}.out"
            place.write_text(result)
            return {"files": [place], "structures": 1}

        return Work(lambda scan: scan.path.read_text(), compute, save)

    def shared(self, store: FolderStore, append: Any, **options: Any) -> SharedWork[str, str]:
        return SharedWork(
            order_of(self.scans, options.pop("part", Part())), self.work(store), store, append, MINE,
            planned=lambda name: [f"{name}.out"], now=lambda: "now", sleep=options.pop("sleep", lambda s: None),
            **{"watch": lambda outcome: None, **options},
        )  # fmt: skip

    def run(self, name: str = "w", lease_s: float = 300.0, **options: Any) -> bool:
        """Do what one worker does, from its start to its end."""
        store = self.store(name, lease_s)
        with store.open_ledger() as append:
            append({"event": START, "time": "now", "settings": SETTINGS})
            return self.shared(store, append, **options).run()

    def die(self, name: str, *cases: str, alone: bool = False, lease_s: float = 300.0) -> None:
        """Leave what a worker leaves that is killed while it has these cases."""
        store = self.store(name, lease_s)
        with open_log(self.out / "cohort_ledger.d" / f"{name}.jsonl", needs_lock=False) as log:
            assert log is not None
            log.append({"event": START, "time": "now", "settings": SETTINGS})
            for case in cases:
                assert store.claims.take(case)
                log.append({"event": READING, "time": "now", "case": case, "alone": alone})
        (store.work / "half.out").write_text("half")

    def free(self, name: str) -> None:
        """Let the claims of a dead worker go, as after its lease."""
        self.store("undertaker").claims.break_claims(name)

    def results(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.out.glob("*.out"))}

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_all_events(self.out) if event["event"] == kind]

    def cases(self, kind: str) -> list[str]:
        return sorted(event["case"] for event in self.events(kind))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return Lab(tmp_path)


ALL = [f"c{n}" for n in range(6)]
WHOLE = {f"c{n}.out": f"SCAN {n}" for n in range(6)}


def test_one_worker_does_every_case_and_leaves_nothing_behind(lab: Lab) -> None:
    assert lab.run()
    assert lab.results() == WHOLE
    assert lab.cases(DONE) == ALL
    shared = lab.out / "cohort_ledger.d"
    assert list((shared / "claims").iterdir()) == []
    assert list((shared / "work").iterdir()) == []


def test_two_workers_at_once_share_the_cases_and_do_none_twice(lab: Lab) -> None:
    ends: dict[str, bool] = {}
    lab.on_compute = lambda scan: time.sleep(0.01)

    def work(name: str, number: int) -> None:
        ends[name] = lab.run(name, part=Part(number, 2), sleep=time.sleep, poll_s=0.005)

    threads = [threading.Thread(target=work, args=(f"w{n}", n)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ends == {"w1": True, "w2": True}
    assert lab.cases(DONE) == ALL
    assert lab.results() == WHOLE


def test_a_part_is_a_preference_and_its_owner_goes_on_with_the_cases_of_others(lab: Lab) -> None:
    own = [order_of(lab.scans, Part(number, 3)) for number in (1, 2, 3)]
    assert all(sorted(scan.name for scan in order) == ALL for order in own)
    firsts = [order[0].name for order in own]
    assert len(set(firsts)) == 3, "each begins somewhere else"
    alone = order_of([lab.scans[0], *lab.scans[3:]], Part(2, 3))
    expected = [scan.name for scan in own[1] if scan.name not in ("c1", "c2")]
    assert [scan.name for scan in alone] == expected, "other scans do not move a scan into another part"


def test_the_results_of_a_dead_worker_are_finished_by_another_after_its_claims_lapse(lab: Lab) -> None:
    lab.die("dead", "c0", "c1")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        lab.free("dead")

    assert lab.run(sleep=wait)
    assert len(waits) == 1, "it waits for a claim that may still be somebody's, and no longer"
    assert lab.results() == WHOLE
    alone = {event["case"]: event["alone"] for event in lab.events(READING) if event["alone"]}
    assert sorted(alone) == ["c0", "c1"], "cases that a worker may have died of are done alone"
    assert lab.computed[-2:] == ["c0", "c1"]


def test_a_poison_case_is_given_up_after_three_attempts_alone_and_its_neighbours_are_done(lab: Lab) -> None:
    lab.die("w0", "c2", "c3")  # in company: nobody knows which it was
    lab.free("w0")
    for number in range(1, MOST_ATTEMPTS):
        lab.die(f"w{number}", "c2", alone=True)
        lab.free(f"w{number}")
    assert lab.run("still tries")
    assert "c2.out" in lab.results(), "two deaths alone are not enough"


def test_three_deaths_alone_are_enough(lab: Lab) -> None:
    for number in range(MOST_ATTEMPTS):
        lab.die(f"w{number}", "c2", alone=True)
        lab.free(f"w{number}")
    outcomes: list[Outcome] = []
    assert lab.run("last", watch=outcomes.append)
    assert lab.cases(REFUSED) == ["c2"]
    assert sorted(lab.results()) == sorted(set(WHOLE) - {"c2.out"})
    given_up = next(outcome for outcome in outcomes if outcome.code)
    assert given_up.code == "CASE_QUARANTINED"
    assert "3 workers" in given_up.message


def test_a_refusal_is_an_outcome_that_no_other_worker_tries_again(lab: Lab) -> None:
    lab.bad["c1"] = FormatError("no image", code="INPUT_TRUNCATED")
    assert lab.run("first")
    assert lab.run("second")
    assert lab.computed.count("c1") == 1
    assert [event["code"] for event in lab.events(REFUSED)] == ["INPUT_TRUNCATED"]


def test_a_refused_case_whose_input_was_replaced_is_tried_again(lab: Lab) -> None:
    lab.bad["c1"] = FormatError("no image")
    lab.run("first")
    lab.bad.clear()
    (lab.root / "in" / "c1").write_text("scan one")
    assert lab.run("second")
    assert lab.results()["c1.out"] == "SCAN ONE"


def test_a_pardoned_case_is_tried_again(lab: Lab) -> None:
    lab.bad["c1"] = FormatError("no image")
    lab.run("first")
    lab.bad.clear()
    with open_log(lab.out / "cohort_ledger.d" / "retry.jsonl", needs_lock=False) as log:
        assert log is not None
        seen = {"first.jsonl": len(read_all_events(lab.out))}
        log.append({"event": RETRY, "time": "now", "cases": ["c1"], "seen": seen})
    assert lab.run("second")
    assert lab.results() == WHOLE


def test_a_case_too_large_beside_others_is_tried_again_alone_by_the_same_worker(lab: Lab) -> None:
    tried: list[str] = []

    def once(scan: Scan) -> None:
        if scan.name == "c1" and not tried:
            tried.append(scan.name)
            raise MemoryError

    lab.on_compute = once
    assert lab.run()
    assert lab.results() == WHOLE
    assert [event["alone"] for event in lab.events(READING) if event["case"] == "c1"] == [False, True]


def test_a_missing_result_is_made_again_and_a_changed_one_is_left_alone(lab: Lab) -> None:
    lab.run("first")
    (lab.out / "c1.out").unlink()
    (lab.out / "c2.out").write_text("corrected by hand")
    lab.computed.clear()
    store = lab.store("second")
    with store.open_ledger() as append:
        shared = lab.shared(store, append)
        assert shared.run()
    assert lab.computed == ["c1"]
    assert shared.changed == {"c2"}
    assert lab.results() == {**WHOLE, "c2.out": "corrected by hand"}


def test_a_ledger_that_cannot_be_read_is_refused_in_words(lab: Lab) -> None:
    (lab.out / "cohort_ledger.d" / "other.jsonl").mkdir(parents=True)
    with pytest.raises(FormatError) as refused:
        lab.run("w")
    assert refused.value.code == "INPUT_UNREADABLE"
    with pytest.raises(FormatError) as refused:
        FolderPlace(lab.out).ledgers()
    assert refused.value.code == "INPUT_UNREADABLE"
    assert lab.results() == {}


def test_a_file_server_that_does_not_rename_costs_a_case_its_turn_and_no_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(target).name == "c1.out":
            raise OSError(errno.ESTALE, "Stale file handle")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail)
    assert lab.run("w1")
    assert {event["case"]: event["code"] for event in lab.events(REFUSED)} == {"c1": "OUTPUT_UNWRITABLE"}
    monkeypatch.setattr(os, "replace", rename)
    retry(FolderPlace(lab.out))
    assert lab.run("w2")
    assert lab.results() == WHOLE


def test_a_scan_that_is_replaced_while_it_is_computed_is_done_again(lab: Lab) -> None:
    def replace_first(scan: Scan) -> None:
        if scan.name == "c0":
            scan.path.write_text("scan zero, replaced")

    lab.on_compute = replace_first
    assert lab.run("w1")
    assert lab.results()["c0.out"] == "SCAN 0"
    lab.on_compute = lambda scan: None
    assert lab.run("w2")
    assert lab.results()["c0.out"] == "SCAN ZERO, REPLACED"
    assert sorted(lab.computed) == sorted([*ALL, "c0"])


def test_workers_of_two_models_that_begin_at_once_never_mix_their_results(lab: Lab) -> None:
    """Neither had saved anything when the other looked at the folder."""
    other = lab.store("other")
    with other.open_ledger() as append:
        append({"event": START, "time": "now", "settings": {"model": "another"}})

        def other_saves(_scan: Scan) -> None:
            append({"event": SAVING, "time": "now", "case": "c5", "settings": digest({"model": "another"})})

        lab.on_compute = other_saves
        with pytest.raises(FormatError) as refused:
            lab.run("w")
    assert refused.value.code == "COHORT_CHANGED"
    assert lab.results() == {}
    assert lab.store("look").stop_reason() is None, "the other one may go on"
    assert lab.store("look").claims.held() == ()


def test_a_folder_that_was_done_anew_for_something_else_is_no_mixture() -> None:
    union = Union(MINE)
    before = {"event": SAVING, "case": "c0", "settings": digest({"model": "older"})}
    union.add("l", [{"event": START, "settings": {"model": "older"}}, before])
    assert union.others == {"l"}
    union.add("l", [{"event": START, "settings": SETTINGS}, {**before, "settings": MINE}])
    assert union.others == set()


def test_a_file_that_no_worker_wrote_is_not_replaced(lab: Lab) -> None:
    (lab.out / "c3.out").write_text("somebody's")
    assert lab.run()
    assert lab.results()["c3.out"] == "somebody's"
    assert [(event["case"], event["code"]) for event in lab.events(REFUSED)] == [("c3", "OUTPUT_EXISTS")]


def test_an_interrupt_gives_everything_back_and_holds_nothing_against_the_cases(lab: Lab) -> None:
    def interrupt(scan: Scan) -> None:
        if scan.name == "c2":
            raise KeyboardInterrupt

    lab.on_compute = interrupt
    with pytest.raises(KeyboardInterrupt):
        lab.run("first")
    assert len(lab.events(STOPPED)) == 1
    assert lab.store("look").claims.held() == ()
    lab.on_compute = lambda scan: None
    assert lab.run("second")
    assert lab.results() == WHOLE
    assert not [event for event in lab.events(READING) if event["alone"]]


def test_a_full_disk_asks_everyone_to_leave(lab: Lab) -> None:
    lab.bad["c1"] = ResourceError("the disk is full", code="DISK_FULL")
    with pytest.raises(ResourceError):
        lab.run("first")
    reason = lab.store("look").stop_reason()
    assert reason is not None
    assert "DISK_FULL" in reason
    before = len(lab.computed)
    assert not lab.run("second"), "it leaves before its first case"
    assert len(lab.computed) == before
    FolderPlace(lab.out).clear_stop()
    lab.bad.clear()
    assert lab.run("third")
    assert lab.results() == WHOLE


def test_a_second_finisher_with_equal_bytes_changes_nothing_and_one_with_others_is_refused(lab: Lab) -> None:
    """The worker is so slow that another takes its case over and finishes it first."""

    def overtaken(text: str) -> Callable[[Scan], None]:
        def overtake(scan: Scan) -> None:
            if scan.name != "c0" or lab.cases(DONE):
                return
            lab.free("slow")
            fast = lab.store("fast")
            with fast.open_ledger() as append:
                assert fast.claims.take("c0")
                (fast.work / "c0.out").write_text(text)
                (fast.work / "c0_report.json").write_text("{}")
                files = {name: fast.publish(name, None) for name in ("c0.out", "c0_report.json")}
                append({"event": "saving", "time": "now", "case": "c0", "settings": MINE})
                stamp = lab.scans[0].path.stat()
                source = {"series": None, "stamp": f"1:{stamp.st_size}:{stamp.st_mtime_ns}"}
                done = {"case": "c0", "settings": MINE, "files": files, "input": source}
                append({"event": DONE, "time": "now", **done})
                fast.claims.release("c0")

        return overtake

    lab.on_compute = overtaken("SCAN 0")
    assert lab.run("slow")
    first = lab.events(DONE)
    assert [event["case"] for event in first].count("c0") == 2
    assert lab.results() == WHOLE
    assert not lab.events(REFUSED)


def test_results_that_differ_between_workers_are_refused_and_the_first_stays(lab: Lab) -> None:
    store = lab.store("slow")
    (store.work / "c0.out").write_text("other")
    (lab.out / "c0.out").write_text("first")
    with pytest.raises(OutputError) as refused:
        store.publish("c0.out", {"bytes": 5, "sha256": "0" * 64})
    assert refused.value.code == "OUTPUT_DIFFERS"
    assert lab.results()["c0.out"] == "first"
    (store.work / "c0_report.json").write_text("other times")
    known = {"bytes": 2, "sha256": "0" * 64}
    assert store.publish("c0_report.json", known) == known


def test_a_case_that_hangs_is_charged_by_name_with_its_stacks(lab: Lab) -> None:
    store = lab.store("w")
    left: list[int] = []
    with store.open_ledger() as append:
        append({"event": START, "time": "now", "settings": SETTINGS})
        shared = lab.shared(store, append, case_time_s=0.01)
        shared.watchdog._leave = left.append
        store.claims.take("c1")
        store.claims.take("c2")
        append({"event": READING, "time": "now", "case": "c1", "alone": False})
        append({"event": READING, "time": "now", "case": "c2", "alone": False})
        with shared.watchdog.step("c1"):
            time.sleep(0.02)
            shared.watchdog.look()
    assert left == [75]
    assert [event["case"] for event in lab.events(OVERDUE)] == ["c1"]
    assert store.claims.held() == (), "others need not wait for the lease"
    stacks = (lab.out / "cohort_ledger.d" / "w.stacks").read_text()
    assert "c1" in stacks
    assert "shared.watchdog.look()" in stacks
    union = Union(MINE)
    union.add("w.jsonl", read_all_events(lab.out))
    assert union.attempts("c1") == (1, 1)
    assert union.attempts("c2") == (0, 0)


def test_a_run_that_works_alone_keeps_others_out(lab: Lab) -> None:
    with open_log(lab.out / "cohort_ledger.jsonl") as alone:
        assert alone is not None
        with pytest.raises(OutputError) as refused:
            lab.run()
    assert refused.value.code == "OUTPUT_LOCKED"


def test_a_line_that_is_being_written_is_read_when_it_is_whole(lab: Lab) -> None:
    store, slow_lines = lab.store("reader"), lab.out / "cohort_ledger.d" / "slow.jsonl"
    with open_log(slow_lines, needs_lock=False) as log:
        assert log is not None
        log.append({"event": START, "settings": SETTINGS})
        log.append({"event": READING, "case": "c0"})
    whole = slow_lines.read_bytes()
    slow_lines.write_bytes(whole[:-20])
    assert [len(events) for _, events in store.new_events()] == [1]
    slow_lines.write_bytes(whole)
    assert [[event["event"] for event in events] for _, events in store.new_events()] == [[READING]]
    assert list(store.new_events()) == []
