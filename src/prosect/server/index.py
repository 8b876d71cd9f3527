"""What a server knows of scans and sessions after a restart: one small file, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prosect.errors import FormatError
from prosect.io.atomic import write_atomically

__all__ = ["Index", "ScanEntry", "SessionEntry", "read_index", "write_index"]

FORMAT = "prosect-server"
VERSION = 1


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
    if not path.exists():
        return Index()
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        if (said["format"], said["version"]) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        scans = [ScanEntry(**each) for each in said["scans"]]
        sessions = [SessionEntry(**{**each, "hidden": tuple(each["hidden"])}) for each in said["sessions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path.name}: the list of scans and sessions is damaged ({error}). Move it away to begin a new one; the "
            "journals beside it stay as they are.",
            code="INDEX_DAMAGED",
        ) from error
    return Index({each.identity: each for each in scans}, {each.identity: each for each in sessions})


def write_index(path: Path, index: Index) -> None:
    """Write the index, whole or not at all."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "scans": [asdict(entry) for entry in index.scans.values()],
        "sessions": [asdict(entry) for entry in index.sessions.values()],
    }
    write_atomically(path, [json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"])
