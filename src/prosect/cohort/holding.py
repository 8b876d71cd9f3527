"""The claims that one worker holds: made, renewed and given back one at a time, wherever they are kept."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Generic, TypeVar

from prosect.errors import ProsectError

__all__ = ["OwnClaims"]

# A thread that hangs in the file server has the lock; a worker that leaves waits for it no longer than this.
PATIENCE_S = 10.0

T = TypeVar("T")


class OwnClaims(ABC, Generic[T]):
    """What a worker keeps in mind of its claims; a subclass knows how they are kept where all workers meet.

    Reader, saver and heartbeat meet here. Each of them changes a claim with the lock held: else one could be made while
    all are given back, or be renewed while it is given back, and then would be left behind until its lease ends.

    A subclass says what tells a claim of ours from that of a successor, its token (T): a path, a tag.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, T] = {}
        self._is_closed = False
        self._lock = threading.Lock()

    @abstractmethod
    def _make(self, case: str) -> T | None:
        """Claim a case, and return the token; None where another holds it.

        Raises:
            OutputError: The place cannot be written (`OUTPUT_UNWRITABLE`); no claim is left.
            ResourceError: The disk is full (`DISK_FULL`); no claim is left.
        """

    @abstractmethod
    def _stands(self, case: str, token: T) -> bool:
        """Return whether a claim is there and nobody has taken it over."""

    @abstractmethod
    def _extend(self, case: str, token: T) -> T | None:
        """Renew a claim, and return its token from now on; None where somebody has taken it over."""

    @abstractmethod
    def _remove(self, case: str, token: T) -> None:
        """Remove a claim, and not one of a successor."""

    def take(self, case: str) -> bool:
        """Return whether the case is ours now; a stale claim of another is taken over.

        Raises:
            OutputError: The place cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        with self._lock:
            if self._is_closed or case in self._tokens:
                return False
            token = self._make(case)
            if token is None:
                return False
            self._tokens[case] = token
            return True

    def holds(self, case: str) -> bool:
        """Return whether a claim of ours still stands, and nobody has taken it over."""
        with self._lock:
            token = self._tokens.get(case)
            return token is not None and self._stands(case, token)

    def renew(self) -> None:
        """Say of every claim of ours that its holder lives; one that was taken over is not made again."""
        with self._lock:
            cases = list(self._tokens)
        for case in cases:
            # The place may be away for a while: the next beat tries again, and the lease bounds what that can cost.
            with suppress(OSError, ProsectError):
                self._renew_one(case)

    def _renew_one(self, case: str) -> None:
        with self._lock:
            token = self._tokens.get(case)
            if token is None:
                return  # given back meanwhile
            fresh = self._extend(case, token)
            if fresh is None:
                del self._tokens[case]
            else:
                self._tokens[case] = fresh

    def release(self, case: str) -> None:
        """Give a case back; nothing happens where it is not ours."""
        with self._lock:
            self._give_back(case)

    def _give_back(self, case: str) -> None:
        """Give a case back; the lock is held."""
        token = self._tokens.pop(case, None)
        if token is not None:
            # One that cannot be removed is not renewed either, so it ends with its lease.
            with suppress(OSError, ProsectError):
                self._remove(case, token)

    def close(self) -> None:
        """Give every case back and take no more: a thread that reads ahead may be about to."""
        self._is_closed = True
        if not self._lock.acquire(timeout=PATIENCE_S):
            return
        try:
            for case in list(self._tokens):
                self._give_back(case)
        finally:
            self._lock.release()
