"""Where the time of a run went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

__all__ = ["Stopwatch"]

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Stopwatch:
    """Seconds by stage; a stage that is entered twice adds up.

    Args:
        clock: Seconds.
        settle: Waits until what the stage began is done, such as the work of a GPU.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, settle: Callable[[], None] | None = None
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._settle = settle

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        begin = self._clock()
        yield
        if self._settle is not None:
            self._settle()
        self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - begin

    def timed(self, name: str, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return the function with the time of each call added to a stage."""

        def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            with self.stage(name):
                return function(*args, **kwargs)

        return call

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s ({parts})"
