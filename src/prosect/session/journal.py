"""The journal of a session: every action on disk before it takes effect, so that a kill loses nothing.

Its lines are those of `prosect.io.line_log`, the header first. One that was being written when the power failed is left
out; damage anywhere else is refused. `save` writes the same actions as one JSON document.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prosect.errors import SessionError
from prosect.io.atomic import write_atomically
from prosect.io.line_log import append_line, decode_lines, encode_line

__all__ = ["Journal", "Record", "begin_journal", "read_record", "refuse_other", "write_record"]

FORMAT = "prosect-session"
VERSION = 1
MAX_BYTES = 1 << 30
# What a user calls the parts of a header; the others are options of the session, by their own names.
WORDS = {"scan_sha256": "scan (its SHA-256)", "model": "model"}

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What a session file holds.

    Attributes:
        header: The scan's and the weights' hashes, and the parameters.
        entries: The actions in order.
        is_journal: Whether the file can be appended to.
    """

    header: Entry
    entries: tuple[Entry, ...]
    is_journal: bool = False


def refuse_other(record: Record, header: Entry) -> None:
    """Refuse a record of another scan, model or rule.

    Raises:
        SessionError: Something differs (`SESSION_OTHER`).
    """
    for key, value in header.items():
        recorded = record.header.get(key)
        if recorded == value:
            continue
        what = WORDS.get(key, f"option {key}")
        if isinstance(recorded, Mapping) and isinstance(value, Mapping):
            recorded, value = differing(recorded, value), differing(value, recorded)
        raise SessionError(
            f"The {what} differs: the session was recorded with {recorded!r:.90}, and {value!r:.90} "
            "was given. Resume it with the scan, the weights and the options that it was recorded with.",
            code="SESSION_OTHER",
        )


def differing(said: Entry, other: Entry) -> Entry:
    """Return what an entry says that another one does not say."""
    return {key: value for key, value in said.items() if other.get(key) != value}


class Journal:
    """A file that actions are appended to, each on disk before `append` returns.

    Args:
        path: The file; one that exists is replaced, in one step.
        header: See `Record`.
        entries: Actions that were done before.

    Raises:
        OutputError: The file cannot be written (`OUTPUT_UNWRITABLE`).
        ResourceError: The disk is full (`DISK_FULL`).
    """

    def __init__(self, path: Path, header: Entry, entries: Iterable[Entry] = ()) -> None:
        self.path = path
        write_atomically(path, (encode_line(each, allow_nan=False) for each in (stamp(header), *entries)))

    def append(self, entry: Entry) -> None:
        """Add an action and bring it to the disk."""
        append_line(self.path, entry, allow_nan=False)


def begin_journal(path: Path, header: Entry) -> Journal:
    """Return the journal of a new session.

    Raises:
        SessionError: There is a file already (`JOURNAL_EXISTS`), or it cannot be written.
    """
    if path.exists():
        raise SessionError(
            f"{path.name}: there is a session in this file already; go on with it by `prosect.resume`, or give another "
            "name.",
            code="JOURNAL_EXISTS",
        )
    return Journal(path, header)


def write_record(record: Record, path: Path) -> Path:
    """Write a session as one JSON document, whole or not at all, and return the path."""
    document = {**stamp(record.header), "entries": list(record.entries)}
    write_atomically(path, [json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"])
    return path


def read_record(path: str | os.PathLike[str]) -> Record:
    """Return the session in a journal or a saved document.

    Raises:
        SessionError: No session (`SESSION_FILE`), or damaged other than by a kill during the last line
            (`SESSION_DAMAGED`).
    """
    place = Path(path)
    try:
        if place.stat().st_size > MAX_BYTES:
            raise SessionError(f"{place.name}: too large for a session.", code="SESSION_FILE")
        content = place.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SessionError(f"{place.name}: the session cannot be read ({reason}).", code="SESSION_FILE") from error
    document = parse_json(content)
    is_journal = not (isinstance(document, dict) and "entries" in document)
    if not is_journal:
        entries = document.pop("entries")
        header = document
    else:
        header, *entries = lines_of(content, place.name) or [None]
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SessionError(f"{place.name}: this is no session of prosect.", code="SESSION_FILE")
    if header.get("version") != VERSION:
        found = f"{header.get('version')!r:.20}"
        raise SessionError(
            f"{place.name}: the session has version {found}; this program reads version {VERSION}.",
            code="SESSION_FILE",
        )
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SessionError(f"{place.name}: the actions of the session are damaged.", code="SESSION_DAMAGED")
    return Record(header, tuple(entries), is_journal)


def stamp(header: Entry) -> dict[str, Any]:
    """Return the header with format and version."""
    return {"format": FORMAT, "version": VERSION, **header}


def parse_json(content: bytes) -> Any:
    """Return JSON, or None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def lines_of(content: bytes, name: str) -> list[Any]:
    """Return the entries of a journal; a last line that is not whole is left out.

    Raises:
        SessionError: A line before the last is not whole (`SESSION_DAMAGED`).
    """
    lines = decode_lines(content)
    if lines.damaged:
        raise SessionError(
            f"{name}: line {lines.damaged[0]} of the session is damaged. Restore the file from a copy.",
            code="SESSION_DAMAGED",
        )
    return list(lines.entries)
