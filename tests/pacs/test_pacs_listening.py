"""A node on loopback: what it takes, what its rule puts away, and what it says of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE

import prosect
from prosect.cohort.worker import Worker
from prosect.jobs.cohort import CohortJob
from prosect.pacs.inbox import Inbox
from prosect.pacs.listening import Listening, listen, serve_once
from prosect.pacs.sending import Node, send
from worlds.label_objects import labelled_series
from worlds.models import LiverEverywhere

ROOM = 1 << 30


@dataclass
class Clock:
    """A time that stands still unless it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return who segments what arrives."""
    (tmp_path / "out").mkdir()
    return Worker(CohortJob(input=tmp_path, output=tmp_path / "out", kinds=("dicom_seg",)), LiverEverywhere())


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return the slices of a series."""
    labelled_series(tmp_path / "ct", shape=(12, 10, 11))
    return sorted((tmp_path / "ct").iterdir())


def received(how: Listening, inbox: Inbox, files: list[Path], caller: str = "FRIEND") -> int:
    """Send files to a node and return how many it kept."""
    with listen(how, inbox) as port:
        return send(files, Node(how.title, "127.0.0.1", port), caller)


@pytest.fixture
def how() -> Listening:
    """Return a node on any free port."""
    return Listening(port=0, callers=("FRIEND",))


def test_a_series_is_complete_after_quiet_and_segmented(how, worker, files, tmp_path) -> None:
    clock, told = Clock(), []
    inbox = Inbox(tmp_path / "in", 30.0, ROOM, clock)
    assert received(how, inbox, files) == 11
    clock.now = 29.0
    assert serve_once(how, inbox, worker, told.append) == 0
    clock.now = 31.0
    assert serve_once(how, inbox, worker, told.append) == 1
    assert (told[0].files, told[0].state) == (11, "segmented")
    assert list((tmp_path / "in").iterdir()) == []
    (path,) = (tmp_path / "out").glob("*.dcm")
    assert prosect.read_labels(path, like=prosect.read(tmp_path / "ct")).names == {1: "liver"}


def test_what_a_killed_node_had_received_is_taken_up_and_half_a_file_is_not_left(how, worker, files, tmp_path) -> None:
    received(how, Inbox(tmp_path / "in", 0.0, ROOM, Clock()), files)
    (folder,) = (tmp_path / "in").iterdir()
    parts = folder.with_name(f"{folder.name}-2")
    parts.mkdir()
    first, *_ = sorted(folder.iterdir())
    first.rename(parts / first.name)
    (parts / "half.dcm").write_bytes(b"Secret^Name")
    told = []
    again = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    assert again.recover() == 1
    serve_once(how, again, worker, told.append)
    assert (told[0].files, told[0].state) == (11, "segmented")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("rule", [{"modalities": ("MR",)}, {"fewest": 12}])
def test_what_the_rule_does_not_name_is_put_away_and_said(rule, worker, files, tmp_path) -> None:
    told = []
    how = Listening(port=0, callers=("FRIEND",), **rule)
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    received(how, inbox, files)
    serve_once(how, inbox, worker, told.append)
    assert told[0].state == "put away"
    assert "the rule is" in told[0].message
    assert list((tmp_path / "out").iterdir()) == []


def test_a_series_that_cannot_be_read_is_refused_by_name_and_the_node_goes_on(how, worker, files, tmp_path) -> None:
    told = []
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    received(how, inbox, files[:4] + files[6:] + files[:1])
    serve_once(Listening(port=0, fewest=2), inbox, worker, told.append)
    assert told[0].state == "refused"
    assert "[DICOM_" in told[0].message
    assert "Secret" not in told[0].message


@pytest.mark.parametrize(("caller", "title"), [("STRANGER", "PROSECT"), ("FRIEND", "OTHER")])
def test_strangers_and_wrong_titles_are_turned_away(how, files, tmp_path, caller, title) -> None:
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, time.monotonic)
    with listen(how, inbox) as port, pytest.raises(prosect.ProsectError) as refused:
        send(files[:1], Node(title, "127.0.0.1", port), caller)
    assert refused.value.code == "PACS_UNREACHABLE"
    assert not (tmp_path / "in").exists()


def test_a_full_inbox_refuses_and_says_so_to_the_sender(how, files, tmp_path) -> None:
    inbox = Inbox(tmp_path / "in", 0.0, files[0].stat().st_size * 2, time.monotonic)
    with pytest.raises(prosect.ProsectError, match="0xA700") as refused:
        received(how, inbox, files)
    assert refused.value.code == "PACS_REFUSED"


