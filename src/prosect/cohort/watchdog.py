"""The end of a case that hangs: what every thread was doing is written down, and the worker leaves."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prosect.cohort.ticking import ticking

__all__ = ["LEAST_LIMIT_S", "OVERDUE_STATUS", "Watchdog", "stacks_of_threads"]

# A case is slow in many honest ways; one that hangs may cost this much once per attempt.
LEAST_LIMIT_S = 3600.0
TIMES_THE_SLOWEST = 10.0
# The status of a worker that left because of a case (EX_TEMPFAIL): start another one in its place.
OVERDUE_STATUS = 75


class Watchdog:
    """Knows which case is in which step since when.

    Args:
        limit_s: Seconds that one step of a case may take; None for an hour, or ten times the slowest step so far.
        on_overdue: Told of the case and its seconds, before the process ends.
        clock: Seconds.
        leave: Ends the process at once: a thread that hangs cannot be asked.
    """

    def __init__(
        self,
        limit_s: float | None,
        on_overdue: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._limit_s, self._on_overdue, self._clock, self._leave = limit_s, on_overdue, clock, leave
        self._begun: dict[tuple[str, int], float] = {}
        self._slowest_s = 0.0
        self._lock = threading.Lock()

    @property
    def limit_s(self) -> float:
        """Seconds that a step may take now."""
        if self._limit_s is not None:
            return self._limit_s
        return max(LEAST_LIMIT_S, TIMES_THE_SLOWEST * self._slowest_s)

    @contextmanager
    def step(self, case: str) -> Iterator[None]:
        """Watch one step of a case."""
        key, begin = (case, threading.get_ident()), self._clock()
        with self._lock:
            self._begun[key] = begin
        try:
            yield
        finally:
            with self._lock:
                self._begun.pop(key, None)
                self._slowest_s = max(self._slowest_s, self._clock() - begin)

    def look(self) -> None:
        """End the process where a step has taken too long."""
        now = self._clock()
        with self._lock:
            begun = list(self._begun.items())
        for (case, _), begin in begun:
            if now - begin > self.limit_s:
                self._on_overdue(case, now - begin)
                self._leave(OVERDUE_STATUS)
                return

    @contextmanager
    def watching(self, period_s: float) -> Iterator[None]:
        """Look every `period_s` seconds in a thread of its own until the block ends."""
        with ticking("prosect-watchdog", period_s, self.look):
            yield


def stacks_of_threads() -> str:
    """Return what every thread of this process is doing."""
    names = {}
    for thread in threading.enumerate():
        names[thread.ident] = thread.name
    lines = []
    for number, frame in sys._current_frames().items():
        lines.append(f"thread {names.get(number, number)}\n")
        lines += traceback.format_stack(frame)
    return "".join(lines)
