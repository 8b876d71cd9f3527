"""Whatever kills a run, the same command ends with the same files: none lost, none repeated that was finished."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.ledger import DONE, READING, REFUSED, SAVING, START, Ledger, history, open_ledger, replay
from prosect.cohort.local import segment_all
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import Outcome, Work
from prosect.cohort.plan import Plan, plan, refuse_changed_settings, refuse_inputs
from prosect.errors import FormatError, ProsectError, ResourceError
from prosect.io.atomic import write_atomically
from prosect.io.temporary import sweep

SETTINGS = {"model": "fake", "weights_sha256": "ab" * 32}
NOW = lambda: "now"  # noqa: E731


def planned(name: str) -> Sequence[str]:
    return (f"{name}.out", f"{name}/extra.out")


class Lab:
    """A folder of scans, a folder of results, and the same command as often as needed."""

    def __init__(self, root: Path, count: int = 4) -> None:
        self.inputs, self.out = root / "in", root / "out"
        self.inputs.mkdir()
        self.out.mkdir()
        for number in range(count):
            (self.inputs / f"c{number}").write_text(f"scan {number}")
        self.done: list[str] = []
        self.fail: dict[str, Exception] = {}

    @property
    def scans(self) -> list[Scan]:
        return [Scan(path.name, path, files=(path,)) for path in sorted(self.inputs.iterdir())]

    @property
    def ledger(self) -> Path:
        return self.out / "ledger.jsonl"

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.out.rglob("*") if path.is_file() and path != self.ledger)
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in found}

    def save(self, scan: Scan, volume: str, result: str) -> Mapping[str, Any]:
        if scan.name in self.fail:
            raise self.fail[scan.name]
        (self.out / scan.name).mkdir(exist_ok=True)
        places = [self.out / name for name in planned(scan.name)]
        for place in places:
            write_atomically(place, [place.name.encode(), result.encode()])
        return {"files": places}

    def work(self) -> Work[str, str]:
        return Work(lambda scan: scan.path.read_text(), lambda scan, volume: volume.upper(), self.save)

    def look(self, ledger: Ledger, settings: Mapping[str, Any], **options: Any) -> Plan:
        return plan(self.scans, self.out, ledger.history(settings), planned, **options)

    def run(self, settings: Mapping[str, Any] = SETTINGS, **options: Any) -> Plan:
        """Do what the command does, and remember which cases were segmented."""
        outcomes: list[Outcome] = []
        with open_ledger(self.ledger, NOW) as ledger:
            refuse_changed_settings(ledger.history(settings), settings, **options)
            found = self.look(ledger, settings, **options)
            segment_all(found, self.work(), ledger, self.out, settings, outcomes.append)
        self.done = [outcome.scan.name for outcome in outcomes]
        return found


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return a lab whose disk never waits: a crash is played by what the files hold, not by cutting the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return Lab(tmp_path)


def test_a_second_run_does_nothing(lab: Lab) -> None:
    lab.run()
    assert lab.done == ["c0", "c1", "c2", "c3"]
    before = lab.files()
    assert len(lab.run().finished) == 4
    assert lab.done == []
    assert lab.files() == before


@pytest.mark.parametrize("landed", ["all that could be", "as little as could be"])
def test_from_a_ledger_cut_anywhere_the_run_ends_with_the_same_files(lab: Lab, landed: str) -> None:
    """At each cut, the files there are those that a crash at that moment can leave behind."""
    lab.run()
    whole, content = lab.files(), lab.ledger.read_bytes()
    ends = [place + near for place, byte in enumerate(content) if byte == 10 for near in (-1, 0, 1)]
    for length in sorted({*range(0, len(content), 11), *ends}):
        events = replay(content[:length])
        names = {e["case"] for e in events if e["event"] == (SAVING if landed.startswith("all") else DONE)}
        finished = {e["case"] for e in events if e["event"] == DONE}
        lab.ledger.write_bytes(content[:length])
        for name in whole:
            (lab.out / name).unlink(missing_ok=True)
            if name.partition(".")[0].partition("/")[0] in names:
                (lab.out / name).write_bytes(whole[name])
        lab.run()
        assert lab.files() == whole, f"cut at byte {length}"
        assert sorted(lab.done) == sorted({"c0", "c1", "c2", "c3"} - finished)


def test_a_half_written_case_is_done_again_over_its_own_files(lab: Lab) -> None:
    lab.run()
    whole = lab.files()
    events = replay(lab.ledger.read_bytes())
    keep = next(n for n, e in enumerate(events) if e["event"] == DONE and e["case"] == "c3")
    lab.ledger.write_bytes(b"\n".join(lab.ledger.read_bytes().split(b"\n")[:keep]) + b"\n")
    (lab.out / "c3.out").write_bytes(b"older")
    (lab.out / "c3" / "extra.out").unlink()
    lab.run()
    assert lab.done == ["c3"]
    assert lab.files() == whole


def test_a_missing_file_is_made_again_and_a_changed_one_is_left_alone(lab: Lab) -> None:
    lab.run()
    whole = lab.files()
    (lab.out / "c1.out").unlink()
    (lab.out / "c2.out").write_bytes(b"corrected by hand")
    found = lab.run()
    assert lab.done == ["c1"]
    assert [scan.name for scan in found.changed] == ["c2"]
    assert lab.files() == {**whole, "c2.out": b"corrected by hand"}
    lab.run(overwrite=True)
    assert lab.done == ["c2"]
    assert lab.files() == whole


def test_a_replaced_input_is_done_again(lab: Lab) -> None:
    lab.run()
    (lab.inputs / "c1").write_text("a new scan")
    found = lab.run()
    assert lab.done == ["c1"]
    assert [scan.name for scan in found.again] == ["c1"]
    assert lab.files()["c1.out"].endswith(b"A NEW SCAN")


def test_a_new_input_is_added(lab: Lab) -> None:
    lab.run()
    (lab.inputs / "c9").write_text("late")
    lab.run()
    assert lab.done == ["c9"]


def test_a_refused_case_is_tried_again_and_then_finished(lab: Lab) -> None:
    lab.fail["c1"] = FormatError("bad", code="OUTPUT_UNSUPPORTED")
    lab.run()
    with open_ledger(lab.ledger, NOW) as ledger:
        assert set(ledger.history(SETTINGS).done) == {"c0", "c2", "c3"}
        assert ledger.history(SETTINGS).refused["c1"]["code"] == "OUTPUT_UNSUPPORTED"
    lab.fail.clear()
    lab.run()
    assert lab.done == ["c1"]
    with open_ledger(lab.ledger, NOW) as ledger:
        assert set(ledger.history(SETTINGS).done) == {"c0", "c1", "c2", "c3"}
        assert not ledger.history(SETTINGS).refused


def test_after_a_full_disk_the_same_command_goes_on(lab: Lab) -> None:
    lab.fail["c2"] = ResourceError("full", code="DISK_FULL")
    with pytest.raises(ResourceError):
        lab.run()
    lab.fail.clear()
    lab.run()
    assert lab.done == ["c2", "c3"]
    assert len(lab.files()) == 8


def test_files_of_someone_else_are_in_the_way_unless_they_may_be_replaced(lab: Lab) -> None:
    (lab.out / "c2.out").write_bytes(b"precious")
    with pytest.raises(FormatError, match=r"c2\.out") as refused:
        lab.run()
    assert refused.value.code == "OUTPUT_EXISTS"
    assert lab.files() == {"c2.out": b"precious"}
    lab.run(overwrite=True)
    assert len(lab.done) == 4


def test_other_settings_are_refused_with_what_differs_or_do_all_anew(lab: Lab) -> None:
    lab.run()
    other = {**SETTINGS, "model": "larger"}
    with pytest.raises(FormatError, match="model was fake and is larger") as refused:
        lab.run(other)
    assert refused.value.code == "COHORT_CHANGED"
    assert "weights" not in str(refused.value)
    lab.run(other, overwrite=True)
    assert len(lab.done) == 4
    lab.run(other, overwrite=True)
    assert lab.done == [], "the same command again has nothing to do"


def test_an_interrupted_overwrite_goes_on_where_it_was(lab: Lab) -> None:
    lab.run()
    other = {**SETTINGS, "model": "larger"}
    lab.fail["c2"] = ResourceError("full", code="DISK_FULL")
    with pytest.raises(ResourceError):
        lab.run(other, overwrite=True)
    lab.fail.clear()
    lab.run(other)
    assert lab.done == ["c2", "c3"]


def test_settings_may_change_while_nothing_is_done(lab: Lab) -> None:
    lab.fail = {f"c{n}": FormatError("bad", code="INPUT_CORRUPT") for n in range(4)}
    with open_ledger(lab.ledger, NOW) as ledger:
        ledger.append(START, settings={"model": "wrong"}, pid=1)
    lab.run()
    assert len(lab.done) == 4


def test_a_ledger_that_lost_its_beginning_still_tells_which_settings_a_case_was_done_with(lab: Lab) -> None:
    lab.run()
    lab.ledger.write_bytes(lab.ledger.read_bytes().split(b"\n", 1)[1])
    lab.run()
    assert lab.done == []
    lab.run({**SETTINGS, "model": "larger"}, overwrite=True)
    assert len(lab.done) == 4


def test_the_ledger_names_the_case_before_its_first_file_and_done_after_its_last(lab: Lab) -> None:
    seen: list[tuple[str, bool]] = []
    original = lab.save

    def save(scan: Scan, volume: str, result: str) -> Mapping[str, Any]:
        known = history(replay(lab.ledger.read_bytes()), SETTINGS)
        seen.append((scan.name, scan.name in known.begun and scan.name not in known.done))
        return original(scan, volume, result)

    lab.save = save  # type: ignore[method-assign]
    lab.run()
    assert seen == [(f"c{n}", True) for n in range(4)]


def test_no_link_from_the_results_to_a_scan_is_followed(lab: Lab) -> None:
    os.link(lab.inputs / "c1", lab.out / "c3.out")
    with pytest.raises(ProsectError) as refused:
        refuse_inputs(lab.scans, lab.out, planned)
    assert refused.value.code == "OUTPUT_IS_INPUT"


def test_temporary_files_of_the_dead_are_swept_and_those_of_the_living_stay(lab: Lab) -> None:
    dead, own, living = 2**22 + 5, os.getpid(), os.getppid()
    for number in (dead, own, living):
        (lab.out / f".c1.out.tmp-{number}-0000").touch()
    (lab.out / ".notes.tmp").touch()
    (lab.out / f".c2.tmp-{dead}-0000").mkdir()
    (lab.out / f".c2.tmp-{dead}-0000" / "liver.out").touch()
    assert sweep([lab.out, lab.out / "missing"]) == 3
    assert {path.name for path in lab.out.iterdir()} == {f".c1.out.tmp-{living}-0000", ".notes.tmp"}


def test_an_interrupt_leaves_a_ledger_that_the_next_run_goes_on_from(lab: Lab) -> None:
    work, reached = lab.work(), threading.Event()

    def compute(scan: Scan, volume: str) -> str:
        if scan.name == "c2":
            reached.set()
            raise KeyboardInterrupt
        return volume.upper()

    interrupted, everything = Work(work.read, compute, work.save), Plan(tuple(lab.scans), (), (), (), ())
    with open_ledger(lab.ledger, NOW) as ledger, pytest.raises(KeyboardInterrupt):
        segment_all(everything, interrupted, ledger, lab.out, SETTINGS, lambda outcome: None)
    assert reached.is_set()
    with open_ledger(lab.ledger, NOW) as ledger:
        finished = set(ledger.history(SETTINGS).done)
    lab.run()
    assert set(lab.done) == {"c0", "c1", "c2", "c3"} - finished
    assert finished <= {"c0", "c1"}
    assert len(lab.files()) == 8


def test_what_was_at_work_when_a_run_died_is_done_last_and_alone(lab: Lab) -> None:
    with open_ledger(lab.ledger, NOW) as ledger:
        ledger.append(START, settings=SETTINGS, pid=1)
        ledger.append(READING, case="c0")
        ledger.append(READING, case="c1")
        ledger.append(REFUSED, case="c1", settings="", code="X")
    found = lab.run()
    assert [scan.name for scan in found.alone] == ["c0"]
    assert lab.done == ["c1", "c2", "c3", "c0"]


def test_what_was_at_work_when_a_run_was_stopped_in_order_is_no_suspect(lab: Lab) -> None:
    lab.fail["c1"] = ResourceError("full", code="DISK_FULL")
    with pytest.raises(ResourceError):
        lab.run()
    lab.fail.clear()
    assert lab.run().alone == ()
    assert lab.done == ["c1", "c2", "c3"]


def test_a_finished_case_killed_while_it_was_written_anew_is_written_once_more(lab: Lab) -> None:
    lab.run()
    (lab.inputs / "c1").write_text("a new scan")
    with open_ledger(lab.ledger, NOW) as ledger:
        ledger.append(START, settings=SETTINGS, pid=1)
        ledger.append(SAVING, case="c1", settings=ledger.events[-2]["settings"])
    (lab.out / "c1.out").write_bytes(b"c1.outA NEW SCAN")
    found = lab.run()
    assert found.changed == ()
    assert lab.done == ["c1"]
    assert {lab.files()[name][-10:] for name in planned("c1")} == {b"A NEW SCAN"}
