"""What a server knows of scans and sessions after a restart: one small file, replaced in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prosect.server.kept import Kind

__all__ = ["Index", "ScanEntry", "SessionEntry", "read_index", "write_index"]

INDEX = Kind("prosect-server", 1, "the list of scans and sessions")


@dataclass(frozen=True)
class ScanEntry:
    """A scan that was opened.

    Attributes:
        identity: Random; what clients call it.
        name: What people call it.
        path: Where it lies; never sent to a client.
        series: Which DICOM series.
        uploaded: Whether the server keeps the file and deletes it with its last session.
        sha256: Hash of its bytes, checked whenever it is read again.
    """

    identity: str
    name: str
    path: str
    series: str | None = None
    uploaded: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class SessionEntry:
    """A session that was begun.

    Attributes:
        identity: Random; what clients call it.
        scan: Identity of its scan.
        overlap: Its rule; see `Session`.
        near_miss_mm: See `Session`.
        dialect: Which protocol began it.
        created: Seconds since 1970.
        colours: Colours that a person chose, by structure, as `#rrggbb`.
        hidden: Structures that a person does not want to see.
    """

    identity: str
    scan: str
    overlap: str = "allow"
    near_miss_mm: float = 3.0
    dialect: str = "native"
    created: float = 0.0
    colours: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Index:
    """All that is known, by identity."""

    scans: Mapping[str, ScanEntry] = field(default_factory=dict)
    sessions: Mapping[str, SessionEntry] = field(default_factory=dict)

    def with_scan(self, entry: ScanEntry) -> Index:
        """Return the index with a scan added or replaced."""
        return replace(self, scans={**self.scans, entry.identity: entry})

    def with_session(self, entry: SessionEntry) -> Index:
        """Return the index with a session added or replaced."""
        return replace(self, sessions={**self.sessions, entry.identity: entry})

    def without(self, identity: str) -> Index:
        """Return the index without a scan or session."""
        scans = {key: value for key, value in self.scans.items() if key != identity}
        sessions = {key: value for key, value in self.sessions.items() if key != identity}
        return Index(scans, sessions)


def read_index(path: Path) -> Index:
    """Return the index in a file; an empty one where there is no file yet.

    Raises:
        FormatError: The file is damaged (`INDEX_DAMAGED`).
    """
    return INDEX.read(path, parse_index) or Index()


def parse_index(document: Mapping[str, Any]) -> Index:
    """Return the index in a kept file."""
    scans = [ScanEntry(**each) for each in document["scans"]]
    sessions = [SessionEntry(**{**each, "hidden": tuple(each["hidden"])}) for each in document["sessions"]]
    return Index({each.identity: each for each in scans}, {each.identity: each for each in sessions})


def write_index(path: Path, index: Index) -> None:
    """Write the index, whole or not at all."""
    scans = [asdict(entry) for entry in index.scans.values()]
    sessions = [asdict(entry) for entry in index.sessions.values()]
    INDEX.write(path, {"scans": scans, "sessions": sessions})
