"""Threads that share out the pieces of one layer.

torch's own parallel regions are many and small in a network that keeps to the processor's cache, and their threads spin
while they wait for each other: on a busy machine most of the time goes there. Here each thread takes the next piece of
a layer and computes it alone. Nobody waits but at the end of a layer, and a thread that is held up takes fewer pieces.
What a piece computes does not depend on the number of threads, so neither does the result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["Workers"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """As many threads as one operation of torch may use; started when there is work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._count = 1

    def map(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
        """Return what comes of each piece, in their order.

        Args:
            work: Computes one piece; it runs in inference mode, and several run at the same time.
            pieces: What is shared out.
        """

        def alone(piece: Piece) -> Result:
            # Inference mode is a property of a thread.
            with torch.inference_mode():
                return work(piece)

        count = torch.get_num_threads()
        if count == 1 or len(pieces) == 1:
            return [alone(piece) for piece in pieces]
        return list(self._threads(count).map(alone, pieces))

    def _threads(self, count: int) -> ThreadPoolExecutor:
        """Return the threads, each of which lets torch compute on one core."""
        with self._lock:
            if self._pool is None or self._count != count:
                if self._pool is not None:
                    self._pool.shutdown(wait=False)
                self._pool, self._count = start(count), count
            return self._pool


def start(count: int) -> ThreadPoolExecutor:
    """Return threads in each of which torch computes on one core."""
    ready = threading.Barrier(count + 1)

    def settle() -> None:
        torch.set_num_threads(1)
        # The first question in a thread makes the number its own; later changes elsewhere do not reach it.
        torch.get_num_threads()
        ready.wait()

    pool = ThreadPoolExecutor(count, "prosect-layer")
    waiting = [pool.submit(settle) for _ in range(count)]
    ready.wait()
    for each in waiting:
        each.result()
    # The number is also that of threads yet to come.
    torch.set_num_threads(count)
    return pool
