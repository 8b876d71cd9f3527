"""The scans and sessions of a server: opened, remembered over restarts, suspended when room is wanted, ended.

State: the index, and the sessions that are in memory. Everything here blocks, so it is called from worker threads.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from prosect.errors import FormatError, OutputError, PromptError, ProsectError, ResourceError
from prosect.models.resuming import resume
from prosect.server.damaged import notes_on, set_aside
from prosect.server.index import Index, ScanEntry, SessionEntry, read_index, write_index
from prosect.server.kept import Kind
from prosect.server.live import LiveSession, session_bytes
from prosect.server.paths import Roots
from prosect.server.scans import OpenScan, Reader, Scans
from prosect.server.seats import Seats
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf
from prosect.session import Session

__all__ = ["Library", "delete_upload"]

MODELS = Kind("prosect-models", 1, "the list of models")
SHARE_FOR_SCANS = 2  # half of the memory is for scans, the rest for masks, features and the model


class Library:
    """Scans and sessions.

    Args:
        settings: Folders and limits.
        shelf: Models; one answers the clicks of all sessions.
        read: Reads a scan; `prosect.read`.
        now: Seconds since 1970, for what is written.
        clock: Seconds that only grow, for who was used last.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        read: Reader,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.settings, self.shelf = settings, shelf
        self.roots = Roots(settings.roots)
        self.scans = Scans(read, settings.memory_bytes // SHARE_FOR_SCANS, settings.max_voxels)
        self._now, self._clock = now, clock
        self._started = (now(), clock())
        for folder in (settings.work, self.uploads, self.journals):
            make_private(folder)
        self._index = read_index(self._index_file)
        self.seats = Seats(settings.work / "seats.json", now, clock)
        self._live: dict[str, LiveSession] = {}
        self._lock = threading.Lock()

    @property
    def uploads(self) -> Path:
        """Folder of uploaded files."""
        return self.settings.work / "uploads"

    @property
    def journals(self) -> Path:
        """Folder of the sessions' journals."""
        return self.settings.work / "journals"

    @property
    def _models_file(self) -> Path:
        return self.settings.work / "models.json"

    @property
    def _index_file(self) -> Path:
        return self.settings.work / "index.json"

    # Models

    def kept_models(self) -> dict[str, Path]:
        """Return where the weights lie that clients have sent, by the name of the model."""
        files = MODELS.read(self._models_file, lambda document: dict(document["files"])) or {}
        places = {name: self.uploads / file for name, file in files.items()}
        return {name: path for name, path in places.items() if path.exists()}

    def keep_model(self, name: str, path: Path) -> None:
        """Remember weights that a client has sent, over restarts too; an earlier file of that name is deleted."""
        with self._lock:
            kept = self.kept_models()
            older = kept.get(name)
            kept[name] = path
            files = {key: each.relative_to(self.uploads).as_posix() for key, each in kept.items()}
            MODELS.write(self._models_file, {"files": files})
        if older is not None and older != path:
            delete_upload(older, self.uploads)

    # Scans

    def open_scan(self, root: str, relative: str, series: str | None = None) -> OpenScan:
        """Open a scan below a root; the same file is the same scan.

        Raises:
            ProsectError: The path is refused (see `Roots.path`) or the scan cannot be read.
        """
        path = self.roots.path(root, relative)
        known = [e for e in self._index.scans.values() if (e.path, e.series) == (str(path), series)]
        if known:
            try:
                return self.scans.open(known[0])
            except FormatError as error:
                if error.code != "SCAN_CHANGED":
                    raise
        return self._opened(ScanEntry(new_identity(), path.name, str(path), series))

    def keep_upload(self, path: Path, name: str, series: str | None = None) -> OpenScan:
        """Open a scan that was uploaded; the server owns its file, and deletes what is no scan.

        Raises:
            ProsectError: It cannot be read; see `prosect.read`.
        """
        try:
            return self._opened(ScanEntry(new_identity(), name, str(path), series, uploaded=True))
        except ProsectError:
            # Also where a series is to be chosen: nothing would name the files any more, so they are sent again.
            delete_upload(path, self.uploads)
            raise

    def _opened(self, entry: ScanEntry) -> OpenScan:
        scan = self.scans.open(entry)
        # From now on the file must stay what it is: sessions refer to its voxels.
        kept = replace(entry, sha256=scan.volume.source.sha256)
        with self._lock:
            self._save(self._index.with_scan(kept))
        return self.scans.keep(replace(scan, entry=kept))

    def scan(self, identity: str) -> OpenScan:
        """Return a scan by its identity.

        Raises:
            FormatError: There is none (`SCAN_UNKNOWN`), or it cannot be read again.
        """
        entry = self._index.scans.get(identity)
        if entry is None:
            raise FormatError(f"There is no scan '{identity:.40}' here; open it anew.", code="SCAN_UNKNOWN")
        return self.scans.open(entry)

    def forget_scan(self, identity: str) -> None:
        """Let go of a scan, and delete its file where it was uploaded.

        Raises:
            FormatError: There is none (`SCAN_UNKNOWN`).
            PromptError: A session works on it (`SCAN_IN_USE`).
        """
        entry = self._index.scans.get(identity)
        if entry is None:
            raise FormatError(f"There is no scan '{identity:.40}' here.", code="SCAN_UNKNOWN")
        if self.works_on(identity):
            raise PromptError(f"A session works on {entry.name}; end it first.", code="SCAN_IN_USE")
        self.scans.drop(identity)
        with self._lock:
            self._save(self._index.without(identity))
        if entry.uploaded:
            delete_upload(Path(entry.path), self.uploads)

    def uploaded_scans(self) -> list[ScanEntry]:
        """Return the scans that clients sent."""
        return [each for each in self._index.scans.values() if each.uploaded]

    def works_on(self, scan: str) -> bool:
        """Return whether a session is on a scan, in memory or not."""
        return any(each.scan == scan for each in self._index.sessions.values())

    def place_of(self, path: Path) -> Path:
        """Return what lies in the folder of uploads and holds an uploaded file."""
        return self.uploads / path.relative_to(self.uploads).parts[0]

    def age_s(self, path: Path) -> float:
        """Return how long ago a file was written; 0 where it is gone.

        Files are deleted by it, so a clock that is set while the server runs must not make them old.
        """
        try:
            written = path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        began, clock = self._started
        since_start = self._clock() - clock
        return self._now() - written if written < began else min(self._now() - written, since_start)

    # Sessions

    def create_session(
        self, scan_id: str, overlap: str = "allow", near_miss_mm: float = 3.0, dialect: str = "native"
    ) -> LiveSession:
        """Begin a session on a scan, with the labels that the server was told to begin with there.

        Raises:
            ProsectError: There is no such scan or rule, or the labels do not fit the scan.
        """
        scan = self.scan(scan_id)
        labels = self.settings.labels.get((Path(scan.entry.path), scan.entry.series))
        entry = SessionEntry(new_identity(), scan_id, overlap, float(near_miss_mm), dialect, self._now())
        live = self._session_of(entry)
        try:
            with live.hold() as session:  # made now, so that a wrong rule is refused before the session exists
                if labels is not None:
                    session.start_from(labels)
            with self._lock:
                self._save(self._index.with_session(entry))
                self._live[entry.identity] = live
        except BaseException:
            self._journal(entry).unlink(missing_ok=True)  # of a session that nobody will ever name
            raise
        return live

    def session(self, identity: str) -> LiveSession:
        """Return a session by its identity, in memory or not.

        Raises:
            PromptError: There is none (`SESSION_UNKNOWN`).
        """
        with self._lock:
            entry = self._index.sessions.get(identity)
            if entry is None:
                raise PromptError(f"There is no session '{identity:.40}' here.", code="SESSION_UNKNOWN")
            live = self._live.setdefault(identity, self._session_of(entry))
            live.touched = self._clock()
        return live

    def sessions(self) -> list[SessionEntry]:
        """Return all sessions, the newest first."""
        return sorted(self._index.sessions.values(), key=lambda entry: -entry.created)

    def scan_entry(self, identity: str) -> ScanEntry | None:
        """Return what the index says of a scan."""
        return self._index.scans.get(identity)

    def end_session(self, identity: str) -> None:
        """End a session and delete its journal; an upload that nobody else works on goes with it."""
        live = self.session(identity)
        entry = live.entry
        with live.hold():
            live.suspend()
        with self._lock:
            self._live.pop(identity, None)
            self._save(self._index.without(identity))
        self._journal(entry).unlink(missing_ok=True)
        scan = self._index.scans.get(entry.scan)
        if scan is not None and scan.uploaded and not self.works_on(entry.scan):
            self.forget_scan(entry.scan)

    def _session_of(self, entry: SessionEntry) -> LiveSession:
        journal = self._journal(entry)
        return LiveSession(
            entry, lambda: self.scan(entry.scan), lambda scan: self._revive(entry, scan), lambda: notes_on(journal)
        )

    def _revive(self, entry: SessionEntry, scan: OpenScan) -> Session:
        """Return a session from its journal, or a new one where there is no journal yet."""
        self._admit(entry.identity, scan)
        model = self.shelf.clicker()
        journal = self._journal(entry)
        if journal.exists():
            try:
                return resume(journal, scan.volume, model=model)
            except ProsectError:
                if not set_aside(journal):
                    raise
        if journal.exists():
            return resume(journal, scan.volume, model=model)
        session: Session = model.session(
            scan.volume, overlap=entry.overlap, near_miss_mm=entry.near_miss_mm, journal=journal
        )
        return session

    def _journal(self, entry: SessionEntry) -> Path:
        return self.journals / f"{entry.identity}.prosect.journal"

    def _admit(self, wanted: str, scan: OpenScan) -> None:
        """Make room for a session that comes into memory: those that were used longest ago are suspended.

        Raises:
            ResourceError: There is not enough even so (`MEMORY_EXHAUSTED`).
        """
        needed = session_bytes(scan)
        others = [each for each in self.live() if each.is_live and each.entry.identity != wanted]
        for each in sorted(others, key=lambda one: one.touched):
            if len(others) < self.settings.max_sessions and self._fits(others, needed):
                return
            if each.suspend():  # one that is at work stays
                others.remove(each)
        if not self._fits(others, needed):
            planned = self._planned_bytes(others) + needed
            raise ResourceError(
                f"This session needs the scan and about {needed >> 20} MiB; with it the server would hold "
                f"{planned >> 20} MiB, and it may use {self.settings.memory_bytes >> 20}. Try again when others have "
                "ended, or start it with a larger --memory.",
                code="MEMORY_EXHAUSTED",
            )

    @property
    def planned_bytes(self) -> int:
        """What all scans and sessions in memory take, as planned."""
        return self._planned_bytes(self.live())

    def _fits(self, sessions: list[LiveSession], needed: int) -> bool:
        return self._planned_bytes(sessions) + needed <= self.settings.memory_bytes

    def _planned_bytes(self, sessions: list[LiveSession]) -> int:
        return self.scans.held_bytes + sum(each.planned_bytes for each in sessions)

    def live(self) -> list[LiveSession]:
        """Return the sessions that were used since the start."""
        with self._lock:
            return list(self._live.values())

    def keep_appearance(self, live: LiveSession, structure: str, colour: str | None, visible: bool | None) -> None:
        """Keep a colour or visibility that a person chose, over restarts too."""
        entry = live.appearance(structure, colour, visible)
        with self._lock:
            self._save(self._index.with_session(entry))
        live.entry = entry  # only now: a disk that is full refuses it, and then the page must not show it either

    def _save(self, index: Index) -> None:
        """Keep an index and bring it to the disk; called with the lock held."""
        write_index(self._index_file, index)
        self._index = index


def make_private(folder: Path) -> None:
    """Make a folder that others may not read.

    Raises:
        OutputError: That cannot be done (`OUTPUT_UNWRITABLE`).
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: the server cannot make its work folder there ({error.strerror}); choose another: --work DIR.",
            code="OUTPUT_UNWRITABLE",
        ) from error


def new_identity() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_urlsafe(16)


def delete_upload(path: Path, uploads: Path) -> None:
    """Delete an uploaded file or folder, and nothing outside the folder of uploads."""
    if uploads not in path.parents:
        return
    top = uploads / path.relative_to(uploads).parts[0]
    if top.is_dir():
        shutil.rmtree(top, ignore_errors=True)
    else:
        top.unlink(missing_ok=True)
