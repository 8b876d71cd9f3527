"""A log of lines: what is whole comes back, what is not is told, whatever wrote the file and however that ended."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosect.errors import FormatError, ProsectWarning, ResourceError
from prosect.io.line_log import append_line, decode_lines, encode_line, open_log, resume_log

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.lists(st.dictionaries(st.text(min_size=1), VALUES, min_size=1, max_size=4), max_size=5)


def log_of(*entries: dict[str, object]) -> bytes:
    return b"".join(encode_line(entry) for entry in entries)


@given(ENTRIES)
def test_entries_come_back_as_json_lines(entries: list[dict[str, object]]) -> None:
    content = b"".join(encode_line(entry) for entry in entries)
    assert decode_lines(content).entries == tuple(entries)
    for line, entry in zip(content.split(b"\n"), entries, strict=False):
        assert {**json.loads(line), **entry} == json.loads(line)


@given(ENTRIES, st.data())
def test_a_cut_leaves_whole_lines_and_no_damage(entries: list[dict[str, object]], data: st.DataObject) -> None:
    content = log_of(*entries)
    length = data.draw(st.integers(0, len(content)))
    lines = decode_lines(content[:length])
    assert lines.entries == tuple(entries)[: len(lines.entries)]
    assert not lines.damaged
    assert decode_lines(content[: lines.whole_bytes]).entries == lines.entries


def test_damage_in_the_middle_is_told_by_its_line() -> None:
    content = log_of({"a": 1}, {"a": 2}, {"a": 3}).replace(b'"a":2', b'"a":7')
    lines = decode_lines(content)
    assert lines.entries == ({"a": 1}, {"a": 3})
    assert lines.damaged == (2,)


def test_a_changed_line_is_damaged_even_where_lines_without_a_checksum_count() -> None:
    content = b'{"plain": 1}\n' + log_of({"a": 2}).replace(b'"a":2', b'"a":7')
    lines = decode_lines(content, unchecked=True)
    assert lines.entries == ({"plain": 1},)
    assert lines.damaged == (2,)
    assert not decode_lines(content).entries


def test_lines_of_earlier_journals_have_their_checksum_behind_a_tab() -> None:
    text = json.dumps({"action": "click", "at": [1, 2, 3]}, separators=(",", ":"))
    old = f"{text}\t{zlib.crc32(text.encode()):08x}\n".encode()
    lines = decode_lines(old + log_of({"action": "undo"}))
    assert lines.entries == ({"action": "click", "at": [1, 2, 3]}, {"action": "undo"})
    assert decode_lines(old.replace(b"click", b"clack")).damaged == (1,)


def test_a_line_is_added_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, {"a": 1})
    append_line(path, {"a": 2})
    assert decode_lines(path.read_bytes()).entries == ({"a": 1}, {"a": 2})


def test_a_line_that_does_not_reach_the_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    append_line(path, {"a": 1})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError) as caught:
        append_line(path, {"a": 2})
    assert caught.value.code == "DISK_FULL"
    assert path.read_bytes() == log_of({"a": 1})


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with open_log(path) as log:
        assert log is not None
        with open_log(path) as second:
            assert second is None
        with pytest.raises(FormatError) as caught:
            append_line(path, {"a": 1})
        log.append({"a": 2})
    assert caught.value.code == "OUTPUT_LOCKED"
    assert decode_lines(path.read_bytes()).entries == ({"a": 2},)


def test_a_closed_log_takes_nothing_more(tmp_path: Path) -> None:
    with open_log(tmp_path / "log") as log:
        assert log is not None
    with pytest.raises(FormatError):
        log.append({"a": 1})


@pytest.mark.parametrize("cut", [1, 2, 9, 20])
def test_the_next_line_takes_the_place_of_one_that_was_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log"
    content = log_of({"a": 1}, {"a": 2})[:-cut]
    path.write_bytes(content)
    with open_log(path) as log:
        assert log is not None
        log.repair(content, decode_lines(content))
        log.append({"a": 3})
    whole = ({"a": 1}, {"a": 2}) if cut == 1 else ({"a": 1},)
    lines = decode_lines(path.read_bytes())
    assert lines.entries == (*whole, {"a": 3})
    assert not lines.damaged


class TestResume:
    """A log that begins with the settings it was kept for."""

    SETTINGS: ClassVar = {"model": "a", "scans": 2}

    def test_a_new_one_holds_its_settings(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        assert resume_log(path, self.SETTINGS) == ()
        append_line(path, {"case": "one"})
        assert resume_log(path, self.SETTINGS) == ({"case": "one"},)

    def test_other_settings_are_refused_and_replaced_only_on_demand(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        resume_log(path, self.SETTINGS)
        append_line(path, {"case": "one"})
        before = path.read_bytes()
        with pytest.raises(FormatError) as caught:
            resume_log(path, {**self.SETTINGS, "scans": 3})
        assert caught.value.code == "RUN_CHANGED"
        assert path.read_bytes() == before
        assert resume_log(path, {**self.SETTINGS, "scans": 3}, overwrite=True) == ()

    def test_one_of_an_earlier_version_is_gone_on_with(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        lines = [json.dumps(self.SETTINGS), json.dumps({"case": "one", "dice": float("nan")}), '{"case": "cut']
        path.write_text("\n".join(lines))
        (kept,) = resume_log(path, self.SETTINGS)
        assert kept["case"] == "one"
        append_line(path, {"case": "two"})
        assert [line["case"] for line in resume_log(path, self.SETTINGS)] == ["one", "two"]

    def test_damage_is_warned_of_and_what_follows_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(log_of(self.SETTINGS, {"case": "one"}, {"case": "two"}).replace(b"one", b"0ne"))
        with pytest.warns(ProsectWarning, match="lines 2 were cut short or changed"):
            assert resume_log(path, self.SETTINGS) == ({"case": "two"},)
