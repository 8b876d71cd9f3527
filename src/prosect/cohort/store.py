"""Where the workers of one cohort meet: claims, a ledger of each worker, the results, and a word to stop.

A result is made in a folder of its worker's own and then published under its name in one step. So a case may be done
twice, by a worker that was taken for dead and by its successor, and there is still one result.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from prosect.cohort.claims import LEASE_S, Claims, FolderClaims
from prosect.cohort.ledger import Event, replay
from prosect.cohort.manifest import LEDGER
from prosect.cohort.plan import fingerprint
from prosect.errors import OutputError
from prosect.io.atomic import make_folder, output_error, sync_folder, write_atomically
from prosect.io.line_log import decode_lines, open_log
from prosect.io.paths import file_name, unreadable

__all__ = [
    "CLAIMS", "LINES", "SHARED", "STACKS", "STOP", "Append", "FolderStore", "Store",
    "own_worker_name", "read_all_events", "read_if_there", "refuse_other_bytes", "refuse_workers", "sweep_shared",
    "words_if_there",
]  # fmt: skip

# In the folder of the results: one ledger per worker, their claims, and what they have at work.
SHARED = "cohort_ledger.d"
CLAIMS, WORK, STOP, LINES, STACKS = "claims", "work", "STOP", ".jsonl", ".stacks"
# How often, and how far apart, a worker looks whether a run that does not share has the folder.
LOOKS, BETWEEN_LOOKS_S = 20, 0.05
# Tells of times, so that two workers' reports of one case differ.
REPORT_ENDING = "report.json"

Append = Callable[[Mapping[str, Any]], None]


class Store(Protocol):
    """What a worker needs of the place that all share.

    Attributes:
        worker: The name of this worker.
        claims: Its claims.
        work: A folder on this machine where it makes results.
    """

    worker: str
    claims: Claims
    work: Path

    def open_ledger(self) -> AbstractContextManager[Append]:
        """Yield what appends an event to this worker's ledger and waits until it is kept."""

    def new_events(self) -> Iterator[tuple[str, Sequence[Event]]]:
        """Yield, by ledger, the events that were not yielded before."""

    def publish(self, name: str, known: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give the file of this name in `work` its place, and return its size and SHA-256."""

    def states(self, files: Mapping[str, Any]) -> set[str]:
        """Return what the files of a finished case are: `same`, `changed`, `missing`."""

    def exists(self, name: str) -> bool:
        """Return whether there is a result of this name."""

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a result, whole or not at all."""

    def stop(self, reason: str) -> None:
        """Ask every worker to leave before its next case."""

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""

    def keep_stacks(self, text: str) -> None:
        """Keep what every thread was doing when a case took too long."""


def own_worker_name(now: datetime, role: str = "") -> str:
    """Return the name of a worker in this process, for its ledger and its claims; see `new_worker_name`.

    Args:
        now: When it starts.
        role: What sets it apart from another worker of this process.
    """
    return f"{new_worker_name(socket.gethostname(), os.getpid(), now)}{role}"


def new_worker_name(host: str, process: int, start: datetime) -> str:
    """Return a name that no other worker has: machine, process and the moment of its start."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in host)
    return f"{plain[:40]}-{process}-{start:%Y%m%dT%H%M%S%f}"


class FolderStore:
    """A folder that all workers can write, on one machine or a file server.

    Args:
        folder: The folder of the results.
        worker: The name of this worker; empty for one that only looks.
        lease_s: Seconds after which a claim that is not renewed is stale.
    """

    def __init__(self, folder: Path, worker: str, lease_s: float = LEASE_S) -> None:
        self.folder, self.worker = folder, worker
        self._shared = folder / SHARED
        self.work = self._shared / WORK / worker
        make_folder(self.work)
        self.claims: Claims = FolderClaims(self._shared / CLAIMS, worker, lease_s)
        self._read_bytes: dict[str, int] = {}

    @contextmanager
    def open_ledger(self) -> Iterator[Append]:
        """Yield what appends an event to this worker's ledger and waits until it is on the disk.

        Raises:
            OutputError: Another process segments this folder by itself (`OUTPUT_LOCKED`), or it cannot be written.
            ResourceError: The disk is full (`DISK_FULL`).
        """
        self._refuse_run_alone()
        with open_log(self._shared / f"{self.worker}{LINES}", needs_lock=False) as log:
            assert log is not None, "no other process has this name"
            try:
                yield log.append
            finally:
                shutil.rmtree(self.work, ignore_errors=True)

    def _refuse_run_alone(self) -> None:
        """Refuse a folder whose results a run that does not share is writing.

        Raises:
            OutputError: `OUTPUT_LOCKED`.
        """
        # A folder with this file is known for one of results, and a run that works alone holds its lock. Workers that
        # start together hold it for a moment, too, while they look.
        for attempt in range(LOOKS):
            if attempt:
                time.sleep(BETWEEN_LOOKS_S)
            with open_log(self.folder / LEDGER, needs_lock=False) as alone:
                if alone is not None:
                    return
        raise OutputError(
            f"{file_name(self.folder)}: a run that does not share is writing its results here. Wait for it, or "
            "choose another folder.",
            code="OUTPUT_LOCKED",
        )

    def new_events(self) -> Iterator[tuple[str, Sequence[Event]]]:
        """Yield, by ledger, the events that were not yielded before; a line that is being written comes next time."""
        for path in [self.folder / LEDGER, *sorted(self._shared.glob(f"*{LINES}"))]:
            begin = self._read_bytes.get(path.name, 0)
            content = read_if_there(path, begin)
            if content:
                self._read_bytes[path.name] = begin + decode_lines(content).whole_bytes
                yield path.name, replay(content)

    def publish(self, name: str, known: Mapping[str, Any] | None) -> dict[str, Any]:
        """Give the file of this name in `work` its place, and return its size and SHA-256.

        Args:
            name: Relative to the folder of the results.
            known: Size and SHA-256 that another worker published under this name; then nothing is done but to compare.

        Raises:
            OutputError: The other worker's bytes differ (`OUTPUT_DIFFERS`), or the place cannot be written.
        """
        made, place = self.work / name, self.folder / name
        try:
            mine = fingerprint(made)
            if known is not None:
                refuse_other_bytes(name, mine, known)
                made.unlink()
                return dict(known)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(made, place)
            sync_folder(place.parent)
        except OSError as error:
            raise output_error(place, error) from error
        return mine

    def states(self, files: Mapping[str, Any]) -> set[str]:
        """Return what the files of a finished case are, by their sizes: many workers cannot all hash every result."""
        found = set()
        for name, recorded in files.items():
            try:
                size = (self.folder / name).stat().st_size
            except OSError:
                found.add("missing")
                continue
            found.add("same" if size == recorded["bytes"] else "changed")
        return found

    def exists(self, name: str) -> bool:
        """Return whether there is a result of this name."""
        return os.path.lexists(self.folder / name)

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none.

        Raises:
            FormatError: It cannot be read (`INPUT_UNREADABLE`).
        """
        return read_if_there(self.folder / name)

    def write(self, name: str, content: bytes) -> None:
        """Write a result, whole or not at all.

        Raises:
            ProsectError: The place cannot be written, or the disk is full.
        """
        write_atomically(self.folder / name, [content])

    def stop(self, reason: str) -> None:
        """Ask every worker to leave before its next case."""
        write_atomically(self._shared / STOP, [reason.encode("utf-8", "replace")])

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""
        return words_if_there(self._shared / STOP)

    def keep_stacks(self, text: str) -> None:
        """Keep what every thread was doing when a case took too long, beside the ledger of this worker."""
        with open(self._shared / f"{self.worker}{STACKS}", "a", encoding="utf-8") as handle:
            handle.write(text)


def read_if_there(path: Path, begin: int = 0) -> bytes | None:
    """Return a file from one of its bytes on, None where there is no file.

    Raises:
        FormatError: It cannot be read (`INPUT_UNREADABLE`): the file server is away, or it is something else.
    """
    try:
        with open(path, "rb") as handle:
            handle.seek(begin)
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def words_if_there(path: Path) -> str | None:
    """Return the text of a file, None where there is no file.

    Raises:
        FormatError: It cannot be read (`INPUT_UNREADABLE`).
    """
    content = read_if_there(path)
    if content is None:
        return None
    return content.decode("utf-8", "replace")


def refuse_other_bytes(name: str, mine: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse a second result of a case that is not the first; the report, which tells of times, may differ.

    Raises:
        OutputError: `OUTPUT_DIFFERS`.
    """
    if mine["sha256"] != known["sha256"] and not name.endswith(REPORT_ENDING):
        raise OutputError(
            f"{file_name(name)}: two workers did this case and their results differ ({mine['sha256'][:12]} and "
            f"{known['sha256'][:12]}). The first one stays. Use machines with the same kind of device and libraries.",
            code="OUTPUT_DIFFERS",
        )


def read_all_events(folder: Path) -> list[Event]:
    """Return the events of all workers of a folder, by time; those of one worker keep their order."""
    events: list[Event] = []
    for path in sorted((folder / SHARED).glob(f"*{LINES}")):
        events += replay(read_if_there(path) or b"")
    return sorted(events, key=lambda event: str(event.get("time", "")))


def refuse_workers(folder: Path, lease_s: float = LEASE_S) -> None:
    """Refuse to work alone in a folder where others share the work.

    Raises:
        OutputError: A claim is fresh (`OUTPUT_LOCKED`).
    """
    claims = folder / SHARED / CLAIMS
    if not claims.is_dir():
        return
    mine = FolderClaims(claims, "alone", lease_s)
    fresh = sorted({held.owner for held in mine.held() if not held.is_left(lease_s)})
    mine.close()
    if fresh:
        raise OutputError(
            f"{file_name(folder)}: {len(fresh)} workers are writing their results here ({fresh[0]}). Wait for them, "
            "or help them with --part 1/1.",
            code="OUTPUT_LOCKED",
        )


def sweep_shared(folder: Path, alive: Iterable[str]) -> int:
    """Remove what dead workers had at work, and return how many there were.

    Args:
        folder: The folder of the results.
        alive: Names of workers whose claims are fresh.
    """
    living, count = set(alive), 0
    work = folder / SHARED / WORK
    for place in sorted(work.iterdir()) if work.is_dir() else ():
        if place.name not in living:
            shutil.rmtree(place, ignore_errors=True)
            count += 1
    return count
