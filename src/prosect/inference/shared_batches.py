"""Windows of several scans in one call of the network.

A GPU gains from several windows at a time, and a small scan has few. Threads that each sweep a scan of their own hand
their windows in here; whoever completes a batch runs it for all, and each gets back what its windows show. The sweeps
themselves know nothing of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from prosect.inference.accumulate import FeatureFunction
from prosect.inference.windows import Shape

__all__ = ["SharedBatches"]


@dataclass(eq=False)
class Ticket:
    """One window (1 i j k) of a sweep, and what came of it: its features (c i j k), or an error."""

    sweep: object
    window: Tensor
    features: Tensor | None = None
    error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is something to give back."""
        return self.features is not None or self.error is not None


class SharedBatches:
    """Evaluates windows of all sweeps that take part, a full batch at a time wherever there are enough.

    A batch is run as soon as it is full, or when every sweep that takes part waits here. One that is not full is filled
    with repetitions of its last window: kernels are chosen by the size of a batch, so that with one size alone what a
    window shows does not depend on which others are beside it. Windows of another shape, as a scan has that is smaller
    than a window, are computed as without sharing.

    Args:
        features: Maps windows (b 1 i j k) to features (b c i j k), each window for itself.
        window: Shape (i j k) of the windows that are shared.
        size: Windows of a batch. It is halved for good where memory does not suffice.
        release: Returns memory that `features` keeps; see `Branches`.
    """

    def __init__(self, features: FeatureFunction, window: Shape, size: int, release: Callable[[], None]) -> None:
        self._features, self._window, self.size, self._release = features, window, size, release
        self._sweeps = 0
        self._queue: list[Ticket] = []
        self._is_running = False
        self._changed = threading.Condition()

    @contextmanager
    def taking_part(self, window: Shape) -> Iterator[None]:
        """Be waited for until the block ends: a sweep that will hand in further windows of this shape (i j k)."""
        if window != self._window:
            yield
            return
        with self._changed:
            self._sweeps += 1
        try:
            yield
        finally:
            with self._changed:
                self._sweeps -= 1
                self._changed.notify_all()

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the features (b c i j k) of windows (b 1 i j k), computed beside those of other threads.

        Raises:
            torch.OutOfMemoryError: Memory does not suffice for one window alone.
            Exception: What the network raises for one of these windows.
        """
        if windows.shape[2:] != self._window:
            with self._turn():
                return self._features(windows)
        me = object()
        mine = [Ticket(me, window) for window in windows]
        with self._changed:
            self._queue += mine
            try:
                self._wait_for(mine)
            finally:
                # One that is interrupted asks for nothing any more.
                self._queue = [ticket for ticket in self._queue if ticket.sweep is not me]
        found = []
        for ticket in mine:
            if ticket.error is not None:
                raise ticket.error
            assert ticket.features is not None
            found.append(ticket.features)
        if len(found) == 1:
            return found[0][None]  # where it lies, because a copy of features is large
        return torch.stack(found)

    def release(self) -> None:
        """Return memory that is kept between windows, when no batch is computed."""
        with self._turn():
            self._release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the network to oneself until the block ends."""
        with self._changed:
            while self._is_running:
                self._changed.wait()
            self._is_running = True
        try:
            yield
        finally:
            with self._changed:
                self._is_running = False
                self._changed.notify_all()

    def _wait_for(self, mine: Sequence[Ticket]) -> None:
        """Wait until all of these are over, and run batches meanwhile; the lock is held."""
        while not all(ticket.is_over for ticket in mine):
            batch = self._next_batch()
            if batch:
                self._run(batch)
            else:
                self._changed.wait()

    def _next_batch(self) -> list[Ticket]:
        """Return the windows to run now, the oldest; none where it is not time yet."""
        if self._is_running:
            return []
        batch = self._queue[: self.size]
        # A sweep that does something else just now may bring what fills it.
        waiting = {ticket.sweep for ticket in self._queue}
        if len(batch) < self.size and len(waiting) < self._sweeps:
            return []
        return batch

    def _run(self, batch: Sequence[Ticket]) -> None:
        """Compute a batch with the lock given free meanwhile."""
        self._queue = self._queue[len(batch) :]
        self._is_running = True
        self._changed.release()
        try:
            self._compute(batch)
        finally:
            self._changed.acquire()
            # After an interrupt, others compute what belongs to them.
            self._queue = [ticket for ticket in batch if not ticket.is_over] + self._queue
            self._is_running = False
            self._changed.notify_all()

    def _compute(self, batch: Sequence[Ticket]) -> None:
        """Fill in what comes of windows; where memory does not suffice, fewer at a time from now on."""
        left = list(batch)
        while left:
            part = left[: self.size]
            try:
                self._evaluate(part)
            except torch.OutOfMemoryError as error:
                if self.size > 1:
                    self.size //= 2
                    continue
                part[0].error = error
            except Exception:
                self._find_fault(part)
            left = left[len(part) :]

    def _find_fault(self, part: Sequence[Ticket]) -> None:
        """Evaluate windows one by one after a failure, so that none fails for another's sake."""
        for ticket in part:
            try:
                self._evaluate([ticket])
            except Exception as error:
                ticket.error = error

    def _evaluate(self, part: Sequence[Ticket]) -> None:
        """Run the network once, for a full batch whether there are so many or not."""
        windows = [ticket.window for ticket in part]
        windows += windows[-1:] * (self.size - len(part))
        for ticket, features in zip(part, self._features(torch.stack(windows)), strict=False):
            ticket.features = features
