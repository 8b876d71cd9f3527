"""Where the results of a cohort lie, for who looks after it: a folder, or a place in an object store.

A worker writes through its store; this is the side of those who only look, who pardon cases, and who clear away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prosect.cohort.claims import FolderClaims, Held, look_at_claims
from prosect.cohort.ledger import Event, replay
from prosect.cohort.manifest import LEDGER
from prosect.cohort.store import (
    CLAIMS,
    LINES,
    SHARED,
    STACKS,
    STOP,
    FolderStore,
    own_worker_name,
    read_if_there,
    sweep_shared,
    words_if_there,
)  # fmt: skip
from prosect.errors import FormatError
from prosect.io.atomic import write_atomically
from prosect.io.paths import file_name
from prosect.io.temporary import sweep
from prosect.jobs.cohort import is_address
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cohort import object_place
else:
    object_place = lazy_module("prosect.cohort.object_place")

__all__ = ["FolderPlace", "Place", "place_of", "require_ledgers"]


class Place(Protocol):
    """What looking after a cohort needs of where its results lie."""

    @property
    def name(self) -> str:
        """What people call the place."""

    def ledgers(self) -> dict[str, list[Event]]:
        """Return the events of each ledger."""

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""

    def stacks(self) -> tuple[str, ...]:
        """Return the names of what tells which threads hung."""

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none."""

    def write(self, name: str, content: bytes) -> str:
        """Write a result, whole or not at all, and return what people call it."""

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write an event into a ledger of its own."""

    def clear_stop(self) -> None:
        """Let workers begin again."""

    def sweep(self, lease_s: float) -> tuple[int, int]:
        """Remove what dead workers left, and return how many of their folders and claims there were."""


def place_of(out: Path) -> Place:
    """Return the place that a path or an address names.

    Raises:
        FormatError: An address without a bucket (`STORE_UNREADABLE`).
        ResourceError: An address, without the extra `s3`.
    """
    if is_address(out):
        found: Place = object_place.ObjectPlace.of(str(out))
        return found
    return FolderPlace(out)


def require_ledgers(place: Place) -> dict[str, list[Event]]:
    """Return the events of each ledger of a place.

    Raises:
        FormatError: There is none (`COHORT_MISSING`).
    """
    found = place.ledgers()
    if not any(found.values()):
        raise FormatError(
            f"{place.name}: no ledger of a folder run is here. Give the folder behind -o of `prosect segment`.",
            code="COHORT_MISSING",
        )
    return found


class FolderPlace:
    """A folder of results, on this machine or a file server.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """What people call the place."""
        return file_name(self.folder)

    def ledgers(self) -> dict[str, list[Event]]:
        """Return the events of each ledger.

        Raises:
            FormatError: One cannot be read.
        """
        found = {}
        for path in [self.folder / LEDGER, *sorted((self.folder / SHARED).glob(f"*{LINES}"))]:
            content = read_if_there(path)
            if content is not None:
                found[path.name] = replay(content)
        return found

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""
        return look_at_claims(self.folder / SHARED / CLAIMS)

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""
        return words_if_there(self.folder / SHARED / STOP)

    def stacks(self) -> tuple[str, ...]:
        """Return the names of what tells which threads hung."""
        return tuple(path.name for path in sorted((self.folder / SHARED).glob(f"*{STACKS}")))

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none.

        Raises:
            FormatError: It cannot be read.
        """
        return read_if_there(self.folder / name)

    def write(self, name: str, content: bytes) -> str:
        """Write a result, whole or not at all, and return its path.

        Raises:
            ProsectError: The place cannot be written, or the disk is full.
        """
        write_atomically(self.folder / name, [content])
        return str(self.folder / name)

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write an event into a ledger of its own.

        Raises:
            OutputError: A run that does not share has the folder (`OUTPUT_LOCKED`), or it cannot be written.
            ResourceError: The disk is full (`DISK_FULL`).
        """
        store = FolderStore(self.folder, own_worker_name(now, "-retry"))
        try:
            with store.open_ledger() as append:
                append(event)
        finally:
            store.claims.close()

    def clear_stop(self) -> None:
        """Let workers begin again."""
        (self.folder / SHARED / STOP).unlink(missing_ok=True)

    def sweep(self, lease_s: float) -> tuple[int, int]:
        """Remove what dead workers left, and return how many of their folders and claims there were."""
        folder = self.folder / SHARED / CLAIMS
        if not folder.is_dir():
            return sweep([self.folder]), 0
        claims = FolderClaims(folder, "sweep", lease_s)
        # A worker between two cases has no claim, and yet it lives: its heart beats.
        alive = claims.alive()
        dead = set()
        for each in claims.held():
            if each.has_ended or (each.is_left(lease_s) and each.owner not in alive):
                dead.add(each.owner)
        removed = sum(claims.break_claims(owner) for owner in sorted(dead))
        claims.close()
        return sweep_shared(self.folder, alive - dead), removed