def test_names_from_elsewhere_never_reach_the_disk(tmp_path) -> None:
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    assert not inbox.add("../../etc", "1.2", "CT", b"x")
    assert not inbox.add("1.2", "../passwd", "CT", b"x")
    assert inbox.add("1.2", "1.3", "CT", b"x")
    assert all(set(path.stem) <= set("0123456789abcdef") for path in (tmp_path / "in").rglob("*"))


def test_a_file_that_comes_twice_takes_room_and_counts_once(tmp_path) -> None:
    clock = Clock()
    inbox = Inbox(tmp_path / "in", 0.0, 25, clock)
    assert all(inbox.add("1.2", "1.3", "CT", b"0123456789") for _ in range(5))
    assert inbox.add("1.2", "1.4", "CT", b"0123456789")
    assert not inbox.add("1.2", "1.5", "CT", b"0123456789")
    (arrival,) = inbox.take_complete()
    assert arrival.files == 2
    inbox.release(arrival)
    assert inbox.add("1.9", "1.3", "CT", b"0" * 25), "all the room is free again"


def test_files_that_come_while_their_series_is_dealt_with_are_kept(tmp_path) -> None:
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    inbox.add("1.2", "1.3", "CT", b"early")
    (first,) = inbox.take_complete()
    inbox.add("1.2", "1.4", "CT", b"late")
    inbox.release(first)
    (second,) = inbox.take_complete()
    assert [path.read_bytes() for path in second.folder.iterdir()] == [b"late"]
    inbox.release(second)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_file_that_cannot_be_written_takes_no_room_and_ends_nothing(tmp_path, how, worker, monkeypatch) -> None:
    told = []
    inbox = Inbox(tmp_path / "in", 0.0, 10, Clock())
    (tmp_path / "in").write_text("a file where the folder is to be")
    with pytest.raises(prosect.ProsectError):
        inbox.add("1.2", "1.3", "CT", b"0123456789")
    assert serve_once(how, inbox, worker, told.append) == 1
    assert (told[0].files, told[0].state) == (0, "put away")
    (tmp_path / "in").unlink()
    assert inbox.add("1.2", "1.3", "CT", b"0123456789")


def test_a_bug_on_one_series_does_not_end_the_node_and_leaves_no_files(how, worker, files, tmp_path) -> None:
    told = []
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    received(how, inbox, files)

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Secret^Person")

    worker.model.segment = fail
    assert serve_once(how, inbox, worker, told.append) == 1
    assert (told[0].state, "INTERNAL_BUG" in told[0].message) == ("failed", True)
    assert "Secret" not in told[0].message
    assert list((tmp_path / "in").iterdir()) == []


def test_two_callers_at_once_and_one_that_breaks_off(how, worker, tmp_path) -> None:
    for name, uid in (("a", "1.2.3.41"), ("b", "1.2.3.42")):
        labelled_series(tmp_path / name, shape=(12, 10, 11), SeriesInstanceUID=uid)
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    entity = AE(ae_title="FRIEND")
    slices = [pydicom.dcmread(path) for path in sorted((tmp_path / "a").iterdir())]
    entity.add_requested_context(slices[0].SOPClassUID, slices[0].file_meta.TransferSyntaxUID)
    with listen(how, inbox) as port:
        first = entity.associate("127.0.0.1", port, ae_title=how.title)
        assert first.send_c_store(slices[0]).Status == 0
        # The second caller sends everything between two files of the first, which then breaks off and begins anew.
        assert send(sorted((tmp_path / "b").iterdir()), Node(how.title, "127.0.0.1", port), "FRIEND") == 11
        assert first.send_c_store(slices[1]).Status == 0
        first.abort()
        assert send(sorted((tmp_path / "a").iterdir()), Node(how.title, "127.0.0.1", port), "FRIEND") == 11
    told = []
    assert serve_once(how, inbox, worker, told.append) == 2
    assert [(one.files, one.state) for one in told] == [(11, "segmented"), (11, "segmented")]
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2


def test_a_port_that_is_taken_is_said(how, tmp_path) -> None:
    inbox = Inbox(tmp_path / "in", 0.0, ROOM, Clock())
    with (
        listen(how, inbox) as port,
        pytest.raises(prosect.ProsectError) as refused,
        listen(Listening(port=port), inbox),
    ):
        pass
    assert refused.value.code == "PORT_IN_USE"


@pytest.mark.parametrize("text", ["ORTHANC", "A=B", "A=b:0", "A=b:70000", "=b:1", "TOO-LONG-FOR-A-TITLE=b:1"])
def test_nodes_are_written_as_title_host_and_port(text) -> None:
    with pytest.raises(prosect.ProsectError, match="TITLE=HOST:PORT"):
        Node.parse(text)
    assert Node.parse("ORTHANC=10.0.0.7:4242") == Node("ORTHANC", "10.0.0.7", 4242)
