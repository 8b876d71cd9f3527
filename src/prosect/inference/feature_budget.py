"""What is remembered between clicks, within one budget of bytes for all sessions of a process.

A responder remembers what the network makes of a patch, and its answers. Each session has a responder of its own or
shares one, so a limit for each would grow with the number of sessions; a `FeatureBudget` is the limit of them all.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar, cast

__all__ = ["ANSWER_BYTES", "FEATURE_BYTES", "FeatureBudget", "HasBytes", "Remembered", "Shelf", "shared_budget"]

# Ten patches of VISTA3D's 50 MB; and sixteen of its answers of 8 MB.
FEATURE_BYTES = 512 * 2**20
ANSWER_BYTES = 128 * 2**20


class HasBytes(Protocol):
    """What says how much memory it holds, such as a tensor."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


Kept = TypeVar("Kept", bound=HasBytes)


class Shelf:
    """Values of many owners by key, the least recently used first out, within a budget of bytes.

    The newest value always stays, whatever its size. Threads may share a shelf.

    Args:
        budget_bytes: What all values together may hold.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.nbytes = 0
        self._values: OrderedDict[tuple[Hashable, Hashable], HasBytes] = OrderedDict()
        self._lock = threading.RLock()  # an owner may be collected, and so forgotten, while this very thread holds it

    def find(self, owner: Hashable, key: Hashable) -> HasBytes | None:
        """Return a value, which becomes the one used last, or None where there is none."""
        with self._lock:
            value = self._values.get((owner, key))
            if value is not None:
                self._values.move_to_end((owner, key))
            return value

    def put(self, owner: Hashable, key: Hashable, value: HasBytes) -> None:
        """Keep a value; the oldest ones go where the budget is exceeded."""
        with self._lock:
            self._drop((owner, key))
            self._values[owner, key] = value
            self.nbytes += value.nbytes
            while self.nbytes > self.budget_bytes and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def of(self, owner: Hashable) -> list[HasBytes]:
        """Return the values of one owner."""
        with self._lock:
            found: list[HasBytes] = []
            for (whose, _), value in self._values.items():
                if whose == owner:
                    found.append(value)
            return found

    def forget(self, owner: Hashable) -> None:
        """Drop every value of one owner."""
        with self._lock:
            for key in [key for key in self._values if key[0] == owner]:
                self._drop(key)

    def _drop(self, key: tuple[Hashable, Hashable]) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.nbytes -= value.nbytes


class Remembered(Generic[Kept]):
    """The part of a shelf that belongs to one responder; it leaves the shelf when the responder is gone."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._owner = object()
        weakref.finalize(self, shelf.forget, self._owner)

    def __len__(self) -> int:
        return len(self._shelf.of(self._owner))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(value.nbytes for value in self._shelf.of(self._owner))

    def find(self, key: Hashable) -> Kept | None:
        """Return what is kept under a key, or None."""
        # Only `put` and `get` of this object write under its owner, so the value is of its kind.
        return cast("Kept | None", self._shelf.find(self._owner, key))

    def put(self, key: Hashable, value: Kept) -> Kept:
        """Keep a value under a key and return it."""
        self._shelf.put(self._owner, key, value)
        return value

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """Return what is kept under a key, made now where it is not."""
        found = self.find(key)
        if found is None:
            return self.put(key, make())
        return found


class FeatureBudget:
    """The memory that clicks of a whole process may keep, handed to every responder.

    Args:
        feature_bytes: For what the network makes of patches.
        answer_bytes: For its answers to clicks.
    """

    def __init__(self, feature_bytes: int = FEATURE_BYTES, answer_bytes: int = ANSWER_BYTES) -> None:
        self.features = Shelf(feature_bytes)
        # Half for the newest answers, half for the milestones of long rows of clicks: see `ClickResponder`.
        self.answers = Shelf(answer_bytes // 2)
        self.milestones = Shelf(answer_bytes // 2)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.features.nbytes + self.answers.nbytes + self.milestones.nbytes


_OF_PROCESS = FeatureBudget()


def shared_budget() -> FeatureBudget:
    """Return the budget that responders share where they are given none."""
    return _OF_PROCESS
