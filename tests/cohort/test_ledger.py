"""The ledger: what it says is whole, whatever happened to the file or to the process."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prosect.cohort.ledger import DONE, REFUSED, SAVING, START, Ledger, digest, history, open_ledger, replay
from prosect.errors import FormatError, ResourceError
from prosect.io.line_log import LogFile

NOW = lambda: "2020-01-01T00:00:00Z"  # noqa: E731
HOLD = """
import sys, time
from pathlib import Path
from prosect.cohort.ledger import open_ledger
with open_ledger(Path(sys.argv[1]), lambda: "now") as ledger:
    ledger.append("start", pid=4321, settings={})
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of a ledger on a disk that never waits."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return tmp_path / "ledger.jsonl"


def written(path: Path, count: int = 4) -> bytes:
    with open_ledger(path, NOW) as ledger:
        ledger.append(START, pid=1, settings={"model": "a"})
        for number in range(count):
            ledger.append(DONE, case=f"c{number} \u00e9\udc80", settings="x", note='"}{\n')
    return path.read_bytes()


def test_events_come_back_in_order_on_one_line_each(path: Path) -> None:
    content = written(path)
    assert content.count(b"\n") == 5
    events = replay(content)
    assert [event["event"] for event in events] == [START, DONE, DONE, DONE, DONE]
    assert events[1]["case"] == "c0 \u00e9\udc80"
    assert events[1]["note"] == '"}{\n'


def test_a_cut_at_any_byte_leaves_whole_events_and_the_next_ones_are_kept(path: Path) -> None:
    content = written(path)
    whole = replay(content)
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        with open_ledger(path, NOW) as ledger:
            kept = list(ledger.events)
            ledger.append(SAVING, case="new")
        # A line lacks nothing once its brace is there; the line feed only ends it.
        assert kept == whole[: len(kept)]
        assert len(kept) in (content[:length].count(b"\n"), content[: length + 1].count(b"\n"))
        assert [e["event"] for e in replay(path.read_bytes())] == [e["event"] for e in kept] + [SAVING]


def test_one_changed_bit_loses_at_most_two_lines_and_never_changes_one(path: Path) -> None:
    content = written(path)
    whole = replay(content)
    rng = random.Random(0)
    for place, bit in itertools.product(range(len(content)), [rng.randrange(8)]):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        kept = replay(bytes(damaged))
        assert len(kept) >= len(whole) - 2
        assert all(event in whole for event in kept)


def test_a_second_run_is_refused_with_the_number_of_the_first(path: Path) -> None:
    with open_ledger(path, NOW) as first:
        first.append(START, pid=4321, settings={})
        with pytest.raises(FormatError, match="4321") as refused, open_ledger(path, NOW):
            raise AssertionError
    assert refused.value.code == "OUTPUT_LOCKED"
    with open_ledger(path, NOW):
        pass


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_the_lock_ends_with_a_process_that_is_killed(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FormatError), open_ledger(path, NOW):
            raise AssertionError
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with open_ledger(path, NOW) as ledger:
        assert [event["event"] for event in ledger.events] == [START]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_a_typed_error(path: Path) -> None:
    with open_ledger(path, NOW) as ledger:
        full = LogFile(path, os.open("/dev/full", os.O_WRONLY))
        ledger = Ledger(full, ledger.events, NOW)
        with pytest.raises(ResourceError) as refused:
            ledger.append(START, settings={})
        full.close()
    assert not ledger.events
    assert refused.value.code == "DISK_FULL"


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as refused, open_ledger(tmp_path / "no" / "ledger", NOW):
        raise AssertionError
    assert refused.value.code == "OUTPUT_UNWRITABLE"


class TestHistory:
    """The last word on a case counts, under the settings of the last run."""

    SETTINGS = ({"model": "a"}, {"model": "b"})

    def event(self, kind: str, settings: int = 0, **what: object) -> dict[str, object]:
        return {"event": kind, "settings": digest(self.SETTINGS[settings]), **what}

    def start(self, settings: int = 0) -> dict[str, object]:
        return {"event": START, "settings": self.SETTINGS[settings]}

    def test_nothing_is_known_of_an_empty_ledger(self) -> None:
        known = history([], {})
        assert (known.settings, known.done, known.begun) == (None, {}, frozenset())

    def test_a_case_refused_and_then_done_is_done(self) -> None:
        events = [self.start(), self.event(REFUSED, case="a", code="X"), self.event(DONE, case="a")]
        assert set(history(events, self.SETTINGS[0]).done) == {"a"}
        assert not history(events, self.SETTINGS[0]).refused

    def test_a_case_begun_is_not_done(self) -> None:
        known = history([self.start(), self.event(SAVING, case="a")], self.SETTINGS[0])
        assert (set(known.done), known.begun) == (set(), {"a"})

    def test_what_was_done_under_other_settings_is_begun_only(self) -> None:
        events = [self.start(0), self.event(DONE, 0, case="a"), self.start(1), self.event(DONE, 1, case="b")]
        known = history(events, self.SETTINGS[1])
        assert known.settings == {"model": "b"}
        assert set(known.done) == {"b"}
        assert known.begun == {"a", "b"}
