"""How far a long computation is, told while it runs, and how it is stopped from outside.

A computation that takes long takes a `Watch`. It calls it after each step, on its own thread, with the number of steps
done and their total. What the watch raises ends the computation at that step: nothing is written and no state changes.
"""

from __future__ import annotations

from collections.abc import Callable

from prosect.errors import CancelledError

__all__ = ["Watch", "cancel_when", "part_of"]

Watch = Callable[[int, int], None]


def cancel_when(asked: Callable[[], bool], watch: Watch | None = None) -> Watch:
    """Return a watch that ends a computation as soon as someone asked for it.

    Args:
        asked: Whether the computation shall end, such as `threading.Event().is_set`.
        watch: Told of each step before that.

    Raises:
        CancelledError: The watch that is returned raises it once `asked` says yes.
    """

    def step(done: int, total: int) -> None:
        if asked():
            raise CancelledError(
                f"Cancelled after step {done} of {total}; nothing was changed. Ask again to repeat it."
            )
        if watch is not None:
            watch(done, total)

    return step


def part_of(watch: Watch | None, place: int, count: int) -> Watch | None:
    """Return what one of several equal parts tells of its steps, so that all together count up once.

    Args:
        watch: Told of the whole; None where nobody is.
        place: Which part it is, from 0.
        count: How many there are.
    """
    if watch is None:
        return None
    tell = watch

    def step(done: int, total: int) -> None:
        tell(place * total + done, count * total)

    return step
