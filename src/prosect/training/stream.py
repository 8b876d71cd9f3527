"""Patches drawn ahead of time, each from a random stream of its own, so that waiting and resuming change nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from prosect.training.patches import Patch, PatchSource

__all__ = ["PatchStream", "stream_of"]

Key = tuple[int, int]


def stream_of(seed: int, step: int, number: int, *more: int) -> np.random.Generator:
    """Return the random stream of one patch of one step; what was drawn before does not matter."""
    return np.random.default_rng([seed, step, number, *more])


class PatchStream:
    """Draw patches by step and number; those to come are drawn by threads while the network works.

    Args:
        source: Draws a patch.
        seed: Of all streams.
        threads: How many draw ahead; 0 draws when asked.
        clock: Seconds, for `waited`.

    Attributes:
        drawn: The scan of the last patch.
        waited: Seconds for which patches were waited for, in all.
    """

    def __init__(
        self, source: PatchSource, seed: int, threads: int = 0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.source, self.seed, self.clock = source, seed, clock
        self.threads = ThreadPoolExecutor(threads) if threads else None
        self.waiting: dict[Key, Future[tuple[str, Patch]]] = {}
        self.key: Key = (0, 0)
        self.attempt = 0
        self.drawn = ""
        self.waited = 0.0

    def seek(self, step: int, number: int, coming: Iterable[Key] = ()) -> None:
        """Turn to a patch of a step, and let those that come be drawn."""
        self.key, self.attempt = (step, number), 0
        if self.threads is None:
            return
        wanted = {self.key, *coming}
        self.waiting = {key: future for key, future in self.waiting.items() if key in wanted}
        for key in wanted - set(self.waiting):
            self.waiting[key] = self.threads.submit(self._draw, key, 0)

    def __call__(self) -> Patch:
        """Return the patch turned to; asked again, another one of the same stream."""
        started = self.clock()
        waiting = None
        if self.attempt == 0:
            waiting = self.waiting.pop(self.key, None)
        if waiting:
            self.drawn, patch = waiting.result()
        else:
            self.drawn, patch = self._draw(self.key, self.attempt)
        self.attempt += 1
        self.waited += self.clock() - started
        return patch

    def close(self) -> None:
        """Stop drawing ahead."""
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)

    def _draw(self, key: Key, attempt: int) -> tuple[str, Patch]:
        # The last number keeps this stream apart from that of the clicks and the augmentation of the same patch.
        return self.source.draw(stream_of(self.seed, *key, attempt, 1))
