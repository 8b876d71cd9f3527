"""Looking after a cohort whose results lie in an object store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Self

from prosect.cohort.bucket import Bucket, connect
from prosect.cohort.claims import Held
from prosect.cohort.ledger import Event
from prosect.cohort.object_ledgers import new_events, open_ledger
from prosect.cohort.objects import ObjectClaims, stop_reason
from prosect.cohort.store import SHARED, STACKS, STOP, own_worker_name

__all__ = ["ObjectPlace"]


class ObjectPlace:
    """A place of results in an object store; see `places.Place`.

    Attributes:
        bucket: The place.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    @classmethod
    def of(cls, address: str) -> Self:
        """Return the place of an address such as `s3://bucket/labels`.

        Raises:
            FormatError: There is no bucket in it (`STORE_UNREADABLE`).
        """
        return cls(connect(address))

    @property
    def name(self) -> str:
        """What people call the place."""
        return f"s3://{self.bucket.name}/{self.bucket.prefix}"

    def ledgers(self) -> dict[str, list[Event]]:
        """Return the events of each ledger.

        Raises:
            FormatError: The store does not answer (`STORE_UNREADABLE`).
        """
        return new_events(self.bucket, {})

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""
        return ObjectClaims(self.bucket, "look").held()

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""
        return stop_reason(self.bucket)

    def stacks(self) -> tuple[str, ...]:
        """Return the names of what tells which threads hung."""
        names = (name for name, _ in self.bucket.list(f"{SHARED}/"))
        return tuple(PurePosixPath(name).name for name in names if name.endswith(STACKS))

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none."""
        return self.bucket.get(name)

    def write(self, name: str, content: bytes) -> str:
        """Write a result, and return its address."""
        self.bucket.put(name, content)
        return f"{self.name}/{name}"

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write an event into a ledger of its own."""
        worker = own_worker_name(now, "-retry")
        with open_ledger(self.bucket, worker) as append:
            append(event)

    def clear_stop(self) -> None:
        """Let workers begin again."""
        self.bucket.delete(f"{SHARED}/{STOP}")

    def sweep(self, lease_s: float) -> tuple[int, int]:
        """Remove the claims of dead workers, and return how many there were; what they had at work lay with them."""
        return 0, ObjectClaims(self.bucket, "sweep", lease_s).break_stale()
