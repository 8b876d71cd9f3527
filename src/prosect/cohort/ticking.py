"""Something that is done again and again in a thread of its own, as long as a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["ticking"]


@contextmanager
def ticking(name: str, period_s: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` every `period_s` seconds until the block ends; the first time after one period.

    Args:
        name: Of the thread.
        period_s: Seconds between calls.
        tick: What is done; an error in it ends the thread, and not the block.
    """
    stop = threading.Event()

    def tick_until_stopped() -> None:
        while not stop.wait(period_s):
            tick()

    thread = threading.Thread(target=tick_until_stopped, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(period_s)
